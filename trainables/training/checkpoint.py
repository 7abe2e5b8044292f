"""A trial's stored state: `last.npz`, everything that the next epoch needs, and `best.keras`, the best network.

`last.npz` holds plain arrays and JSON, no pickles. It is one file, so weights and history can never disagree.
"""

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from data_prep import Folder
from trainables.layers.augmentation import without_augmentation
from trainables.record import BEST, LAST
from trainables.training.loop import Run


@dataclass(frozen=True)
class Snapshot:
    """A copy of a run's state after an epoch: training may go on while it is written."""

    #: The content of `last.npz`: `state`, JSON as bytes, and `variable-0`, `variable-1`, … of `Run.variables`.
    arrays: dict[str, np.ndarray]
    #: The content of `best.keras`; None if an earlier epoch is still the best.
    best: bytes | None


def snapshot(run: Run) -> Snapshot:
    """Copy the state of a run, and its network if the last epoch is the best."""
    state = {
        "recipe": run.recipe.hyperparameters(),
        "batch_size": run.batch_size,
        "initial_weights": run.initial_weights,
        "history": run.history,
    }
    arrays = {
        **{f"variable-{index}": np.array(variable) for index, variable in enumerate(run.variables())},
        "state": np.frombuffer(json.dumps(state, default=bytes.hex).encode(), np.uint8),
    }
    return Snapshot(arrays, _keras_file(run.model) if run.is_best else None)


def save(state: Snapshot, folder: Folder) -> None:
    """Write a snapshot; the best network first, so that it exists whenever `last.npz` refers to it."""
    if state.best:
        folder.write_bytes(BEST, state.best)
    buffer = io.BytesIO()
    np.savez(buffer, **state.arrays)  # type: ignore[arg-type]
    folder.write_bytes(LAST, buffer.getbuffer())


def restore(run: Run, folder: Folder, parent: Folder | None = None) -> None:
    """Bring a fresh run to the state stored in `folder`, or else in `parent`; without either it stays fresh.

    Raises FileNotFoundError if `parent` has no checkpoint.
    """
    if folder.exists(LAST):
        _load(run, folder)
    elif parent:
        inherit(run, folder, parent)


def inherit(run: Run, folder: Folder, parent: Folder) -> None:
    """Bring a fresh run to its parent's state, and copy the parent's best network, which may stay the best.

    Raises FileNotFoundError if the parent has no checkpoint.
    """
    folder.write_bytes(BEST, parent.read_bytes(BEST))
    _load(run, parent)


def _load(run: Run, folder: Folder) -> None:
    with np.load(io.BytesIO(folder.read_bytes(LAST)), allow_pickle=False) as arrays:
        state = json.loads(arrays["state"].tobytes())
        for row in state["history"]:
            row["validation_right"] = bytes.fromhex(row["validation_right"])
        run.batch_size = min(run.batch_size, state["batch_size"])
        run.history = state["history"][:-1]
        run.compile()  # for the stage in which the last epoch was trained, whose optimizer is stored
        run.history = state["history"]
        for index, variable in enumerate(run.variables()):
            variable.assign(arrays[f"variable-{index}"])
    run.initial_weights = state["initial_weights"]
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
