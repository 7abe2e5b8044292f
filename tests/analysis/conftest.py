"""Fixtures that the tests of the analysis share: synthetic records, and a record of trained networks."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import pytest

from analysis.results.trials import Results, read
from data_prep.storage import Folder
from support.commands import Command
from support.detectors import AGE, CUSTOM
from support.records import analyse, twelve, write


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Folder]:
    return partial(write, tmp_path)


@pytest.fixture(scope="session")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, str]:
    """The record of the twelve, analysed, and its report. Not to be changed."""
    folder = write(tmp_path_factory.mktemp("analysed"), twelve())
    return folder, analyse(folder)


@pytest.fixture
def again(analysed: tuple[Folder, str], tmp_path: Path) -> Folder:
    """A copy of the analysed record, to be changed."""
    return Folder(str(shutil.copytree(analysed[0].local_path(), tmp_path / "age")))


@pytest.fixture(scope="session")
def results(analysed: tuple[Folder, str]) -> Results:
    return read(analysed[0])


@pytest.fixture(scope="session")
def place(trained_place: Path) -> Path:
    """The working folder with a tree of images, its shards, and the record of two networks on them."""
    return trained_place


@pytest.fixture(scope="session")
def record(place: Path) -> Path:
    return place / "results" / "zoo"


@pytest.fixture
def copy(record: Path, tmp_path: Path) -> Path:
    """A copy of the record, to be tampered with."""
    return Path(shutil.copytree(record, tmp_path / "copy"))


@pytest.fixture(scope="session")
def devices() -> None:
    """Have TensorFlow look for devices, of which it tells on standard error."""
    keras.ops.zeros(1)


@pytest.fixture
def analysis(place: Path, command_here: Command, devices: None) -> Command:
    """Run `python -m analysis *arguments` where the record is."""
    return lambda *arguments, **options: command_here("-m", "analysis", *arguments, cwd=place, **options)


@pytest.fixture
def exported(place: Path, analysis: Command) -> Path:
    """The folder of both networks' exports, each in a folder of its name."""
    for network in (AGE, CUSTOM):
        if not (place / "out" / network).exists():
            done = analysis("export", f"results/zoo:{network}", "--out", f"out/{network}")
            assert done.returncode == 0, done.stderr
    return place / "out"
