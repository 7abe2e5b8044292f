"""Fixtures that all tests share: the real data where it is at hand, and commands as a user runs them."""

import collections
import functools
import gc
import io
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from data_prep.job import prepare
from support.commands import ROOT, Command, Done, run_python, trained
from support.detectors import AGE, CUSTOM
from support.trees import make_tree

#: Each worker has its own folder for temporary files, and so its own Ray: no sweep joins another's cluster.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix=f"{WORKER}-")


class Groups(LoadScopeScheduling):
    """Keeps tests on one worker: those of a file, which share fixtures; and files of one `xdist_group`."""

    def _split_scope(self, nodeid: str) -> str:
        # Not by --dist loadgroup itself: pytest-xdist 3.8 writes a group into a node's name, which pytest 9.2 ignores.
        return group_of(nodeid.partition("::")[0])


@functools.cache
def group_of(file: str) -> str:
    """The group of the tests in a file: the one that it marks, of files that share what is dear to make, or itself."""
    marked = re.search(r'mark\.xdist_group\("(\w+)"\)', (ROOT / file).read_text())
    return marked[1] if marked else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(trylast=True)  # once those that do not run are deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups that take longest, so that in the end no worker is alone with one of them."""
    groups = {item: group_of(item.nodeid.partition("::")[0]) for item in items}
    seconds = collections.Counter[str]()
    for item, group in groups.items():
        seconds[group] += (
            20 if any(map(item.get_closest_marker, ("slow", "cluster", "real", "disaster", "corpus"))) else 1
        )
    items.sort(key=lambda item: -seconds[groups[item]])


def pytest_sessionfinish() -> None:
    if WORKER:
        shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)


@pytest.fixture(scope="session")
def trained_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a tree of images, its shards, and results/zoo: the record of two networks on them."""
    folder = tmp_path_factory.mktemp("trained")
    make_tree(folder / "tree", images=120)
    prepare(str(folder / "tree"), str(folder / "shards"))
    return trained(folder, "--models", f"{AGE},{CUSTOM}", "--data", "shards", "--smoke")


@pytest.fixture(scope="session")
def cifake() -> Path:
    """Kaggle's archive of CIFAKE, named by the environment variable CIFAKE_ZIP."""
    return file_named_by("CIFAKE_ZIP", "needs the real CIFAKE: set CIFAKE_ZIP to Kaggle's archive")


@pytest.fixture(scope="session")
def cifake_shards(cifake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of all of CIFAKE, which the workers share: the first one to want them makes them."""
    place = tmp_path_factory.getbasetemp().parent if WORKER else tmp_path_factory.mktemp("real")
    prepare(str(cifake), str(place / "cifake"))
    return place / "cifake"


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


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A command that ends within a test's process leaves it without the usual handlers of signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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
        gc.unfreeze()  # what a command freezes as it ends
        return subprocess.CompletedProcess(words, int(str(ended.value.code)), *capfd.readouterr())

    return run
