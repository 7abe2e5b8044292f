"""The record: what is read back is what was written."""

import math
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from data_prep import InputError
from data_prep.storage import Folder
from sweeps.record.writer import Record
from trainables import Recipe
from trainables.record import (
    EPOCHS,
    SCHEMAS,
    SCORES,
    TRIALS,
    TRIALS_PER_PART,
    part_file,
    read_epochs,
    read_scores,
    rows,
    scores_file,
)


def test_a_record_read_back_is_the_one_written(tmp_path: Path) -> None:
    record = Record(Folder(str(tmp_path)))
    first = record.add(Recipe("age-c2-f1"))
    second = record.add(Recipe("age-c2-f2", learning_rate=0.5))
    record.update(first, {"status": "running"}, {"epoch": 1, "train_loss": 0.5})
    record.update(first, {}, {"epoch": 2, "train_loss": 0.4})
    record.update(first, {"status": "finished", "best_epoch": 2, "validation_auc": float("nan")})
    record.write()
    again = Record(Folder(str(tmp_path)))
    again.write()
    assert pd.read_parquet(tmp_path / "trials.parquet")["trial"].tolist() == [first, second]
    assert again.trials.keys() == {first, second}
    assert again.recipe(second) == Recipe("age-c2-f2", learning_rate=0.5)
    assert again.trials[first]["epochs_done"] == 2
    assert again.is_complete(first)
    assert not again.is_complete(second)
    assert [row["epoch"] for row in again.history(first)] == [1, 2]


def test_only_the_parts_that_have_changed_are_written(tmp_path: Path) -> None:
    record = Record(Folder(str(tmp_path)))
    trials = [record.add(Recipe("age-c2-f1", seed=seed)) for seed in range(2 * TRIALS_PER_PART + 1)]
    record.write()
    parts = sorted((tmp_path / "trials.parquet").iterdir())
    assert [path.name for path in parts] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}
    record.update(trials[TRIALS_PER_PART], {}, {"epoch": 1})
    record.write()
    changed = [path for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in changed) == [
        "epochs.parquet/part-00001.parquet",
        "trials.parquet/part-00001.parquet",
    ]
    assert list(Record(Folder(str(tmp_path))).trials) == trials


def test_writing_takes_two_percent_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock and storage are pretended: a write takes so many seconds."""
    record, now, seconds, writes = Record(Folder(str(tmp_path))), [100.0], [0.01], list[float]()

    def write_table(folder: Folder, name: str, *_: object) -> None:
        now[0] += seconds[0] / 2  # of two tables
        writes.append(now[0])

    monkeypatch.setattr("sweeps.record.writer.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Folder, "write_table", write_table)
    trial = record.add(Recipe("age-c2-f1"))

    def seconds_until_the_next_write() -> float:
        record.update(trial, {}, {"epoch": 1})
        record.write()
        count, began = len(writes), now[0]
        while len(writes) == count:
            now[0] += 0.5
            record.update(trial, {}, {"epoch": 1})
            record.write_if_due()
        return now[0] - seconds[0] - began

    assert seconds_until_the_next_write() == pytest.approx(2.5)
    seconds[0] = 0.2
    assert seconds_until_the_next_write() == pytest.approx(10.5, abs=1)
    seconds[0] = 30.0
    assert seconds_until_the_next_write() == pytest.approx(60.5, abs=1)


def test_a_trial_that_begins_again_in_smaller_batches_has_no_old_epochs(tmp_path: Path) -> None:
    record = Record(Folder(str(tmp_path)))
    first, second = (record.add(Recipe("age-c2-f1", seed=seed)) for seed in (1, 2))
    for trial in (first, second):
        for epoch in (1, 2, 3):
            record.update(trial, {"batch_size_used": 32}, {"epoch": epoch})
    record.update(first, {"batch_size_used": 32}, {"epoch": 3})  # as a resumed trial reports
    assert [len(record.epochs[trial]) for trial in (first, second)] == [3, 3]
    record.update(first, {"batch_size_used": 16})
    assert [len(record.epochs[trial]) for trial in (first, second)] == [0, 3]
    assert record.trials[first]["epochs_done"] == 0


def test_epochs_that_a_kill_left_without_their_trial_are_forgotten(tmp_path: Path) -> None:
    """Epochs are written first; the trial is then entered anew, and reports what its checkpoint holds."""
    folder = Folder(str(tmp_path))
    record = Record(folder)
    first, second = (record.add(Recipe("age-c2-f1", seed=seed)) for seed in (1, 2))
    for trial in (first, second):
        record.update(trial, {"status": "running"}, {"epoch": 1})
    record.write()
    trials = folder.read_table(part_file(TRIALS, 0), SCHEMAS[TRIALS])
    folder.write_table(part_file(TRIALS, 0), trials.slice(0, 1))
    again = Record(folder)
    assert set(again.trials) == set(again.epochs) == {first}
    again.add(Recipe("age-c2-f1", seed=2))
    again.write()
    assert [row["trial"] for row in rows(folder, EPOCHS)] == [first]


@pytest.mark.parametrize("rate", [-1.0, 11.0, math.inf])
def test_a_learning_rate_that_no_recipe_has_is_refused(rate: float, tmp_path: Path) -> None:
    row = {"trial": "0" * 12, "epoch": 1, "learning_rate": rate}
    Folder(str(tmp_path)).write_table(part_file(EPOCHS, 0), pa.Table.from_pylist([row], SCHEMAS[EPOCHS]))
    with pytest.raises(InputError, match="use a record that you can trust"):
        read_epochs(Folder(str(tmp_path)))


def test_parts_that_are_too_large_together_are_refused(tmp_path: Path) -> None:
    """Each is read, and would not be refused alone."""
    rows = 150_000
    right = pa.array([bytes(1000)] * rows).dictionary_encode()
    table = pa.table({"trial": ["0" * 12] * rows, "epoch": [1] * rows, "validation_right": right})
    for part in range(4):
        Folder(str(tmp_path)).write_table(part_file(EPOCHS, part), table)
    with pytest.raises(InputError, match=r"more than 536,870,912 bytes of epochs\.parquet"):
        read_epochs(Folder(str(tmp_path)))


@pytest.mark.parametrize("column", ["label", "score"])
def test_scores_with_holes_are_refused(column: str, tmp_path: Path) -> None:
    row = {"split": "test", "row": 0, "label": 1, "score": 0.5} | {column: None}
    nullable = pa.schema([field.with_nullable(True) for field in SCORES])  # as older sweeps wrote them
    Folder(str(tmp_path)).write_table(scores_file("0" * 12), pa.Table.from_pylist([row], nullable))
    with pytest.raises(InputError, match=f"column {column} has 1 nulls"):
        read_scores(Folder(str(tmp_path)), "0" * 12)
