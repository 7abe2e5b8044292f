"""Where a trial's state is kept: `last.npz`, everything that the next epoch needs, and `best.keras`, the best network.

`last.npz` holds plain arrays and JSON, no pickles. It is one file, so weights and history can never disagree.
"""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from data_prep._storage import Folder
from trainables._train import Run

LAST = "last.npz"
BEST = "best.keras"


def save(run: Run, folder: Folder) -> None:
    """Write the run's state after its last epoch; the best network first, if that epoch made it."""
    if run.is_best:
        folder.write_bytes(BEST, _keras_file(run.model))
    story = {
        "recipe": run.recipe.knobs(),
        "batch_size": run.batch_size,
        "initial_weights": run.initial_weights,
        "history": run.history,
    }
    arrays: dict[str, Any] = {
        f"variable-{index}": np.asarray(variable) for index, variable in enumerate(run.variables())
    }
    buffer = io.BytesIO()
    np.savez(buffer, story=np.frombuffer(json.dumps(story).encode(), np.uint8), **arrays)
    folder.write_bytes(LAST, buffer.getbuffer())


def restore(run: Run, folder: Folder) -> None:
    """Put a fresh run where the saved one stood; leave it as it is if none was saved."""
    if not folder.exists(LAST):
        return
    with np.load(io.BytesIO(folder.read_bytes(LAST)), allow_pickle=False) as saved:
        story = json.loads(saved["story"].tobytes())
        run.batch_size = story["batch_size"]
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
        model.save(path, include_optimizer=False)
        return path.read_bytes()
