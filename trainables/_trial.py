"""A trial: the training loop's Ray face. One process runs many trials, one after another.

What a trial reports is what its record stores, so that the driver only has to write it down.
"""

import errno
import gc
import os
import platform
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray
from ray import tune

from data_prep._storage import Folder
from trainables._data import Data
from trainables._network import Network
from trainables._recipe import Recipe
from trainables._weights import Layers

if TYPE_CHECKING:
    from trainables._train import Run

SCORES = pa.schema([("split", pa.string()), ("row", pa.int32()), ("label", pa.int8()), ("score", pa.float32())])

_MOST_HALVINGS = 3


def run_trial(
    config: dict[str, Any], *, data: Data, models: dict[str, Network], weights: dict[str, Layers], record: Folder
) -> None:
    """Train, checkpoint, score and report one trial, from wherever its last checkpoint stands.

    `config["order"]` has the trial's identity, `trial`, and its recipe's `knobs`. Reports have `rows`, epochs not yet
    reported, and `result`, columns of the trial's row. An error of the trial's own is reported, not raised: Ray would
    try it again, identically, while the loss of a worker is Ray's to repeat. A full disk is no trial's own: it is
    reported as `disk_full`, the folder, and ends the sweep.
    """
    started = time.perf_counter()
    result: dict[str, Any] = {"hardware": _hardware(), **_resources()}
    try:
        _train_and_score(Task(**config["order"], data=data, models=models, weights=weights, record=record), result)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            tune.report({"rows": [], "result": {}, "disk_full": str(record)})
            return
        result |= {
            "status": "failed",
            "reason": f"{type(error).__name__}: {_gist(error)}",
            "traceback": traceback.format_exc(),
        }
    tune.report({"rows": [], "result": result | {"wall_seconds": time.perf_counter() - started}})


@dataclass(frozen=True)
class Task:
    """What a trial is told: its identity and its recipe's knobs, and what all trials share."""

    trial: str
    knobs: dict[str, Any]
    data: Data
    models: dict[str, Network]
    weights: dict[str, Layers]
    record: Folder

    @property
    def checkpoints(self) -> Folder:
        """Where this trial's checkpoints are."""
        return self.record.folder(f"checkpoints/{self.trial}")


def _train_and_score(task: Task, result: dict[str, Any]) -> None:
    from trainables import _checkpoint, _pipeline, _train  # TensorFlow: the worker's to import, not the driver's

    _pipeline.set_up(max(1, int(result["cpus"])))
    recipe = Recipe.of(task.knobs)
    run = _train.start(recipe, task.data, task.models, task.weights)
    result |= {"parameters": run.model.count_params(), "initial_weights": run.initial_weights}
    _checkpoint.restore(run, task.checkpoints)
    while True:
        try:
            scores = _run_to_its_end(run, task, result)
            break
        except Exception as error:
            if not _is_out_of_memory(error) or run.batch_size // 2 < max(1, recipe.batch_size >> _MOST_HALVINGS):
                raise
            half = run.batch_size // 2
        del run  # and with it its memory, before another is made
        gc.collect()
        run = _train.start(recipe, task.data, task.models, task.weights, half)
    task.record.write_table(f"scores/{task.trial}.parquet", _score_table(task.data, scores))
    result |= {"epochs_done": len(run.history), "best_epoch": run.best_epoch, **_metrics(task.data, scores)}
    status, reason = verdict(run.history, task.data, scores, run.stop_reason)
    if run.batch_size < recipe.batch_size:
        reason += f"; memory was too short for a batch of {recipe.batch_size}, so it was trained in {run.batch_size}s"
    result |= {"status": status, "reason": reason}


def _run_to_its_end(run: "Run", task: Task, result: dict[str, Any]) -> dict[str, np.ndarray]:
    """Train, with a checkpoint and a report after each epoch, and score."""
    from trainables import _checkpoint, _train

    result |= {"batch_size_used": run.batch_size}
    tune.report({"rows": list(run.history), "result": dict(result)})
    _train.train(
        run,
        task.data,
        callbacks=[
            lambda run: _checkpoint.save(run, task.checkpoints),
            lambda run: tune.report({"rows": run.history[-1:], "result": {}}),
        ],
    )
    return _train.score_best(run, task.data)


def _gist(error: Exception) -> str:
    """What an error says, on one line: TensorFlow puts a screenful of layers between its first line and its last."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("[", "Hint:"))]
    return " ".join(dict.fromkeys([*told[:1], *told[-1:]]))


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a device's memory was too short, by TensorFlow's name for it or JAX's."""
    return type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error)


def verdict(
    history: list[dict[str, float]], data: Data, scores: dict[str, np.ndarray], stop_reason: str | None
) -> tuple[str, str]:
    """The status of a trial that has ended, and the reason in words: diverged, collapsed, or finished.

    Collapsed is a network that answers the same for every validation image, or no better than chance: an accuracy
    within two standard errors of the commoner label's share.
    """
    from trainables._train import chance_level

    if not np.isfinite(history[-1]["train_loss"]) or not np.isfinite(history[-1]["validation_loss"]):
        return "diverged", f"the loss was no longer finite after epoch {len(history)}"
    if data.is_smoke:
        return "finished", "a smoke run, too short to judge"
    says_fake = scores["validation"] > 0
    accuracy = float((says_fake == (data.validation.labels == 1)).mean())
    if says_fake.all() or not says_fake.any():
        return "collapsed", f"it says {'FAKE' if says_fake.all() else 'REAL'} for every validation image"
    if accuracy <= chance_level(data.validation.labels):
        return "collapsed", f"its validation accuracy, {accuracy:.3f}, is within noise of chance"
    return "finished", stop_reason or ""


def _metrics(data: Data, scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """The metrics of the best epoch: on validation, on all of test, and on the test images not in train."""
    from trainables._train import metrics

    clean = ~data.test.in_train
    parts = {
        "validation": (data.validation.labels, scores["validation"]),
        "test": (data.test.labels, scores["test"]),
        "test_clean": (data.test.labels[clean], scores["test"][clean]),
    }
    named = {f"{part}_{name}": value for part, pair in parts.items() for name, value in metrics(*pair).items()}
    sizes = {f"{part}_images": len(pair[0]) for part, pair in parts.items()}
    return {"train_images": len(data.train), **sizes, **named}


def _score_table(data: Data, scores: dict[str, np.ndarray]) -> pa.Table:
    parts = [
        pa.table(
            {"split": [name] * len(split), "row": split.rows, "label": split.labels, "score": scores[name]}, SCORES
        )
        for name, split in (("validation", data.validation), ("test", data.test))
    ]
    return pa.concat_tables(parts)


def _resources() -> dict[str, float]:
    resources = tune.get_context().get_trial_resources()
    required = resources.required_resources if resources else {}
    return {"cpus": float(required.get("CPU", 1)), "gpus": float(required.get("GPU", 0))}


def _hardware() -> str:
    """The machine a trial ran on, in words, and which of its GPUs."""
    gpus = "".join(f", GPU {number}" for number in ray.get_gpu_ids())
    return f"{platform.node()}, {os.cpu_count()} x {platform.processor() or platform.machine()}{gpus}"
