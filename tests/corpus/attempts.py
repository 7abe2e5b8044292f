"""Commands, each in a process of its own, and what it did: forked from one in which all is imported, to be fast.

    python -m corpus.attempts          reads a JSON list of words and a folder a line, and answers with a line of JSON

No trial is trained: a sweep that would begin says which trials it would run, and ends.
"""

import contextlib
import importlib
import io
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from support.commands import PATH_TO_SUPPORT, ROOT

#: No attempt takes longer, in seconds: 20 more than the slowest command takes where nothing was changed.
PATIENCE = 30
WOULD_RUN = "would run: "
_MOST_MEASURED = 8  # networks, in a process that a sweep would not do it in

_ANALYSIS = (
    "compare",
    "explain",
    "export",
    "predict",
    "report",
    "robustness",
    "detector.explanations",
    "detector.onnx",
)
_IMPORTED = (
    "data_prep.job",
    "sweeps.engine.run",
    "trainables.training.loop",
    *(f"analysis.{name}" for name in _ANALYSIS),
)

#: Python's audit events that change, send or start something, and where in their arguments a path stands, if any.
_WRITING = {"os.remove": 0, "os.rename": 1, "os.mkdir": 0, "os.rmdir": 0, "os.symlink": 1, "os.link": 1}
_SENDING = {"socket.connect", "socket.sendto", "socket.getaddrinfo"}
#: This machine's own addresses, where its Ray answers; not loopback, where hostile input is made to send.
_OWN = {each.address for addresses in psutil.net_if_addrs().values() for each in addresses} - {"127.0.0.1", "::1"}
_STARTING = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"}


@dataclass(frozen=True)
class Attempt:
    """What a command did: exit code, outputs, seconds, the most memory in MiB, and what it did outside its folder."""

    code: int
    out: str
    err: str
    seconds: float
    mebibytes: float
    outside: tuple[str, ...]


class Runner:
    """Makes attempts, until `close`, and remembers the most that any took."""

    def __init__(self) -> None:
        self.seconds = self.mebibytes = 0.0
        environment = os.environ | {"PYTHONPATH": PATH_TO_SUPPORT, "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg"}
        words = [sys.executable, "-m", "corpus.attempts"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )

    def run(self, *words: object, cwd: Path) -> Attempt:
        """Run `analysis …`, `data_prep …`, `trainables …` or `sweeps/….py …` in a folder."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([list(map(str, words)), str(cwd)]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        attempt = Attempt(**answer | {"outside": tuple(answer["outside"])})
        self.seconds, self.mebibytes = max(self.seconds, attempt.seconds), max(self.mebibytes, attempt.mebibytes)
        return attempt

    def __str__(self) -> str:
        return f"so far no attempt took more than {self.seconds:.0f} s and {self.mebibytes:,.0f} MiB"

    def close(self) -> None:
        """End."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def _serve() -> None:
    """Answer what standard input asks for."""
    for name in _IMPORTED:
        importlib.import_module(name)
    _stub()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        words, cwd = json.loads(line)
        with tempfile.TemporaryDirectory() as scratch:
            answers.write(json.dumps(asdict(_forked(words, cwd, Path(scratch)))) + "\n")
            answers.flush()


def _forked(words: list[str], cwd: str, scratch: Path) -> Attempt:
    started = time.monotonic()
    child = os.fork()
    if not child:
        _attempt(words, cwd, scratch)
    reaped, status, usage = 0, 0, None
    while not reaped and time.monotonic() - started < PATIENCE:
        reaped, status, usage = os.wait4(child, os.WNOHANG)
        time.sleep(0.002)
    seconds = time.monotonic() - started
    if not reaped:
        os.killpg(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
    texts = [(scratch / name).read_text(errors="replace") if (scratch / name).exists() else "" for name in ("1", "2")]
    did = (scratch / "did").read_text().splitlines() if (scratch / "did").exists() else []
    assert usage
    return Attempt(os.waitstatus_to_exitcode(status), *texts, seconds, usage.ru_maxrss / 1024, tuple(did))


def _attempt(words: list[str], cwd: str, scratch: Path) -> None:
    """Run a command in this process, which ends with it."""
    code = 1
    try:
        os.setpgid(0, 0)
        for number in (1, 2):
            os.dup2(os.open(scratch / str(number), os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(number, "wb", 0), write_through=True) for number in (1, 2))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(cwd)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
        sys.argv = [words[0], *words[1:]]
        _watch(Path(cwd).resolve(), scratch)
        try:
            if words[0].endswith(".py"):
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
            else:
                runpy.run_module(words[0], run_name="__main__", alter_sys=False)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # what a user would see
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _watch(folder: Path, scratch: Path) -> None:
    """Write down what is written outside a folder, sent or started."""
    did = (scratch / "did").open("a", buffering=1)
    allowed = (str(folder), str(scratch), os.devnull, "/proc/", "/dev/")

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        path: Any = None
        if event == "open":
            name, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(flags, int) else "r" not in str(mode)
            path = name if writes and not isinstance(name, int) else None
        elif event in _WRITING:
            path = arguments[_WRITING[event]]
        elif event in _SENDING | _STARTING and not _is_of_ray(repr(arguments[:2])):
            did.write(f"{event} {arguments[:2]!r:.300}\n")
        if path is not None:
            place = os.path.realpath(os.fsdecode(path))
            if not place.startswith(allowed) and "__pycache__" not in place:
                did.write(f"{event} {place}\n")

    sys.addaudithook(hear)


def _is_of_ray(arguments: str) -> bool:
    """Whether this is how a command reaches the Ray that it starts, for images that are not scored yet."""
    return "/ray/" in arguments or any(f"('{address}', " in arguments for address in _OWN)


def _stub() -> None:
    """Have a sweep say what it would run instead of running it, and measure networks in its own process."""
    from sweeps.engine import run
    from trainables.worker import fork_server

    def stream(place: Path, name: str, *arguments: Any, **_: Any) -> Iterator[Any]:
        module, _, function = name.partition(":")
        yield from getattr(importlib.import_module(module), function)(*arguments)

    def run_on_cluster(execution: Any, *rest: Any) -> None:
        record, strategy = execution.record, execution.sweep.strategy
        rest[1].measure([*strategy.representatives, *strategy.follow_ups][:_MOST_MEASURED])
        rest[1].selection.image_rows(rest[1].data)
        print(WOULD_RUN + " ".join(trial for trial in execution.proposed if not record.is_complete(trial)))
        raise SystemExit(0)

    class Analysis:
        """The analysis that follows a sweep: it is tried by itself."""

        stdin, stdout, wait = io.BytesIO(), None, staticmethod(lambda: 0)

    run.subprocess = types.SimpleNamespace(Popen=lambda *_, **__: Analysis(), PIPE=None)  # type: ignore[assignment]
    fork_server.start = lambda place, *_: place.mkdir(parents=True, exist_ok=True)  # type: ignore[assignment]
    fork_server.stop = lambda *_: None  # type: ignore[assignment]
    fork_server.stream = stream  # type: ignore[assignment]
    run._run_on_cluster = run_on_cluster  # type: ignore[assignment]


if __name__ == "__main__":
    _serve()
