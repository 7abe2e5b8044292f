"""Fixtures that the tests of this folder share."""

from pathlib import Path

import pytest

from data_prep.job import prepare
from support.commands import run_python, trained
from support.sweeps import (
    AGE,
    FOUR,
    TINY,
)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the sample's shards in it and one undisturbed sweep, in results/age."""
    folder = tmp_path_factory.mktemp("sweeps")
    done = run_python(AGE, *TINY, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="session")
def small_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the sample's shards, a file, and the record of one network in results/zoo. No Ray."""
    folder = tmp_path_factory.mktemp("small")
    prepare("sample", str(folder / "shards" / "sample"))
    (folder / "output.txt").touch()
    return trained(folder, "--models", "age-c2-f1", *TINY)


@pytest.fixture(scope="session")
def undisturbed(place: Path) -> Path:
    """The results of the four, left in peace."""
    done = run_python(*FOUR, "--results", "undisturbed", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "undisturbed"
