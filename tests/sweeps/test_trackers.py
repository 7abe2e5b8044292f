"""Trackers of a real sweep that was killed and went on: each epoch once."""

import json
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context

from support.commands import run_python
from support.trackers import EPOCHS, SWEEP, environment, mlflow_client
from support.trees import make_tree

pytestmark = pytest.mark.cluster

CURVES = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
    "auc/validation": "validation_auc",
    "learning_rate": "learning_rate",
}
FINAL = [f"{split}_{name}" for split in ("validation", "test", "test_clean") for name in ("loss", "accuracy", "auc")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that was killed once every tracker had an epoch, and then finished by the same command."""
    place = tmp_path_factory.mktemp("trackers")
    make_tree(place / "tree", images=150)
    done = run_python("-m", "data_prep", "--source", "tree", "--out", "shards", "--validation", 0.2, cwd=place)
    assert done.returncode == 0, done.stderr
    mlflow_client(place).search_experiments()  # makes the store, which takes MLflow longer than the sweep
    words = [sys.executable, *map(str, SWEEP), "--track", "mlflow", "--track", "wandb"]
    sweep = subprocess.Popen(words, cwd=place, env=environment(place), stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not all_have_begun(place):
        assert time.monotonic() < until
        assert sweep.poll() is None, "the sweep ended before it could be killed"
        time.sleep(0.05)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    (place / "epochs when killed").write_text(str(len(pd.read_parquet(place / "results/zoo/epochs.parquet"))))
    done = run_python(*SWEEP, "--track", "mlflow", "--track", "wandb", cwd=place, env=environment(place))
    assert done.returncode == 0, done.stderr
    return place


def all_have_begun(place: Path) -> bool:
    """Whether each tracker has an epoch."""
    runs = list((place / "results/zoo/tensorboard").glob("*/events*"))
    return (
        any(path.stat().st_size > 200 for path in runs)
        and any(wandb_steps(path) for path in wandb_files(place))
        and bool(mlflow_steps(place))
    )


def mlflow_steps(place: Path) -> list[int]:
    import sqlite3

    try:
        with sqlite3.connect(f"file:{place}/mlflow.db?mode=ro", uri=True) as store:
            return [step for (step,) in store.execute("select step from metrics where key = 'loss/train'")]
    except sqlite3.OperationalError:  # not there yet
        return []


def wandb_files(place: Path) -> list[Path]:
    return sorted((place / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.parent.name)


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of W&B's own file: LevelDB's log of blocks of 32 KiB, a header of 7 bytes before them all."""
    from wandb.proto import wandb_internal_pb2

    content, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32_768 - place % 32_768 < 7:
            place += 32_768 - place % 32_768
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def wandb_steps(path: Path) -> list[int]:
    return [each.history.step.num for each in wandb_records(path) if each.WhichOneof("record_type") == "history"]


def rows(place: Path) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = pd.read_parquet(place / "results/zoo/trials.parquet").to_dict("records")
    return trials


def curve(place: Path, trial: str, column: str) -> list[float]:
    epochs = pd.read_parquet(place / "results/zoo/epochs.parquet")
    return list(epochs[epochs["trial"] == trial].sort_values("epoch")[column])


# ── a sweep that was killed and went on ───────────────────────────────────────────────────────────────────────────────


def test_the_sweep_was_killed_on_its_way(place: Path) -> None:
    assert 0 < int((place / "epochs when killed").read_text()) < 2 * EPOCHS


def test_tensorboard_has_each_epoch_once(place: Path) -> None:
    folders = list((place / "results/zoo/tensorboard").iterdir())
    assert {path.name for path in folders} == {f"{row['network']}-seed0-{row['trial']}" for row in rows(place)}
    for path in folders:
        events = EventAccumulator(str(path)).Reload()
        assert set(events.Tags()["scalars"]) == {*CURVES, "wall_seconds"}
        for tag, column in CURVES.items():
            assert [event.step for event in events.Scalars(tag)] == list(range(1, EPOCHS + 1))
            stored = np.float32(curve(place, path.name[-12:], column))
            assert np.array_equal(np.float32([event.value for event in events.Scalars(tag)]), stored)


def test_hparams_set_hyperparameters_against_validation_metrics_alone(place: Path) -> None:
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(place / "results/zoo"))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(place / "results/zoo"))
    plugin, request = Context(TBContext(data_provider=provider)), RequestContext()
    experiment = plugin.experiment_from_metadata(request, "", True, plugin.hparams_metadata(request, ""), [])
    assert {each.name.tag for each in experiment.metric_infos} == {f"final/{name}" for name in FINAL[:3]}
    hyperparameters = {each.name: each for each in experiment.hparam_infos}
    assert {"network", "learning_rate", "batch_size", "optimizer", "seed"} <= set(hyperparameters)
    assert {each.string_value for each in hyperparameters["network"].domain_discrete.values} == {
        "age-c2-f1",
        "age-c4-f2",
    }


