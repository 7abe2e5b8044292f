"""Between a study and Ray: who is told what, and when it is on disk."""

from pathlib import Path

import pandas as pd
from optuna.trial import TrialState

from data_prep.storage import Folder
from support.searches import RATE
from sweeps.engine.execution import Execution
from sweeps.engine.sweep import Sweep
from sweeps.record.writer import Record
from sweeps.searching.space import Hyperparameter, one_of, recipe_fields
from sweeps.searching.strategy import Searching
from sweeps.searching.study import Search
from trainables import Recipe


def opened(folder: Path, asked: Search) -> tuple[Searching, Record]:
    """The strategy of a search, opened on the record in a folder."""
    record = Record(Folder(str(folder / "record")), "data")
    strategy = Searching(asked, lambda drawn: Recipe.of(recipe_fields(drawn)), [Recipe("age-c2-f1")], None, None)
    strategy.open(record, folder)
    return strategy, record


def next_trial(strategy: Searching, record: Record) -> str | None:
    """Identity of the next trial that a strategy proposes."""
    recipes = strategy.next_recipes(record)
    return record.identity(recipes[0]) if recipes else None


SPACE = [Hyperparameter("network", one_of("age-c2-f1")), RATE]
EPOCH = {"epoch": 1, "validation_accuracy": 0.6, "validation_loss": 0.5, "wall_seconds": 1.0}


def test_a_trial_that_failed_is_tried_again_by_the_next_run_only(tmp_path: Path) -> None:
    asked = Search(SPACE, 2, 9)
    strategy, record = opened(tmp_path, asked)
    trials = [str(next_trial(strategy, record)) for _ in range(2)]
    record.update(trials[0], {"status": "failed"})
    record.update(trials[1], {"status": "finished", "validation_accuracy": 0.8})
    assert next_trial(strategy, record) is None
    record.write()
    again, record = opened(tmp_path, asked)
    assert next_trial(again, record) == trials[0]
    assert next_trial(again, record) is None


def test_an_epoch_is_never_on_disk_without_the_verdict_on_it(tmp_path: Path) -> None:
    strategy, record = opened(tmp_path, Search(SPACE, 3, 9))
    sweep = Sweep("search", "Which?", strategy)
    images = {"train": 80, "validation": 20}
    execution = Execution(sweep, record, images, lambda recipes: recipes, lambda: None)
    trial = execution.next_trial()
    assert trial
    with execution.show():
        assert execution.enter_report(trial, {**EPOCH, "batch_size_used": 32})  # the first at its rung
    row = pd.read_parquet(tmp_path / "record" / "trials.parquet").iloc[0]
    assert (row["status"], row["epochs_done"], row["validation_accuracy"]) == ("stopped", 1, 0.6)
    assert (row["batch_size_used"], row["validation_images"], row["best_epoch"]) == (32, 20, 1)


def test_a_study_made_again_does_not_hear_what_the_first_did_not(tmp_path: Path) -> None:
    """Of training that diverged, or of an epoch that came too late for the row of its trial."""
    asked = Search(SPACE, 3, 9, stopping="none")
    strategy, record = opened(tmp_path, asked)
    diverged, late = (str(next_trial(strategy, record)) for _ in range(2))
    record.update(diverged, {"status": "running"}, EPOCH | {"validation_loss": float("nan")})
    assert strategy.stop_reason(record, diverged) is None
    record.update(diverged, {"status": "diverged"})
    record.update(late, {}, EPOCH)
    record.update(late, {"status": "running", "epochs_done": 0})
    record.write()
    again, record = opened(tmp_path, asked)
    first, second = again._study.study.get_trials()
    assert (first.state, first.intermediate_values) == (TrialState.FAIL, {})
    assert (second.state, second.intermediate_values) == (TrialState.RUNNING, {})
    assert again.stop_reason(record, late) is None
    assert again._study.reported(1) == 1
