"""Command lines, right ones and wrong ones: the whole by `pytest -m corpus tests/corpus`."""

import collections
import shutil
from pathlib import Path

import pytest

from corpus import command_lines, judging
from corpus.attempts import Runner

pytestmark = pytest.mark.xdist_group("trained")

LINES = list(command_lines.lines())
SOME = 10


def tried(line: command_lines.Line, place: Path, runner: Runner) -> list[str]:
    """What is wrong with what a command does; what it has made is deleted."""
    before = sorted(place.rglob("*"))
    attempt = runner.run(*line.words, cwd=place)
    found = list(judging.faults(attempt, line.words, line.is_refused, place))
    made = sorted(set(place.rglob("*")) - set(before))
    if line.is_refused:
        found += [f"left {path.relative_to(place)}" for path in made]
    for path in made:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return [f"{line!s:.200}: {fault}" for fault in found]


@pytest.fixture(scope="module")
def place(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the base, with odd files."""
    place = tmp_path_factory.mktemp("lines") / "place"
    shutil.copytree(base, place)
    command_lines.odd_files(place)
    return place


@pytest.mark.parametrize(
    "line", LINES[:: len(LINES) // SOME], ids=lambda line: f"{line!s:.100}".encode("unicode_escape").decode()
)
def test_a_command_line(line: command_lines.Line, place: Path, runner: Runner) -> None:
    assert tried(line, place, runner) == []


@pytest.mark.corpus
def test_all_command_lines(place: Path, runner: Runner) -> None:
    assert len(LINES) >= 400
    found = [fault for line in LINES for fault in tried(line, place, runner)]
    count = collections.Counter("refused" if line.is_refused else "accepted" for line in LINES)
    print(f"{len(LINES)} command lines: {dict(count)}; {len(found)} faults; {runner}")
    assert found == [], "\n".join(found)
