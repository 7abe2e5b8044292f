"""Trackers alone: their files, their servers, and their packages."""

import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_prep.storage import Folder
from support.commands import Command, refused, run_python, wait_until
from support.trackers import ZOO, environment, mlflow_client
from sweeps.record.lease import Lease
from sweeps.record.writer import Record
from sweeps.trackers.following import Exporter, following
from sweeps.trackers.mlflow import MLflow
from sweeps.trackers.tensorboard import TensorBoard
from sweeps.trackers.trial import Tracker, Trial
from trainables import Recipe

# ── servers and packages that are not there ───────────────────────────────────────────────────────────────────────────


def test_a_server_that_never_answers_does_not_hold_up_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # which accepts, and says nothing
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        record = Record(Folder(str(tmp_path)))
        trial = record.add(Recipe("age-c2-f1"))
        record.update(trial, {"status": "running"}, {"epoch": 1, "wall_seconds": 1.0})
        with following(record, "age", ["mlflow"], Lease(record.folder)):
            server.settimeout(60)
            with server.accept()[0]:  # now it is being waited for
                started = time.monotonic()
                for epoch in range(2, 1001):
                    record.update(trial, {}, {"epoch": epoch, "wall_seconds": 1.0})
                assert time.monotonic() - started < 1
            server.close()  # and the tracker need not wait for its time-out


class Picky(Tracker):
    """A tracker that cannot take the first seed."""

    target = "picky"

    def __init__(self) -> None:
        self.taken: list[tuple[int, list[int]]] = []

    def write(self, trial: Trial) -> None:
        """Keep seed and epochs of a trial."""
        if trial.row["seed"] == 0:
            raise ValueError("not this one")
        self.taken.append((trial.row["seed"], list(trial.epochs)))


def test_a_trial_that_a_tracker_cannot_take_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sweeps.trackers.following._SECONDS_AFTER_FAILURE", 0.01)
    record, picky = Record(Folder(str(tmp_path))), Picky()
    trials = [record.add(Recipe("age-c2-f1", seed=seed)) for seed in range(3)]
    for trial in trials[:2]:
        record.update(trial, {"status": "running"}, {"epoch": 1, "wall_seconds": 1.0})
    exporter = Exporter("picky", picky, record)
    assert exporter.behind() == trials[:2]  # the third has nothing to show yet
    exporter.start()
    wait_until(lambda: len(picky.taken) == 1, 10)
    record.update(trials[1], {"status": "finished"}, {"epoch": 2, "wall_seconds": 1.0})
    wait_until(lambda: len(picky.taken) == 2, 10)
    exporter.ending.set()
    exporter.join()
    assert picky.taken == [(1, [1]), (1, [1, 2])]
    assert exporter.behind() == trials[:1]
    assert capsys.readouterr().err == "picky failed (not this one); the sweep goes on and tries again.\n"
    record.write()  # the ledger knows which trials are complete there
    assert Exporter("picky", Picky(), Record(Folder(str(tmp_path)))).behind() == trials[:1]


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_missing_package_is_named_before_anything_starts(
    package: str, tmp_path: Path, command_here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = refused(command_here(ZOO, "--smoke", "--track", package))
    assert f'pip install -e ".[{package}]"' in message
    assert not (tmp_path / "results").exists()


def test_wandb_without_a_key_is_refused_before_anything_starts(tmp_path: Path) -> None:
    alone = environment(tmp_path, HOME=str(tmp_path), NETRC=str(tmp_path / "none"))
    del alone["WANDB_MODE"]
    message = refused(run_python(ZOO, "--smoke", "--track", "wandb", cwd=tmp_path, env=alone))
    assert "WANDB_MODE=offline" in message
    assert not (tmp_path / "results").exists()


# ── TensorBoard's files ───────────────────────────────────────────────────────────────────────────────────────────────


def tracked(epochs: int, status: str = "running") -> Trial:
    row = {"trial": "0123456789ab", **Recipe("age-c2-f1").hyperparameters(), "status": status, "best_epoch": 1}
    return Trial(row, {epoch: {"train_loss": 1 / epoch, "wall_seconds": 2.0} for epoch in range(1, epochs + 1)})


def test_a_trial_that_is_tried_again_has_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    store = MLflow("age", "fingerprint")
    store.begin("token")
    store.write(tracked(2, "failed"))
    store.write(tracked(3))
    store.leave()
    client = mlflow_client(tmp_path)
    (run,) = client.search_runs([client.get_experiment_by_name("age").experiment_id])
    assert [each.step for each in client.get_metric_history(run.info.run_id, "loss/train")] == [1, 2, 3]
    assert (run.info.status, run.data.params["network"]) == ("KILLED", "age-c2-f1")


@pytest.mark.parametrize("scheme", ["", "file://"], ids=["appended", "replaced as on an object store"])
def test_curves_can_be_read_while_they_grow(scheme: str, tmp_path: Path) -> None:
    tensorboard = TensorBoard(Folder(f"{scheme}{tmp_path}"))
    tensorboard.write(tracked(2))
    folder = tmp_path / "tensorboard" / "age-c2-f1-seed0-0123456789ab"
    open_reader = EventAccumulator(str(folder)).Reload()
    tensorboard.write(tracked(3))
    reader = EventAccumulator(str(folder)) if scheme else open_reader  # who has a local file open goes on reading it
    events = reader.Reload().Scalars("loss/train")
    assert [(event.step, event.value) for event in events] == [(1, 1.0), (2, 0.5), (3, np.float32(1 / 3))]
    assert np.allclose(np.diff([event.wall_time for event in events]), 2.0)


@pytest.mark.parametrize("lost", [1, 30, 10_000])
def test_a_file_that_a_kill_cut_short_is_completed(lost: int, tmp_path: Path) -> None:
    TensorBoard(Folder(str(tmp_path))).write(tracked(3))
    path = next((tmp_path / "tensorboard").rglob("events*"))
    path.write_bytes(path.read_bytes()[:-lost])
    TensorBoard(Folder(str(tmp_path))).write(tracked(4))
    events = EventAccumulator(str(path.parent)).Reload().Scalars("loss/train")
    assert [event.step for event in events] == [1, 2, 3, 4]


def test_a_file_that_is_ahead_of_the_record_waits_for_it(tmp_path: Path) -> None:
    for epochs in (3, 1, 4):
        TensorBoard(Folder(str(tmp_path))).write(tracked(epochs))
    path = next((tmp_path / "tensorboard").rglob("events*"))
    assert [event.step for event in EventAccumulator(str(path.parent)).Reload().Scalars("loss/train")] == [1, 2, 3, 4]
