"""Fixtures that all tests share: the real data where it is at hand, and commands as a user runs them."""

import functools
import gc
import io
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from support.commands import ROOT, Command, Done, run_python


class Groups(LoadScopeScheduling):
    """Keeps tests on one worker: those of a file, which share fixtures; and files that share what is dear to make.

    Files that start Ray are one group, lest a sweep joins another's cluster; `xdist_group` marks the others.
    """

    def _split_scope(self, nodeid: str) -> str:
        # Not by --dist loadgroup itself: pytest-xdist 3.8 writes a group into a node's name, which pytest 9.2 ignores.
        return group_of(nodeid.partition("::")[0])


@functools.cache
def group_of(file: str) -> str:
    """The group of the tests in a file, by what the file marks."""
    source = (ROOT / file).read_text()
    marked = re.search(r'mark\.xdist_group\("(\w+)"\)', source)
    starts_ray = re.search(r"mark\.(cluster|disaster)\b", source)
    return "ray" if starts_ray else marked[1] if marked else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.fixture(scope="session")
def cifake() -> Path:
    """Kaggle's archive of CIFAKE, named by the environment variable CIFAKE_ZIP."""
    return file_named_by("CIFAKE_ZIP", "needs the real CIFAKE: set CIFAKE_ZIP to Kaggle's archive")


@pytest.fixture(scope="session")
def imagenet() -> Path:
    """Keras's file of VGG16's ImageNet weights, named by the environment variable VGG16_WEIGHTS."""
    return file_named_by("VGG16_WEIGHTS", "needs VGG16's ImageNet weights: set VGG16_WEIGHTS to Keras's file")


def file_named_by(variable: str, otherwise: str) -> Path:
    """The file that an environment variable names; without it the test is skipped, and says so."""
    path = Path(os.environ.get(variable, "no such file"))
    if not path.is_file():
        pytest.skip(otherwise)
    return path.resolve()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `python *arguments` in an empty folder, as a user would; returns exit code, output and errors."""
    return lambda *arguments, **options: run_python(*arguments, cwd=options.pop("cwd", tmp_path), **options)


def run_as_main() -> None:
    """Run the module or script that stands first in sys.argv, with the arguments after it."""
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


@pytest.fixture
def command_here(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """As `command`, but in this process, which has the imports already: for input that is refused before much happens.

    `env` is added to the environment; `given` is what can be read from standard input.
    """

    def run(*arguments: object, cwd: Path = tmp_path, env: dict[str, str] | None = None, given: str = "") -> Done:
        words = [str(argument) for argument in arguments]
        handler = signal.getsignal(signal.SIGTERM)
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", words)
            patch.delitem(sys.modules, f"{words[1]}.__main__", raising=False)
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
            with pytest.raises(SystemExit) as ended:
                run_as_main()
        signal.signal(signal.SIGTERM, handler)
        gc.unfreeze()  # what a command freezes as it ends
        return subprocess.CompletedProcess(words, int(str(ended.value.code)), *capfd.readouterr())

    return run
