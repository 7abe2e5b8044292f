"""One trained network of a record, with what its scores say about it: what `predict`, `export` and others work with.

A record may come from a stranger: nothing here unpickles, no name in it leads out of its folder, and `_safety` sees to
it that the network's file runs no code.
"""

import importlib
import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis._safety import load_network
from analysis.frames import Study, read
from data_prep._command import InputError
from data_prep._storage import Folder

if TYPE_CHECKING:
    import keras

_STANDARD_ERROR = 2
_NAME = re.compile(r"\w[\w.+-]*")  # which is the name of one file wherever it is put


@dataclass(frozen=True)
class Stored:
    """A ranked trial of the record in `folder`; `row` is its row of `study.results`."""

    folder: Folder
    study: Study
    row: "pd.Series[object]"

    @property
    def trial(self) -> str:
        """The trial's identity."""
        return str(self.row["trial"])

    @property
    def name(self) -> str:
        """The network, what tells it from others of the record, and its seed."""
        return f"{self.row['configuration']} (seed {self.row['seed']})"

    def scores(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and logits (n,) of `validation`, `test` or `test_clean`. Raises InputError where there are none."""
        if self.trial not in self.study.scores or part not in self.study.scores.parts:
            raise InputError(f"{self.folder} has no {part} scores of {self.name}; run the sweep again to make them.")
        return self.study.scores.of(self.trial, part)

    @cached_property
    def network(self) -> "keras.Model":
        """The network of the best epoch, from pixels 0–255 to a logit. Imports Keras. Raises InputError."""
        _import_keras()
        place, file = self.folder.folder(f"checkpoints/{self.trial}"), "best.keras"
        try:
            return load_network(place.read_bytes(file))
        except FileNotFoundError:
            raise InputError(f"{place} has no {file}; run the sweep again to make it.")
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise InputError(f"{place}/{file} is no network that can be loaded safely ({reason}); restore it.")

    @property
    def image_size(self) -> int:
        """Side of the square images that the network takes, in pixels."""
        return int(self.network.input_shape[1])


def stored(target: str) -> Stored:
    """The trial that `RESULTS[:TRIAL]` names. TRIAL is an identity, or a network: its best trial; without it, the best.

    Raises InputError, which names what there is.
    """
    location, wanted = _split(target)
    folder = Folder(location)
    study = read(folder)
    ranked = study.ranked
    if not len(ranked):
        raise InputError(f"{folder} has no ranked trial yet; run the sweep again to go on with it.")
    is_it = ranked[["trial", "network", "configuration"]].eq(wanted).any(axis=1) if wanted else ranked["rank"].notna()
    if not is_it.any():
        raise InputError(
            f"{folder} has no ranked trial {wanted!r}; it has {', '.join(ranked['network'].unique()[:20])}, and the "
            "identities in its trials.parquet."
        )
    row = ranked[is_it].iloc[0]
    for column in ("trial", "network"):
        if not _NAME.fullmatch(str(row[column])):
            raise InputError(
                f"{folder} has a {column} named {str(row[column])!r}, as no sweep has; use a record that you can trust."
            )
    return Stored(folder, study, row)


def _import_keras() -> None:
    """Import it without the lines that TensorFlow writes to standard error meanwhile, which no setting of its stops."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(_STANDARD_ERROR)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), _STANDARD_ERROR)
        importlib.import_module("keras")
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)


def _split(target: str) -> tuple[str, str]:
    """The record's place, which may be a URI, and the trial's name, which has no slash."""
    location, colon, wanted = target.rpartition(":")
    return (location, wanted) if colon and "/" not in wanted and len(location) > 1 else (target, "")
