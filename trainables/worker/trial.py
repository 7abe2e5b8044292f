"""A trial, from its recipe or its last checkpoint to its final row, without Ray. It reports `assignment.Report`s."""

import gc
import os
import platform
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep import Folder
from data_prep.storage import OUTAGES
from trainables.record import SCORES, checkpoints, scores_file
from trainables.training import checkpoint, loop, outcome, pipeline
from trainables.training.arrays import shared_data
from trainables.training.cost import cost
from trainables.training.pipeline.backend import backend
from trainables.training.selection import Data
from trainables.worker.assignment import Assignment, Report
from trainables.worker.memory import NoRoomError, is_full, room
from trainables.worker.mps import PIPES

_MOST_HALVINGS = 3
_EXTRAS = {"tensorflow": "gpu", "jax": "jax-gpu"}  # by backend, with what it needs on a GPU
_UNSEEN = (
    '{host} gave a trial a GPU, and {backend} sees none; run `pip install -c constraints.txt -e ".[{extra}]"` there, '
    "or give --gpus-per-trial 0."
)
_NO_MPS = "{host} could not start NVIDIA's MPS; see what `nvidia-cuda-mps-control -d` says there, or leave --mps out."


def run_trial(assignment: Assignment, node_folder: Path) -> Iterator[Report]:
    """Train, checkpoint and score one trial, from its last checkpoint on.

    The trial's own errors are reported, not raised, for Tune would repeat the trial, and they would recur. A full
    disk, or storage that no longer answers, is not the trial's own, and ends the sweep; a GPU without room for the
    trial is not its own either.
    """
    started = time.perf_counter()
    known: dict[str, Any] = {}
    try:
        if refusal := _set_up(assignment):
            yield outcome.failed_row(refusal) | {"refusal": refusal}
            return
        data = shared_data(assignment.shared.selection, node_folder).subset(assignment.recipe.training_subset)
        for report in _train_and_score(assignment, data, known):
            if "status" in report:
                report |= {"wall_seconds": time.perf_counter() - started, "peak_device_bytes": backend.peak_bytes()}
            yield known | report
    except NoRoomError as error:
        yield {"no_room": str(error)}
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OUTAGES:
            yield {"storage_errno": error.errno, "storage_path": error.filename}
            return
        row = outcome.failed_row(outcome.gist(error), traceback.format_exc())
        yield known | row | {"wall_seconds": time.perf_counter() - started}


def _set_up(assignment: Assignment) -> str:
    """Set limits before the backend first computes. Returns why the sweep cannot run here; empty if it can."""
    pipeline.set_up(assignment.threads, assignment.recipe.deterministic, has_gpu=assignment.gpus > 0)
    if not assignment.gpus:
        backend.use_cpu()
        return ""
    if assignment.shared.mps and PIPES not in os.environ:
        return _NO_MPS.format(host=platform.node())
    with room(assignment.gpus, lambda: False):
        is_seen = backend.gpus() > 0
    name = assignment.shared.backend
    return "" if is_seen else _UNSEEN.format(host=platform.node(), backend=name, extra=_EXTRAS[name])


def _train_and_score(assignment: Assignment, data: Data, known: dict[str, Any]) -> Iterator[Report]:
    """Train, in smaller batches after running out of memory, and score. Fills `known` with facts on the trial.

    Raises NoRoomError where smaller batches would not help.
    """
    recipe, shared = assignment.recipe, assignment.shared
    images = {"train": len(data.train), "validation": len(data.validation)}
    folder = checkpoints(shared.record, assignment.trial)
    parent = checkpoints(shared.record, recipe.parent) if recipe.parent else None
    with room(assignment.gpus, lambda: False):
        run = loop.start(recipe, data, shared.models, shared.weights)
        counted = cost(run.model)
        known |= {"parameters": counted.parameters, "flops": counted.flops, "initial_weights": run.initial_weights}
        checkpoint.restore(run, folder, parent)
        restored = len(run.history)
    while True:
        try:
            known["batch_size_used"] = run.batch_size
            yield from _train(run, data, folder, assignment.gpus)
            if run.stop_reason == outcome.PAUSED:
                yield outcome.stopped_row(run.history, outcome.PAUSED, images)
                return
            scores = loop.score_best(run, data)
            if run.best_epoch <= restored:  # and what lies there may be of an epoch that was trained twice
                checkpoint.write_best(run, folder)
            break
        except NoRoomError:
            raise
        except Exception as error:
            half = run.batch_size // 2
            if not is_full(error) or half < max(1, recipe.batch_size >> _MOST_HALVINGS):
                raise
        del run  # and its memory, before another run is made
        gc.collect()
        run = loop.start(recipe, data, shared.models, shared.weights, half)
        if parent:
            checkpoint.inherit(run, folder, parent)
    shared.record.write_table(scores_file(assignment.trial), _score_table(data, scores))
    row = outcome.scored_row(recipe, run.history, data, scores, run.stop_reason or "", run.batch_size)
    yield row | {"seconds_per_image": run.seconds_per_image}


def _train(run: loop.Run, data: Data, folder: Folder, gpus: float) -> Iterator[Report]:
    """Report each epoch, those before this process included, and keep checkpoints in `folder`."""
    yield from run.history
    before = len(run.history)
    with checkpoint.Keeper(folder) as keeper, room(gpus, lambda: len(run.history) > before):
        for row in loop.epochs(run, data):
            keeper.keep(run)
            yield row


def _score_table(data: Data, scores: dict[str, np.ndarray]) -> pa.Table:
    return pa.concat_tables(
        pa.table({"split": [name] * len(part), "row": part.rows, "label": part.labels, "score": scores[name]}, SCORES)
        for name, part in (("validation", data.validation), ("test", data.test))
    )
