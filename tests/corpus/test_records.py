"""Changed records, put to every command that reads what was changed: the whole by `pytest -m corpus tests/corpus`."""

import collections
import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus import judging, records
from corpus.attempts import Runner
from trainables.record import SCHEMAS

pytestmark = pytest.mark.xdist_group("trained")

MUTATIONS = list(records.mutations())
#: The default run tries so many, of the files that every record has, with the commands that are run most.
SOME = 4
FEW = [mutation for mutation in MUTATIONS if mutation.file in (*SCHEMAS, "manifest.json")]


def tried(
    mutation: records.Mutation, base: Path, place: Path, runner: Runner, only: tuple[tuple[str, ...], ...] = ()
) -> list[str]:
    """What is wrong with what commands do with the changed record."""
    shutil.copytree(base, place, symlinks=True)
    record = place / "results/zoo"
    mutation.change(record)
    found = []
    for words, is_refused in mutation.commands.items():
        if only and words not in only:
            continue
        attempt = runner.run(*words, cwd=place)
        faults = list(judging.faults(attempt, words, is_refused, place))
        if not is_refused and not faults:
            faults += judging.unescaped(record)
            if words == records.REPORT:
                faults += differences(record)
        found += [f"{mutation.name}: {' '.join(words)}: {fault}" for fault in faults]
    shutil.rmtree(place)
    return found


def differences(record: Path) -> Iterator[str]:
    """Where the report's table is not what its files say."""
    shown = pd.read_csv(record / "tables/results.csv").dropna(subset=["rank"]).set_index("trial")
    told = records.recomputed(record)
    for column in told.columns if list(shown.index) == list(told.index) else ():
        if not np.allclose(shown[column], told[column], equal_nan=True):
            yield f"{column} is {list(shown[column])}, not {list(told[column])}"
    if list(shown.index) != list(told.index):
        yield f"the ranking is {list(shown.index)}, not {list(told.index)}"


@pytest.mark.parametrize("mutation", FEW[:: len(FEW) // SOME], ids=lambda mutation: mutation.name)
def test_a_changed_record(mutation: records.Mutation, base: Path, tmp_path: Path, runner: Runner) -> None:
    assert tried(mutation, base, tmp_path / "place", runner, (records.RESUME, records.REPORT)) == []


@pytest.mark.corpus
def test_all_changed_records(explained: Path, tmp_path: Path, runner: Runner) -> None:
    """By two runners: one would take more than an hour."""
    assert len(MUTATIONS) >= 500
    runners, again = [runner, Runner()], list[str]()

    def half(number: int) -> list[str]:
        found = []
        for each in MUTATIONS[number::2]:
            faults = tried(each, explained, tmp_path / f"place-{number}", runners[number])
            if any(judging.is_slow(fault) for fault in faults):  # as where the machine halts for a while
                again.append(each.name)
                faults = tried(each, explained, tmp_path / f"place-{number}", runners[number])
            found += faults
        return found

    with ThreadPoolExecutor(len(runners)) as pool:
        found = [*itertools.chain(*pool.map(half, range(len(runners))))]
    runners[1].close()
    count = collections.Counter("refused" if mutation.is_refused else "accepted" for mutation in MUTATIONS)
    print(f"{len(MUTATIONS)} records: {dict(count)}; {len(found)} faults; {runner}; tried again: {again}")
    assert found == [], "\n".join(found)
