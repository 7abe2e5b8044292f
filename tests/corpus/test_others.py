"""Changed shards, leases and files: the whole by `pytest -m corpus tests/corpus`."""

import collections
import shutil
from pathlib import Path

import pytest

from corpus import judging, others
from corpus.attempts import Runner

pytestmark = pytest.mark.xdist_group("trained")

KINDS = {"shards": (others.of_shards, 200), "leases": (others.of_leases, 50), "files": (others.of_files, 100)}
CASES = {kind: list(make()) for kind, (make, _) in KINDS.items()}
SOME = 2


def tried(case: others.Case, base: Path, place: Path, runner: Runner) -> list[str]:
    """What is wrong with what a command does in the changed folder."""
    shutil.copytree(base, place)
    case.change(place)
    attempt = runner.run(*case.words, cwd=place)
    found = list(judging.faults(attempt, case.words, case.is_refused, place))
    if case.is_refused:
        found += [f"left {name}" for name in ("made/age", "new") if (place / name).exists()]
    shutil.rmtree(place)
    return [f"{case.name}: {' '.join(case.words)}: {fault}" for fault in found]


@pytest.mark.parametrize(
    "case", [case for cases in CASES.values() for case in cases[:: len(cases) // SOME]], ids=lambda case: case.name
)
def test_a_changed_folder(case: others.Case, base: Path, tmp_path: Path, runner: Runner) -> None:
    assert tried(case, base, tmp_path / "place", runner) == []


@pytest.mark.corpus
@pytest.mark.parametrize("kind", KINDS)
def test_all_changed_folders(kind: str, base: Path, tmp_path: Path, runner: Runner) -> None:
    cases = CASES[kind]
    assert len(cases) >= KINDS[kind][1]
    found = [fault for case in cases for fault in tried(case, base, tmp_path / "place", runner)]
    count = collections.Counter("refused" if case.is_refused else "accepted" for case in cases)
    print(f"{len(cases)} {kind}: {dict(count)}; {len(found)} faults; {runner}")
    assert found == [], "\n".join(found)
