"""How every command reports bad input: one sentence and exit code 2, never a traceback."""

import errno
import gc
import re
import signal
import sys
from collections.abc import Sequence

import click

from data_prep.escaping import printable, without_passwords

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


_HELP = " See --help."  # after click's own sentences on names and numbers of options and arguments
_ON_NAMES = (click.NoSuchOption, click.BadOptionUsage, click.MissingParameter, click.UsageError)
_QUOTED = re.compile("'([^']+)'")  # the path in an error of Arrow's


class InputError(click.ClickException):
    """Input that cannot be used. The message is one sentence that names the remedy; the exit code is 2."""

    exit_code = 2


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> None:
    """Run `command` and exit with its code: 0 done, 1 done in part, 2 wrong input, 130 interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way to say Ctrl-C
    try:
        sys.exit(command.main(arguments, standalone_mode=False) or 0)
    except click.ClickException as error:
        message, code = error.format_message() + _HELP * (type(error) in _ON_NAMES), 2
    except (click.Abort, KeyboardInterrupt):
        message, code = "interrupted; the same command goes on from here.", 130
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = str(error).partition("\n")[0]
        remedy = _REMEDIES.get(error.errno or 0, f"{reason}; mend that and run the same command again")
        place = error.filename or (_QUOTED.search(reason) or ["", "the system reports"])[1]
        message, code = f"{place}: {remedy}.", 2
    finally:
        gc.freeze()  # or Python would search everything for cycles on its way out, for up to a second
    print(f"error: {printable(without_passwords(' '.join(message.split())))}", file=sys.stderr)
    sys.exit(code)
