"""The record of a sweep: THE truth about what was run and what came out. Schema, writer and reader.

    manifest.json      command, settings, data fingerprint, commit, versions, hardware, metric and its direction
    trials.parquet     one row a trial
    epochs.parquet     one row a trial and epoch
    images.parquet     who the scored images are: split, row, label, path, object_class, in_train
    scores/ID.parquet  per trial: split, row, label, raw score (a logit, positive for FAKE)
    checkpoints/ID/    per trial: best.keras and last.npz

One process writes the tables, the driver; each trial writes its own scores and checkpoints. Every file is replaced
whole, so a reader, on any machine and at any time, sees a record that is complete as far as it goes.
"""

import dataclasses
import time
from typing import Any, get_type_hints

import pandas as pd
import pyarrow as pa

from data_prep.errors import InputError
from data_prep.storage import Folder
from trainables import Recipe

FORMAT_VERSION = 1
MANIFEST, TRIALS, EPOCHS, IMAGES = "manifest.json", "trials.parquet", "epochs.parquet", "images.parquet"

#: A trial is over in these states. `failed` is tried again by the next run of the same command.
OVER = ("finished", "stopped", "collapsed", "diverged")

_ARROW = {int: pa.int64(), float: pa.float64(), str: pa.string()}
_METRICS = [f"{split}_{name}" for split in ("validation", "test", "test_clean") for name in ("loss", "accuracy", "auc")]
_SECONDS_BETWEEN_WRITES = 2.0


def _recipe_fields() -> list[tuple[str, pa.DataType]]:
    kinds = get_type_hints(Recipe)
    return [
        (hyperparameter.name, _ARROW.get(kinds[hyperparameter.name], pa.string()))
        for hyperparameter in dataclasses.fields(Recipe)
    ]


TRIAL_SCHEMA = pa.schema(
    [
        ("trial", pa.string()),
        ("number", pa.int64()),  # in the study of a search
        *_recipe_fields(),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("epochs_done", pa.int64()),
        ("best_epoch", pa.int64()),
        ("wall_seconds", pa.float64()),
        ("batch_size_used", pa.int64()),  # smaller than batch_size where memory was too short
        ("parameters", pa.int64()),
        ("flops", pa.int64()),  # of one image's forward pass
        ("seconds_per_image", pa.float64()),  # of the test images, in batches of four times the training batch
        ("initial_weights", pa.string()),
        *[(name, pa.float64()) for name in _METRICS],
        *[(f"{split}_images", pa.int64()) for split in ("train", "validation", "test", "test_clean")],
        ("cpus", pa.float64()),
        ("gpus", pa.float64()),
        ("hardware", pa.string()),
        ("traceback", pa.string()),
    ]
)

EPOCH_SCHEMA = pa.schema(
    [
        ("trial", pa.string()),
        ("epoch", pa.int64()),
        *[(name, pa.float64()) for name in ("train_loss", "train_accuracy", *_METRICS[:3])],
        ("learning_rate", pa.float64()),
        ("wall_seconds", pa.float64()),
    ]
)


