"""A trial, from its recipe or its last checkpoint to its verdict. It says how it goes in reports, and knows no Ray.

What a trial reports is what its record stores, so that the driver only has to write it down.
"""

import errno
import gc
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trainables.training import checkpoint, loop, pipeline
from trainables.training.cost import cost
from trainables.training.metrics import epoch_metrics
from trainables.training.recipe import Recipe
from trainables.training.selection import Data, shared_data
from trainables.worker.assignment import Report, Task

SCORES = pa.schema([("split", pa.string()), ("row", pa.int32()), ("label", pa.int8()), ("score", pa.float32())])

_MOST_HALVINGS = 3
_STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.ETIMEDOUT)


def run_trial(task: Task, place: Path) -> Iterator[Report]:
    """Train, checkpoint and score one trial, from wherever its last checkpoint stands.

    An error of the trial's own is reported, not raised: it would come again, while the loss of a process would not. A
    full disk, or a storage that no longer answers, is no trial's own, and ends the sweep.
    """
    started = time.perf_counter()
    result: dict[str, Any] = {}
    try:
        yield from _train_and_score(task, shared_data(task.source, place), result)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _STORAGE_ERRORS:
            yield {"rows": [], "result": {}, "storage": (error.errno, error.filename)}
            return
        result |= {
            "status": "failed",
            "reason": f"{type(error).__name__}: {_gist(error)}",
            "traceback": traceback.format_exc(),
        }
    yield {"rows": [], "result": result | {"wall_seconds": time.perf_counter() - started}}


def _train_and_score(task: Task, data: Data, result: dict[str, Any]) -> Iterator[Report]:
    pipeline.set_up(task.threads)
    recipe = Recipe.of(task.hyperparameters)
    run = loop.start(recipe, data, task.models, task.weights)
    counted = cost(run.model)
    result |= {"parameters": counted.parameters, "flops": counted.flops, "initial_weights": run.initial_weights}
    parent = task.record.folder(f"checkpoints/{recipe.parent}") if recipe.parent else None
    checkpoint.restore(run, task.checkpoints, parent)
    while True:
        try:
            yield from _train_with_checkpoints(run, data, task, result)
            if run.stop_reason == loop.PAUSED:
                result |= _paused(run, data)
                return
            scores = loop.score_best(run, data)
            break
        except Exception as error:
            if not _is_out_of_memory(error) or run.batch_size // 2 < max(1, recipe.batch_size >> _MOST_HALVINGS):
                raise
            half = run.batch_size // 2
        del run  # and with it its memory, before another is made
        gc.collect()
        run = loop.start(recipe, data, task.models, task.weights, half)
        if parent:
            checkpoint.inherit(run, task.checkpoints, parent)
    task.record.write_table(f"scores/{task.trial}.parquet", _score_table(data, scores))
    result |= {"epochs_done": len(run.history), "best_epoch": run.best_epoch, **_metrics(data, scores)}
    result |= {"seconds_per_image": run.seconds_per_image}
    status, reason = verdict(run.history, data, scores, run.stop_reason)
    if run.batch_size < recipe.batch_size:
        reason += f"; memory was too short for a batch of {recipe.batch_size}, so it was trained in {run.batch_size}s"
    result |= {"status": status, "reason": reason}


def _paused(run: loop.Run, data: Data) -> dict[str, Any]:
    """The columns of a trial that another goes on from: it has no part in the test."""
    best = run.history[run.best_epoch - 1]
    columns = {name: value for name, value in best.items() if name.startswith("validation_")}
    sizes = {"train_images": len(data.train), "validation_images": len(data.validation)}
    ended = {
        "status": "stopped",
        "reason": loop.PAUSED,
        "epochs_done": len(run.history),
        "best_epoch": run.best_epoch,
    }
    return {**columns, **sizes, **ended}


def _train_with_checkpoints(run: loop.Run, data: Data, task: Task, result: dict[str, Any]) -> Iterator[Report]:
    """Train, with a report and a checkpoint after each epoch; the next epoch does not wait for it to be written."""
    result |= {"batch_size_used": run.batch_size}
    yield {"rows": list(run.history), "result": dict(result)}
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        for row in loop.epochs(run, data):
            if written:
                written.result()
            written = writer.submit(checkpoint.save, checkpoint.snapshot(run), task.checkpoints)
            yield {"rows": [row], "result": {}}
        if written:
            written.result()


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a device's memory was too short, by TensorFlow's name for it or JAX's."""
    return type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error)


def _gist(error: Exception) -> str:
    """What an error says, on one line: TensorFlow puts a screenful of layers between its first line and its last."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("[", "Hint:"))]
    return " ".join(dict.fromkeys([*told[:1], *told[-1:]]))


def verdict(
    history: list[dict[str, float]], data: Data, scores: dict[str, np.ndarray], stop_reason: str | None
) -> tuple[str, str]:
    """The status of a trial that has ended, and the reason in words: diverged, collapsed, or finished.

    Collapsed is a network that answers the same for every validation image, or no better than chance: an accuracy
    within two standard errors of the commoner label's share.
    """
    if not np.isfinite(history[-1]["train_loss"]) or not np.isfinite(history[-1]["validation_loss"]):
        return "diverged", f"the loss was no longer finite after epoch {len(history)}"
    if data.is_smoke:
        return "finished", "a smoke run, too short to judge"
    says_fake = scores["validation"] > 0
    accuracy = float((says_fake == (data.validation.labels == 1)).mean())
    if says_fake.all() or not says_fake.any():
        return "collapsed", f"it says {'FAKE' if says_fake.all() else 'REAL'} for every validation image"
    if accuracy <= loop.chance_level(data.validation.labels):
        return "collapsed", f"its validation accuracy, {accuracy:.3f}, is within noise of chance"
    return "finished", stop_reason or ""


def _metrics(data: Data, scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """The metrics of the best epoch: on validation, on all of test, and on the test images not in train."""
    clean = ~data.test.in_train
    parts = {
        "validation": (data.validation.labels, scores["validation"]),
        "test": (data.test.labels, scores["test"]),
        "test_clean": (data.test.labels[clean], scores["test"][clean]),
    }
    named = {f"{part}_{name}": value for part, pair in parts.items() for name, value in epoch_metrics(*pair).items()}
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
