"""Where a trial's state is kept: `last.npz`, everything that the next epoch needs, and `best.keras`, the best network.

`last.npz` holds plain arrays and JSON, no pickles. It is one file, so weights and history can never disagree.
"""

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from data_prep.storage import Folder
from trainables.layers.augmentation import without_augmentation
from trainables.training.loop import Run

LAST = "last.npz"
BEST = "best.keras"


@dataclass(frozen=True)
class Snapshot:
    """A run's state after its last epoch, apart from the run, which goes on. `best` is a `.keras` file or None."""

    story: dict[str, Any]
    variables: list[np.ndarray]
    best: bytes | None


def snapshot(run: Run) -> Snapshot:
    """The state of a run; the best network only if its last epoch made it."""
    story = {
        "recipe": run.recipe.hyperparameters(),
        "batch_size": run.batch_size,
        "initial_weights": run.initial_weights,
        "history": list(run.history),
    }
    variables = [np.array(variable) for variable in run.variables()]
    return Snapshot(story, variables, _keras_file(run.model) if run.is_best else None)


def save(state: Snapshot, folder: Folder) -> None:
    """Write a snapshot; the best network first, so that `last.npz` never tells of one that is not there."""
    if state.best:
        folder.write_bytes(BEST, state.best)
    arrays: dict[str, Any] = {f"variable-{index}": variable for index, variable in enumerate(state.variables)}
    buffer = io.BytesIO()
    np.savez(buffer, story=np.frombuffer(json.dumps(state.story).encode(), np.uint8), **arrays)
    folder.write_bytes(LAST, buffer.getbuffer())


def restore(run: Run, folder: Folder, parent: Folder | None = None) -> None:
    """Put a fresh run where the saved one stood, or else its parent; leave it as it is if nothing was saved.

    Raises FileNotFoundError where a parent left nothing to go on from.
    """
    if folder.exists(LAST):
        _restore(run, folder)
    elif parent:
        inherit(run, folder, parent)


def inherit(run: Run, folder: Folder, parent: Folder) -> None:
    """Put a fresh run where its parent stood, and its parent's best network, which may stay the best, into `folder`.

    Raises FileNotFoundError.
    """
    folder.write_bytes(BEST, parent.read_bytes(BEST))
    _restore(run, parent)


def _restore(run: Run, folder: Folder) -> None:
    with np.load(io.BytesIO(folder.read_bytes(LAST)), allow_pickle=False) as saved:
        story = json.loads(saved["story"].tobytes())
        run.batch_size = min(run.batch_size, story["batch_size"])
        run.history = story["history"][:-1]
        run.compile()  # as the last epoch was trained
        run.history = story["history"]
        for index, variable in enumerate(run.variables()):
            variable.assign(saved[f"variable-{index}"])
    run.initial_weights = story["initial_weights"]
    run.best_weights = load_best(folder).get_weights()


def load_best(folder: Folder) -> keras.Model:
    """The network of the best epoch, uncompiled."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, BEST)
        path.write_bytes(folder.read_bytes(BEST))
        return keras.models.load_model(path, compile=False, safe_mode=True)


def _keras_file(model: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, BEST)
        without_augmentation(model).save(path, include_optimizer=False)
        return path.read_bytes()
