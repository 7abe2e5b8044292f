"""What a sweep shows while it runs."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from data_prep.storage import Folder
from sweeps.engine.progress import Display
from sweeps.engine.sweep import FixedList, Strategy, Sweep
from sweeps.record.writer import Record
from trainables import Recipe

ENDED = {"validation_accuracy": 0.75, "best_epoch": 2, "epochs_done": 2, "wall_seconds": 3.0}
FINISHED = {"status": "finished", "reason": "all epochs are trained", **ENDED}
COLLAPSED = {"status": "collapsed", "reason": "it says REAL for every validation image", **ENDED}
ARGUMENTS = '{"dropout": 0.3326075494893721}'


def recipe(seed: int) -> Recipe:
    return Recipe("age-c2-f1", arguments=ARGUMENTS, epochs=2, seed=seed)


def shown(record: Record, strategy: Strategy, steps: Sequence[tuple[Recipe, int | None, dict[str, object]]]) -> None:
    """Show trials that are added one by one, and end: each a recipe, its number in a study, and its columns."""
    display = Display(Sweep("search", "Which?", strategy), record)
    with display.bar:
        for added, number, columns in steps:
            trial = record.add(added, number)
            display.added(record.trials[trial])
            record.update(trial, columns)
            epoch = {"epoch": 2, "validation_accuracy": 0.75}
            display.epoch(record.trials[trial], epoch, is_new=True)
            display.epoch(record.trials[trial], epoch, is_new=True)
            display.ended(record.trials[trial])


def test_trials_that_results_add_are_counted_and_named_by_their_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record(Folder(str(tmp_path)), "data")
    steps = [(recipe(0), 7, FINISHED), (recipe(1), None, FINISHED), (recipe(2), None, COLLAPSED)]
    shown(record, FixedList([recipe(0)]), steps)
    assert capsys.readouterr().out.splitlines() == [
        "   1/1  #7 age-c2-f1             validation accuracy 0.7500 at epoch 2, 3 s",
        "   2/2  #7 age-c2-f1 (seed 1)    validation accuracy 0.7500 at epoch 2, 3 s",
        "   3/3  #7 age-c2-f1 (seed 2)    collapsed: it says REAL for every validation image, 3 s",
    ]


def test_a_sweep_that_continues_counts_from_its_record(tmp_path: Path) -> None:
    record = Record(Folder(str(tmp_path)), "data")
    record.update(record.add(recipe(0)), FINISHED)
    record.update(record.add(recipe(1)), {"epochs_done": 1})
    display = Display(Sweep("search", "Which?", FixedList([recipe(seed) for seed in range(4)])), record)
    assert "1/4 trials, 3/8 epochs" in display.describe()


def test_lines_break_at_words_in_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    shown(Record(Folder(str(tmp_path)), "data"), FixedList([recipe(0)]), [(recipe(0), None, COLLAPSED)])
    words = " ".join(capsys.readouterr().out.split())
    assert "age-c2-f1 dropout=0.3326" in words
    assert "seed 0" in words
    assert "2/2 epochs, best" in words
    assert "…" not in words