class Record:
    """A record being written. Rows are kept in memory and the tables written at most every two seconds."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.trials: dict[str, dict[str, Any]] = {}
        self.epochs: dict[tuple[str, int], dict[str, Any]] = {}
        self._written = 0.0
        for row in _read(folder, TRIALS).to_pylist() if folder.exists(TRIALS) else ():
            self.trials[row["trial"]] = row
        for row in _read(folder, EPOCHS).to_pylist() if folder.exists(EPOCHS) else ():
            self.epochs[row["trial"], row["epoch"]] = row

    def add(self, trial: str, recipe: Recipe) -> None:
        """Enter a trial as pending, if it is not here yet."""
        self.trials.setdefault(
            trial, {"trial": trial, **recipe.hyperparameters(), "status": "pending", "epochs_done": 0}
        )

    def is_over(self, trial: str) -> bool:
        """Whether nothing is left to do for a trial."""
        return trial in self.trials and self.trials[trial]["status"] in OVER

    def recipe(self, trial: str) -> Recipe:
        """The recipe in a trial's row. A hyperparameter that is newer than the record has its default."""
        row = self.trials[trial]
        return Recipe.of(
            {
                hyperparameter.name: row[hyperparameter.name]
                for hyperparameter in dataclasses.fields(Recipe)
                if hyperparameter.name in row
            }
        )

    def epochs_known(self, trial: str, rows: list[dict[str, Any]]) -> int:
        """How many of these epochs of a trial are here already."""
        return sum((trial, int(row["epoch"])) in self.epochs for row in rows)

    def put_back_running(self) -> None:
        """Trials that run no longer, because the sweep was interrupted, are pending again."""
        for row in self.trials.values():
            if row["status"] == "running":
                row["status"] = "pending"

    def update(self, trial: str, columns: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> None:
        """Set columns of a trial's row and enter epochs of it; an epoch that is here already is replaced."""
        used = self.trials[trial].get("batch_size_used")
        if used and columns.get("batch_size_used", used) != used:  # it has begun again, in smaller batches
            self.epochs = {key: row for key, row in self.epochs.items() if key[0] != trial}
            columns = {"epochs_done": 0, **columns}
        for row in rows or ():
            self.epochs[trial, int(row["epoch"])] = {"trial": trial, **row}
        if rows:
            columns = {"epochs_done": max(int(row["epoch"]) for row in rows), **columns}
        self.trials[trial].update(columns)
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Replace both tables, trials in the order they were entered."""
        order = {trial: place for place, trial in enumerate(self.trials)}
        epochs = sorted(self.epochs.values(), key=lambda row: (order.get(row["trial"], -1), row["epoch"]))
        self.folder.write_table(EPOCHS, pa.Table.from_pylist(epochs, EPOCH_SCHEMA))
        self.folder.write_table(TRIALS, pa.Table.from_pylist(list(self.trials.values()), TRIAL_SCHEMA))
        self._written = time.monotonic()


def read_manifest(folder: Folder) -> dict[str, Any]:
    """The manifest of a record. Raises InputError where there is none, or one of another format version."""
    try:
        manifest: dict[str, Any] = folder.read_json(MANIFEST)
        version = manifest["format_version"]
    except FileNotFoundError:
        raise InputError(f"{folder} holds no record of a sweep; pass a folder such as results/age, which a sweep made.")
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{folder}/{MANIFEST} cannot be read; restore it, or start over with --fresh.")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{folder} is a record of format version {version}, and this is {FORMAT_VERSION}; use --fresh."
        )
    return manifest


def read_trials(folder: Folder) -> pd.DataFrame:
    """`trials.parquet` as a data frame. Raises InputError if it cannot be read."""
    return _frame(folder, TRIALS)


def read_epochs(folder: Folder) -> pd.DataFrame:
    """`epochs.parquet` as a data frame. Raises InputError if it cannot be read."""
    return _frame(folder, EPOCHS)


def read_scores(folder: Folder, trial: str) -> pd.DataFrame:
    """The scores of one trial: split, row, label, score. Raises InputError if they cannot be read."""
    return _frame(folder, f"scores/{trial}.parquet")


def read_images(folder: Folder) -> pd.DataFrame:
    """`images.parquet` as a data frame: who the scored images are. Raises InputError if it cannot be read."""
    return _frame(folder, IMAGES)


def _frame(folder: Folder, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = _read(folder, name).to_pandas()
    return frame


def _read(folder: Folder, name: str) -> pa.Table:
    try:
        return folder.read_table(name)
    except FileNotFoundError:
        raise InputError(f"{folder} has no {name}; run the sweep again to make it.")
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{folder}/{name} is corrupt ({str(error).splitlines()[0]}); restore it or use --fresh.")
