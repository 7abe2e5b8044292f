"""Fixtures that all tests share: the real data where it is at hand, and commands as a user runs them."""

import gc
import io
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import Command, Done, run_python


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests on one worker of pytest-xdist: those of Ray, lest one joins another's cluster; those of a module.

    Other groups, of modules that share what is dear to make, are marked there.
    """
    for item in items:
        starts_ray = any(item.get_closest_marker(name) for name in ("cluster", "disaster"))
        if starts_ray or not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("ray" if starts_ray else item.nodeid.partition("::")[0]))


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
