"""A trial: the training loop's Ray face. One process runs many trials, one after another.

What a trial reports is what its record stores, so that the driver only has to write it down.
"""

import errno
import os
import platform
import time
import traceback
from typing import Any

import numpy as np
import pyarrow as pa
from ray import tune

from data_prep._storage import Folder
from trainables._data import Data
from trainables._network import Network
from trainables._recipe import Recipe

SCORES = pa.schema([("split", pa.string()), ("row", pa.int32()), ("label", pa.int8()), ("score", pa.float32())])


def run_trial(config: dict[str, Any], *, data: Data, models: dict[str, Network], record: Folder) -> None:
    """Train, checkpoint, score and report one trial, from wherever its last checkpoint stands.

    `config["order"]` has the trial's identity, `trial`, and its recipe's `knobs`. Reports have `rows`, epochs not yet
    reported, and `result`, columns of the trial's row. An error of the trial's own is reported, not raised: Ray would
    try it again, identically, while the loss of a worker is Ray's to repeat. A full disk is no trial's own: it is
    reported as `disk_full`, the folder, and ends the sweep.
    """
    started = time.perf_counter()
    result: dict[str, Any] = {"hardware": _hardware(), **_resources()}
    try:
        _train_and_score(config["order"], data, models, record, result)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            tune.report({"rows": [], "result": {}, "disk_full": str(record)})
            return
        result |= {
            "status": "failed",
            "reason": f"{type(error).__name__}: {error}",
            "traceback": traceback.format_exc(),
        }
    tune.report({"rows": [], "result": result | {"wall_seconds": time.perf_counter() - started}})


def _train_and_score(
    order: dict[str, Any], data: Data, models: dict[str, Network], record: Folder, result: dict[str, Any]
) -> None:
    from trainables import _checkpoint, _pipeline, _train  # TensorFlow: the worker's to import, not the driver's

    _pipeline.set_threads(max(1, int(result["cpus"])))
    folder = record.folder(f"checkpoints/{order['trial']}")
    run = _train.start(Recipe.of(order["knobs"]), data, models)
    result |= {"parameters": run.model.count_params(), "initial_weights": run.initial_weights}
    _checkpoint.restore(run, folder)
    tune.report({"rows": list(run.history), "result": dict(result)})
    _train.train(
        run,
        data,
        callbacks=[
            lambda run: _checkpoint.save(run, folder),
            lambda run: tune.report({"rows": run.history[-1:], "result": {}}),
        ],
    )
    scores = _train.score_best(run, data)
    record.write_table(f"scores/{order['trial']}.parquet", _score_table(data, scores))
    result |= {"epochs_done": len(run.history), "best_epoch": run.best_epoch, **_metrics(data, scores)}
    result |= dict(zip(("status", "reason"), verdict(run.history, data, scores, run.stop_reason), strict=True))


def verdict(
    history: list[dict[str, float]], data: Data, scores: dict[str, np.ndarray], stop_reason: str | None
) -> tuple[str, str]:
    """The status of a trial that has ended, and the reason in words: diverged, collapsed, or finished.

    Collapsed is a network that answers the same for every validation image, or no better than chance: an accuracy
    within two standard errors of one half.
    """
    if not np.isfinite(history[-1]["train_loss"]) or not np.isfinite(history[-1]["validation_loss"]):
        return "diverged", f"the loss was no longer finite after epoch {len(history)}"
    if data.is_smoke:
        return "finished", "a smoke run, too short to judge"
    says_fake = scores["validation"] > 0
    noise = 2 * 0.5 / np.sqrt(len(says_fake))
    accuracy = float((says_fake == (data.validation.labels == 1)).mean())
    if says_fake.all() or not says_fake.any():
        return "collapsed", f"it says {'FAKE' if says_fake.all() else 'REAL'} for every validation image"
    if accuracy <= 0.5 + noise:
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
    """The machine a trial ran on, in words."""
    return f"{platform.node()}, {os.cpu_count()} x {platform.processor() or platform.machine()}"
