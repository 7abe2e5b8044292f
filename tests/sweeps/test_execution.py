"""The protocol between a sweep's strategy and whoever runs its trials; and Tune's own scheduler on our reports."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.storage import Folder
from support.trees import make_tree
from sweeps.engine.execution import Execution
from sweeps.engine.sweep import FixedList, Stages, Strategy, Sweep
from sweeps.record.writer import Record
from trainables import MODELS, Recipe
from trainables.training.selection import DataSelection
from trainables.worker import fork_server
from trainables.worker.assignment import Shared

EPOCH = {
    "epoch": 1,
    "train_loss": 0.6,
    "train_accuracy": 0.6,
    "validation_loss": 0.5,
    "validation_accuracy": 0.6,
    "validation_auc": 0.7,
    "learning_rate": 1e-3,
    "wall_seconds": 1.0,
}
FINISHED = {"status": "finished", "reason": "all epochs are trained", "best_epoch": 1, "validation_accuracy": 0.6}


def recipes(*seeds: int) -> list[Recipe]:
    return [Recipe("age-c2-f1", epochs=2, seed=seed) for seed in seeds]


def begun(folder: Path, strategy: Strategy, room: int = 8) -> Execution:
    """The execution of a sweep on the record in a folder."""
    images = {"train": 80, "validation": 20}
    record = Record(Folder(str(folder)), "data")
    execution = Execution(
        Sweep("age", "Which?", strategy),
        record,
        images,
        lambda found: found[::-1],
        lambda: None,
    )
    execution.room = lambda: room
    return execution


def test_trials_start_in_the_order_of_their_costs_as_far_as_there_is_room(tmp_path: Path) -> None:
    execution = begun(tmp_path, FixedList(recipes(0, 1, 2)), room=2)
    first, second = execution.next_trial(), execution.next_trial()
    assert [execution.record.trials[str(trial)]["seed"] for trial in (first, second)] == [2, 1]
    assert execution.next_trial() is None
    assert not execution.is_over
    execution.release()
    third = execution.next_trial()
    assert execution.record.trials[str(third)]["seed"] == 0
    execution.release()
    execution.release()
    assert execution.next_trial() is None
    assert execution.is_over


def test_a_stage_begins_when_the_one_before_is_complete(tmp_path: Path) -> None:
    execution = begun(tmp_path, Stages(recipes(0, 1), then=lambda record: recipes(2)))
    trials = [execution.next_trial() for _ in range(2)]
    assert execution.next_trial() is None
    assert not execution.is_over
    for trial in trials:
        execution.enter_report(str(trial), FINISHED)
        execution.release()
    following = execution.next_trial()
    assert execution.record.trials[str(following)]["seed"] == 2
    execution.enter_report(str(following), FINISHED)
    execution.release()
    assert execution.next_trial() is None
    assert execution.is_over


def test_a_failed_trial_is_tried_by_the_next_run_and_a_finished_one_is_not(tmp_path: Path) -> None:
    execution = begun(tmp_path, FixedList(recipes(0, 1)))
    failed, finished = (str(execution.next_trial()) for _ in range(2))
    execution.enter_report(failed, {"status": "failed", "reason": "it did not build", "traceback": None})
    execution.enter_report(finished, EPOCH)
    execution.enter_report(finished, FINISHED)
    assert not execution.queue_unfinished()
    execution.record.write()
    again = begun(tmp_path, FixedList(recipes(0, 1)))
    assert again.next_trial() == failed
    assert again.next_trial() is None


def test_a_trial_whose_end_nobody_reported_is_queued_again(tmp_path: Path) -> None:
    execution = begun(tmp_path, FixedList(recipes(0)))
    trial = str(execution.next_trial())
    execution.mark_running(trial)
    execution.mark_lost(trial, 0, "its node went")
    assert execution.record.trials[trial]["status"] == "pending"
    assert execution.queue_unfinished()
    assert execution.next_trial() == trial
    execution.mark_lost(trial, 4, "its node went")
    assert execution.record.trials[trial]["reason"] == "its worker died 4 times in a row: its node went"
    assert not execution.queue_unfinished()


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        ({"refusal": "The node does not see it."}, InputError),
        ({"storage_errno": errno.ENOSPC, "storage_path": "/data"}, OSError),
    ],
)
def test_what_no_trial_can_mend_ends_the_sweep(report: dict[str, Any], kind: type[Exception], tmp_path: Path) -> None:
    execution = begun(tmp_path, FixedList(recipes(0)))
    trial = str(execution.next_trial())
    with pytest.raises(KeyboardInterrupt):
        execution.enter_report(trial, report)
    assert isinstance(execution.error, kind)


class Strict(FixedList):
    """Stops every trial after its first epoch."""

    def stop_reason(self, record: Record, trial: str) -> str | None:
        """Stop it."""
        return "it had one epoch"


def test_an_epoch_goes_to_its_table_and_a_stopped_trial_has_its_final_row(tmp_path: Path) -> None:
    execution = begun(tmp_path, Strict(recipes(0)))
    trial = str(execution.next_trial())
    assert execution.enter_report(trial, EPOCH | {"parameters": 7, "device": "here", "hostname": "of Tune's"})
    row = execution.record.trials[trial]
    assert (row["status"], row["reason"], row["parameters"], row["device"]) == (
        "stopped",
        "it had one epoch",
        7,
        "here",
    )
    assert (row["validation_accuracy"], row["validation_images"], row["epochs_done"]) == (0.6, 20, 1)
    assert "hostname" not in row
    assert execution.record.history(trial) == [{"trial": trial, **EPOCH}]


@pytest.mark.cluster
def test_tune_s_own_asha_stops_a_trial_by_our_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import tune
    from ray.tune.schedulers import AsyncHyperBandScheduler

    from sweeps.engine import cluster
    from trainables.worker.actor import supervise_trial

    monkeypatch.chdir(tmp_path)
    prepare(str(make_tree(tmp_path / "tree", images=250)), str(tmp_path / "shards"))
    record = Folder(str(tmp_path / "record"))
    record.write_json("manifest.json", {})
    shared = Shared("asha", DataSelection(Folder(str(tmp_path / "shards"))), MODELS, {}, record, "tensorflow", 10)
    rates = {"learns": 1e-3, "does not": 0.0}
    texts = {
        name: json.dumps(Recipe("age-c2-f1", epochs=3, learning_rate=rate).hyperparameters())
        for name, rate in rates.items()
    }
    space = {"trial": tune.grid_search(list(rates)), "recipe": tune.sample_from(lambda spec: texts[spec.config.trial])}
    asha = AsyncHyperBandScheduler(
        "epoch", metric="validation_accuracy", mode="max", max_t=9, grace_period=1, reduction_factor=2
    )
    print(cluster.connect())
    try:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(supervise_trial, shared=shared), {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(scheduler=asha, max_concurrent_trials=1),
            run_config=tune.RunConfig(storage_path=str(tmp_path / "tune"), verbose=0),
        )
        results = {result.config["trial"]: result.metrics for result in tuner.fit()}
    finally:
        cluster.disconnect()
        fork_server.stop()
    assert results["learns"]["status"] == "finished"
    assert "status" not in results["does not"]
    assert results["does not"]["epoch"] == 1
