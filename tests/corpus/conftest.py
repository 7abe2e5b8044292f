"""What the corpus shares: a runner of commands, and a folder with a tree, shards and records that are as they were."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus import records
from corpus.attempts import Runner


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def base(trained_place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree, its shards, the record of two networks on them, another such record, and somebody else's file."""
    place = tmp_path_factory.mktemp("base") / "place"
    shutil.copytree(trained_place, place)
    shutil.copytree(place / "results", place / "other")
    (place / "secret").write_text(records.SECRET)
    return place


@pytest.fixture(scope="session")
def explained(base: Path, runner: Runner) -> Path:
    """The same, once the best network's mistakes are explained, and its robustness is known."""
    place = base.with_name("explained")
    shutil.copytree(base, place)
    for words in (records.DETECT[1], records.DETECT[2]):
        attempt = runner.run(*words, cwd=place)
        assert attempt.code == 0, attempt.err
    return place