def test_mlflow_has_one_run_a_trial_with_each_epoch_once(place: Path) -> None:
    client = mlflow_client(place)
    runs = client.search_runs([client.get_experiment_by_name("zoo").experiment_id])
    by_trial = {run.data.tags["trial"]: run for run in runs}
    assert len(runs) == len(by_trial) == 2
    fingerprint = json.loads((place / "results/zoo/manifest.json").read_text())["data"]["fingerprint"]
    for row in rows(place):
        run = by_trial[row["trial"]]
        assert (run.info.status, run.info.run_name) == ("FINISHED", f"{row['network']}-seed0")
        assert (run.data.tags["status"], run.data.tags["data_fingerprint"]) == (row["status"], fingerprint)
        assert run.data.params["network"] == row["network"]
        assert float(run.data.params["learning_rate"]) == row["learning_rate"]
        for tag, column in CURVES.items():
            history = sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, tag))
            assert history == list(enumerate(curve(place, row["trial"], column), 1))
        assert {name: run.data.metrics[f"final/{name}"] for name in FINAL} == {name: row[name] for name in FINAL}


def test_wandb_has_each_epoch_once_in_a_trial_s_last_file(place: Path) -> None:
    for row in rows(place):
        files = [path for path in wandb_files(place) if row["trial"] in path.name]
        records = list(wandb_records(files[-1]))
        assert len({path.name for path in files}) == 1  # one id, however often it was begun
        assert wandb_steps(files[-1]) == list(range(1, EPOCHS + 1))
        run = next(each.run for each in records if each.WhichOneof("record_type") == "run")
        assert (run.project, run.display_name) == ("zoo", f"{row['network']}-seed0")
        config = {item.key: json.loads(item.value_json) for item in run.config.update}
        assert (config["network"], config["trial"]) == (row["network"], row["trial"])
        assert [each.exit.exit_code for each in records if each.WhichOneof("record_type") == "exit"] == [0]
        history = [each.history for each in records if each.WhichOneof("record_type") == "history"]
        assert [logged(each)["loss/validation"] for each in history] == curve(place, row["trial"], "validation_loss")


def logged(history: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in history.item}


def test_a_sweep_that_is_over_tells_nobody_anything_again(place: Path) -> None:
    def state() -> tuple[Any, ...]:
        files = [*(place / "results/zoo/tensorboard").rglob("events*"), *wandb_files(place)]
        return len(mlflow_steps(place)), {path: path.stat().st_mtime_ns for path in files}

    before = state()
    done = run_python(*SWEEP, "--track", "mlflow", "--track", "wandb", cwd=place, env=environment(place))
    assert done.returncode == 0, done.stderr
    assert state() == before


def test_what_a_tracker_missed_is_sent_by_the_same_command(place: Path, tmp_path: Path) -> None:
    """A store that is away in the first run, and there in the second."""
    away = environment(place, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    done = run_python(*SWEEP, "--track", "mlflow", cwd=place, env=away)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("mlflow failed (") == 1
    assert "mlflow lacks 2 trials; run the same command again to send them." in done.stderr
    done = run_python(*SWEEP, "--track", "mlflow", cwd=place, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert sorted(mlflow_steps(tmp_path)) == sorted([*range(1, EPOCHS + 1)] * 2)


# ── bad luck and bad input ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_is_away_does_not_stop_a_sweep(place: Path) -> None:
    words = (*SWEEP[:3], "--data", "shards", "--smoke", "--results", "away", "--track", "mlflow")
    done = run_python(*words, cwd=place, env=environment(place, MLFLOW_TRACKING_URI="http://127.0.0.1:9"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("mlflow failed (") == 1
    assert set(pd.read_parquet(place / "away/zoo/trials.parquet")["status"]) == {"finished"}
