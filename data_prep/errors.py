"""How every command ends: all is done, or one sentence says what is not, and the exit code which kind of end it is."""

import errno
import gc
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from data_prep.escaping import printable, without_passwords


class End(NamedTuple):
    """A way in which commands end. Its sentence has braces around what varies."""

    code: int
    when: str
    sentence: str
    commands: str = "all"


_AGAIN = "the same command goes on from here."
#: All ways in which a command ends, as docs/trouble.md shows them.
ENDS = {
    "done": End(0, "all is done, whether or not somebody reads the output", "{answer}"),
    "budget": End(
        0,
        "`--time-budget` is spent",
        "The time budget is spent: the same command goes on, with {count} trials left.",
        "`search.py`",
    ),
    "failed": End(
        1,
        "trials failed, each with its reason; the others are done",
        "{count} trials failed; the same command tries them again.",
        "sweeps",
    ),
    "unbuilt": End(
        1,
        "`--plan` finds networks that cannot be built",
        "{count} networks cannot be built; their trials would fail.",
        "sweeps",
    ),
    "unread": End(1, "images cannot be read, or nobody reads the rows", "{count} unreadable", "`predict`"),
    "unreported": End(
        1,
        "the process that makes the report has been killed",
        "There is no new report; the same command makes it.",
        "sweeps",
    ),
    "lost": End(
        1, "Ray's processes have been killed", f"error: Ray has died on {{host}}; {_AGAIN}", "sweeps, `robustness`"
    ),
    "killed": End(
        1,
        "processes that decode images are killed, again and again",
        f"error: processes that decode images were killed, as where memory is short; with fewer --workers {_AGAIN}",
        "`data_prep`",
    ),
    "refused": End(2, "the input, a disk or a service cannot be used", "error: {reason}; {remedy}."),
    "SIGHUP": End(129, "the terminal is closed", f"error: hung up; {_AGAIN}"),
    "SIGINT": End(130, "Ctrl-C", f"error: interrupted; {_AGAIN}"),
    "SIGTERM": End(143, "`kill`, or a scheduler's end of a job", f"error: terminated; {_AGAIN}"),
}

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "permission denied; choose a path that you may read and write",
    errno.EPERM: "not permitted; choose a path that you may read and write",
    errno.EROFS: "the file system is read-only; choose a folder that you may write to",
    errno.ENOTDIR: "a part of that path is a file; choose another folder",
    errno.EISDIR: "that is a folder, and a file is needed",
    errno.ENOENT: "no such file or folder; check the path",
    errno.EEXIST: "something else is in its place; choose another path",
    errno.ENOTEMPTY: "something else is in its place; choose another path",
    errno.ELOOP: "its links lead in circles; choose another path",
    errno.ENAMETOOLONG: "that name is too long; choose a shorter one",
    errno.EMFILE: "too many files are open; raise `ulimit -n` and run the same command again",
    errno.ETIMEDOUT: "it does not answer; run the same command again when it does",
}


_FOR_A_WHILE = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN)  # a log's disk is full, a terminal is busy
_HELP = " See --help."  # after click's own sentences on names and numbers of options and arguments
_ON_NAMES = (click.NoSuchOption, click.BadOptionUsage, click.MissingParameter, click.UsageError)
_QUOTED = re.compile("'([^']+)'")  # the path in an error of Arrow's

_SECONDS_TO_RAISE = 0.05

_signals: list[str] = []  # that have asked this process to end
_is_abrupt = False  # whether this process is to end without Python's clean-up


class InputError(click.ClickException):
    """Input that cannot be used. The message is one sentence that names the remedy; the exit code is 2."""

    exit_code = ENDS["refused"].code


class BrokenOffError(InputError):
    """What a command cannot do without has died; the same command goes on."""

    exit_code = ENDS["lost"].code


class _Output(io.FileIO):
    """Standard output or error. What nobody can read, or a full disk has no room for, is dropped; the work goes on."""

    is_read = True

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in _FOR_A_WHILE:
                return len(data)
            if error.errno not in (errno.EPIPE, errno.EIO):  # of a pipe's reader, of a terminal
                raise
        self.is_read = False
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # for processes that this one starts, too
        return len(data)


def is_read() -> bool:
    """Whether somebody may still read standard output."""
    buffer = getattr(sys.stdout, "buffer", None)
    return bool(getattr(getattr(buffer, "raw", buffer), "is_read", True))


def received() -> str:
    """The name of the last signal that has asked this process to end, such as SIGTERM; empty if none has."""
    return _signals[-1] if _signals else ""


def leave_at_once() -> None:
    """Have the command's process end without Python's clean-up, in which a library would wait in vain."""
    global _is_abrupt
    _is_abrupt = True


def _interrupt(number: int, frame: object) -> None:
    _signals.append(signal.Signals(number).name)
    raise KeyboardInterrupt


def _interrupt_again(unraisable: Any) -> None:
    """Interrupt once more where Python could not raise the interruption, as in a destructor, and would go on."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt) and _signals:
        threading.Timer(_SECONDS_TO_RAISE, os.kill, [os.getpid(), signal.Signals[_signals[-1]]]).start()
    else:
        sys.__unraisablehook__(unraisable)


def handle_signals(handler: Any) -> None:
    """Handle by `handler` those of the signals in ENDS that are not ignored, as they are under `nohup`."""
    for name in ENDS:
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _outlive_readers() -> None:
    """Let standard output and error end in nothing where their readers end, in a process that has the usual ones."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream and stream is getattr(sys, f"__{name}__") and stream.fileno() == descriptor:
            stream.flush()
            raw = _Output(descriptor, "w", closefd=False)
            kind = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
            buffer = raw if stream.write_through else io.BufferedWriter(raw)
            # A terminal may lack letters: they become question marks.
            errors = "replace" if stream.errors in ("strict", "surrogateescape") else stream.errors
            heard = io.TextIOWrapper(buffer, stream.encoding, errors, **kind)  # type: ignore[arg-type]
            setattr(sys, name, heard)
            setattr(sys, f"__{name}__", heard)


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> None:
    """Run `command` and exit with the code of its end, one of ENDS."""
    _signals.clear()
    handle_signals(_interrupt)
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    _outlive_readers()
    message = ""
    try:
        code = command.main(arguments, standalone_mode=False) or 0
    except click.ClickException as error:
        message = error.format_message() + _HELP * (type(error) in _ON_NAMES)
        code = error.exit_code if isinstance(error, InputError) else ENDS["refused"].code
    except (click.Abort, KeyboardInterrupt):
        code, _, message, _ = ENDS[received() or "SIGINT"]
    except OSError as error:
        reason = str(error).partition("\n")[0]
        remedy = _REMEDIES.get(error.errno or 0, f"{reason}; mend that and run the same command again")
        place = error.filename or (_QUOTED.search(reason) or ["", "the system reports"])[1]
        message, code = f"{place}: {remedy}.", ENDS["refused"].code
    finally:
        gc.freeze()  # or Python would search everything for cycles on its way out, for up to a second
    handle_signals(signal.SIG_IGN)  # the end is known
    sys.unraisablehook = hook
    if message:
        sentence = printable(without_passwords(" ".join(message.removeprefix("error: ").split())))
        print(f"error: {sentence}", file=sys.stderr)
    if _is_abrupt:
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
