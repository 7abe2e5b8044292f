"""Records that are not whole: one trial, failures, missing scores, another file system."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis import explain
from analysis.detector import robustness_table
from analysis.figures.style import FORMATS
from analysis.results import judged
from analysis.results.trials import read
from data_prep import InputError
from data_prep.storage import Folder
from support.figures import drawn
from support.records import (
    AGE,
    BEST,
    WORST,
    analyse,
    manifest,
    said,
    twelve,
)
from sweeps.record.writer import Record
from trainables import Recipe
from trainables.record import read_manifest


def test_one_trial(make: Callable[..., Folder]) -> None:
    folder = make([(Recipe(BEST), "finished", {})])
    assert "1 network in 1 trial with 1 seed: 1 ranked." in analyse(folder)
    assert len(judged.confusions(read(folder))) == 1
    assert not folder.exists("figures/grid.png")
    assert not folder.exists("tables/networks.csv")


@pytest.mark.slow
def test_a_half_finished_record(make: Callable[..., Folder]) -> None:
    states = ["finished"] * 4 + ["running"] * 2 + ["pending"] * 6
    folder = make([(Recipe(name), state, {}) for name, state in zip(AGE, states, strict=True)], wall_seconds=None)
    html = analyse(folder)
    assert "4 ranked, 2 running, 6 pending." in html
    assert "The sweep is not finished" in html
    assert all(name in html for name in AGE)


def test_an_all_failed_record_deletes_what_an_earlier_analysis_left(again: Folder) -> None:
    again.write_bytes("figures/mine.txt", b"the user's")
    record = Record(again)
    for trial in record.trials:
        record.update(trial, {"status": "failed", "reason": "MemoryError: <b>"})
    record.write()
    html = analyse(again)
    assert "0 ranked, 12 failed." in html
    assert "MemoryError: &lt;b&gt;" in html
    curves = ["curves.csv", *(f"curves{width}.{kind}" for width in ("", "_column") for kind in FORMATS)]
    assert again.folder("figures").names() == [*sorted(curves), "mine.txt"]
    assert again.folder("tables").names() == ["results.csv", "results.md", "results.parquet", "shown.json"]


def test_scores_of_a_trial_that_was_stopped_as_it_ended_are_no_result(make: Callable[..., Folder]) -> None:
    """A search stops a trial after an epoch, while its process trains the next, the last, and writes its scores."""
    folder = make(twelve())
    record, scored = Record(folder), read(folder).scores.trials
    late = next(trial for trial, row in record.trials.items() if row["network"] == BEST)
    record.update(late, {"status": "stopped", "test_accuracy": None, "epochs_done": 1})
    record.write()
    assert set(scored) - set(read(folder).scores.trials) == {late}


def test_nothing_but_failures_from_the_start_and_nothing_at_all(make: Callable[..., Folder], tmp_path: Path) -> None:
    html = said(make([(Recipe(name), "failed", {"reason": "no"}) for name in AGE]))
    assert "0 ranked, 12 failed." in html
    assert "<img" not in html
    empty = Record(Folder(str(tmp_path / "empty")))
    empty.folder.write_json("manifest.json", {"format_version": 2})
    empty.write()
    assert "The record holds no trial yet." in said(empty.folder)


@pytest.mark.slow
def test_metrics_that_are_not_numbers(make: Callable[..., Folder]) -> None:
    nothing = dict.fromkeys(["test_accuracy", "test_auc", "test_clean_accuracy"], float("nan"))
    trials = [
        (Recipe(AGE[0]), "finished", nothing),
        (Recipe(AGE[1]), "finished", {"validation_accuracy": float("nan")}),
        (Recipe(AGE[2]), "stopped", {"validation_accuracy": None, "test_accuracy": None}),
        (Recipe(AGE[3]), "diverged", {"reason": "the loss was no longer finite"}),
    ]
    folder = make(trials)
    record = Record(folder, "data")
    epoch = {"epoch": 3, "train_loss": float("nan"), "validation_loss": float("inf")}
    record.update(record.identity(Recipe(AGE[3])), {}, epoch)
    record.write()
    html = analyse(folder).replace("\N{NO-BREAK SPACE}", " ")
    results = read(folder)
    assert results.ranked["network"].tolist() == [AGE[0]]
    assert results.flagged["network"].tolist() == [AGE[3], AGE[1], AGE[2]]
    assert not re.search(r">nan|nan %|– %", html)
    assert "clean test accuracy not recorded" in html


def test_scores_that_are_missing_leave_the_matrix_out(make: Callable[..., Folder]) -> None:
    folder = make(twelve())
    folder.delete(f"scores/{Recipe(BEST).identity('data')}.parquet")
    results = read(folder)
    assert "confusion" in drawn(results)
    assert results.trials.set_index("trial").loc[list(judged.confusions(results)), "network"].tolist() == [WORST]


@pytest.mark.slow
def test_a_record_on_another_file_system(make: Callable[..., Folder]) -> None:
    local = make([(Recipe(BEST), "finished", {})])
    remote = Folder(f"file://{local.local_path()}")  # a URI is handled as s3:// is
    analyse(remote)
    assert local.exists("tables/results.csv")
    assert local.exists("figures/curves.png")


@pytest.mark.parametrize(
    "changes",
    [{"data": {"used": {"train": "many"}}}, {"settings": []}, {"seeds": "all"}, {"wall_seconds": "x"}, {"dirty": 7}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_manifest_of_other_types_is_refused(changes: dict[str, Any], make: Callable[..., Folder]) -> None:
    with pytest.raises(InputError, match=r"manifest\.json cannot be read; restore it"):
        read(make(twelve(), **changes))


def test_a_password_in_a_manifest_is_not_passed_on(make: Callable[..., Folder]) -> None:
    """Which an older sweep, or another tool, may have written."""
    told = {"shards": "s3://key:hidden@bucket/x", "source": "s3://key:hid/den@bucket/y and hdfs://host:9/a@b"}
    folder = make(twelve(), data=manifest()["data"] | told, command="age.py --data s3://key:hidden@bucket/x")
    read = read_manifest(folder)
    assert "hid" not in repr(read)
    assert read.data.shards == "s3://key:…@bucket/x"
    assert read.data.source.endswith("hdfs://host:9/a@b")


def test_what_tables_of_commands_lack_or_hold_twice_stops_no_report(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    row = {field.name: None if field.nullable else 0 for field in robustness_table.SCHEMA}
    row |= {"trial": "0" * 12, "network": "n", "fingerprint": "f", "corruption": "jpeg", "part": "test"}
    row |= {"data": "\x1b[2J"}
    twice = pa.Table.from_pylist([row, row], robustness_table.SCHEMA)
    folder.write_table(robustness_table.ROBUSTNESS, twice)
    (only,) = robustness_table.robustness_table(folder).to_dict("records")
    assert (only["data"], only["note"]) == ("\\x1b[2J", "")
    sheet = {field.name: None if field.nullable else 0 for field in explain.SCHEMA} | {"trial": "0" * 12}
    sheet |= {"kind": "uncertain", "split": "test", "called_fake": True}
    folder.write_table(explain.EXPLANATIONS, pa.Table.from_pylist([sheet], explain.SCHEMA))
    assert explain.explanations(folder)["object_class"].tolist() == [""]
