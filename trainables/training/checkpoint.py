"""A trial's stored state: `last.npz`, everything that the next epoch needs, and `best.keras`, the best network.

`last.npz` holds plain arrays and JSON, no pickles. It is one file, so weights and history can never disagree. The best
network may be that of a later epoch, which a killed trial trains again.
"""

import io
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from data_prep import Folder
from trainables.layers.augmentation import without_augmentation
from trainables.record import BEST, LAST
from trainables.training.loop import Run
from trainables.training.network_file import load_network, open_stored

_SECONDS_BETWEEN_SAVES = 10.0  # of last.npz, three times the size of the network


@dataclass(frozen=True)
class Snapshot:
    """A copy of a run's state after an epoch: training may go on while it is written."""

    #: The content of `last.npz`: `state`, JSON as bytes; `variable-0`, `variable-1`, … of `Run.variables`; and, unless
    #: the last epoch is the best, `best-0`, `best-1`, … of `Run.best_weights`.
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
        **{f"best-{index}": weights for index, weights in enumerate([] if run.is_best else run.best_weights)},
        "state": np.frombuffer(json.dumps(state, default=bytes.hex).encode(), np.uint8),
    }
    return Snapshot(arrays, _keras_file(run.model) if run.is_best else None)


def save(state: Snapshot, folder: Folder) -> None:
    """Write a snapshot; the best network first, so that it exists whenever `last.npz` refers to it."""
    _save_best(state, folder)
    buffer = io.BytesIO()
    np.savez(buffer, **state.arrays)  # type: ignore[arg-type]
    folder.write_bytes(LAST, buffer.getbuffer())


def _save_best(state: Snapshot, folder: Folder) -> None:
    if state.best:
        folder.write_bytes(BEST, state.best)


class Keeper:
    """Keeps a run's checkpoints in a folder while it trains: the best network at once, `last.npz` every ten seconds.

    That is written as well when the trial is interrupted, and at its end if others may go on from there. A killed trial
    trains the epochs since then again, and gets the same weights. The next epoch does not wait for a file.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder, self._saved = folder, time.monotonic()
        self._unsaved: Snapshot | None = None
        self._writer = ThreadPoolExecutor(1)
        self._writing = self._writer.submit(lambda: None)

    def __enter__(self) -> "Keeper":
        return self

    def keep(self, run: Run) -> None:
        """Keep the state of a run after an epoch. Raises an OSError of the epochs before."""
        self._writing.result()
        self._unsaved = state = snapshot(run)
        is_over = bool(run.stop_reason and run.recipe.pause_epoch)
        is_due = is_over or time.monotonic() - self._saved >= _SECONDS_BETWEEN_SAVES
        self._writing = self._writer.submit(self._save if is_due else _save_best, state, self._folder)

    def _save(self, state: Snapshot, folder: Folder) -> None:
        save(state, folder)
        self._unsaved, self._saved = None, time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._writer:
            self._writing.result()
            if kind is KeyboardInterrupt and self._unsaved:
                self._save(self._unsaved, self._folder)


def write_best(run: Run, folder: Folder) -> None:
    """Write `best.keras` from a run that has its best weights."""
    folder.write_bytes(BEST, _keras_file(run.model))


def restore(run: Run, folder: Folder, parent: Folder | None = None) -> None:
    """Bring a fresh run to the state stored in `folder`, or else in `parent`; without either it stays fresh.

    Raises FileNotFoundError if `parent` has no checkpoint.
    """
    try:
        content = folder.read_bytes(LAST)
    except FileNotFoundError:
        if parent:
            inherit(run, folder, parent)
    else:
        _load(run, content, folder)


def inherit(run: Run, folder: Folder, parent: Folder) -> None:
    """Bring a fresh run to its parent's state, and copy the parent's best network, which may stay the best.

    Raises FileNotFoundError if the parent has no checkpoint.
    """
    folder.write_bytes(BEST, parent.read_bytes(BEST))
    _load(run, parent.read_bytes(LAST), parent)


def _load(run: Run, content: bytes, folder: Folder) -> None:
    with open_stored(content, f"{folder}/{LAST}"), np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        state = json.loads(arrays["state"].tobytes())
        for row in state["history"]:
            row["validation_right"] = bytes.fromhex(row["validation_right"])
        run.batch_size = min(run.batch_size, state["batch_size"])
        run.history = state["history"][:-1]
        run.compile()  # for the stage in which the last epoch was trained, whose optimizer is stored
        run.history = state["history"]
        for index, variable in enumerate(run.variables()):
            variable.assign(arrays[f"variable-{index}"])
        of_best = [arrays[name] for name in arrays.files if name.startswith("best-")]
        run.best_weights = run.model.get_weights() if run.is_best else of_best or load_best(folder).get_weights()
    run.initial_weights = state["initial_weights"]


def load_best(folder: Folder) -> keras.Model:
    """The network of the best epoch, uncompiled. Raises ValueError if it is made of more than layers."""
    return load_network(folder.read_bytes(BEST))


def _keras_file(model: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, BEST)
        without_augmentation(model).save(path, include_optimizer=False)
        return path.read_bytes()
