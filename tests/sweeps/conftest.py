"""Fixtures that the tests of this folder share."""

from pathlib import Path

import pytest

from support.commands import run_python
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
def undisturbed(place: Path) -> Path:
    """The results of the four, left in peace."""
    done = run_python(*FOUR, "--results", "undisturbed", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "undisturbed"
