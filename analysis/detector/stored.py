"""One trained network of a record, with its scores: what `predict`, `export` and others work with.

A record may come from a stranger: nothing here unpickles, no name in it leads out of its folder, and `loading` makes
sure that the network's file runs no code.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.results.trials import Results, read
from data_prep import Folder, InputError
from trainables.record import BEST, checkpoints, replicate
from trainables.training.network_file import load_network
from trainables.training.recipe import nearest

if TYPE_CHECKING:
    import keras

_REMAKE = "restore what is missing, or make the record again with --fresh"


@dataclass(frozen=True)
class Stored:
    """A ranked trial of the record in `folder`; `row` is its row of `results.trials`."""

    folder: Folder
    results: Results
    row: "pd.Series[object]"

    @property
    def trial(self) -> str:
        """The trial's identity."""
        return str(self.row["trial"])

    @property
    def name(self) -> str:
        """The configuration, and its seed."""
        return "".join(filter(str.isprintable, f"{self.row['configuration']} ({replicate(self.row)})"))

    def scores(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and logits (n,) of `validation`, `test` or `test_clean`. Raises InputError where there are none."""
        if self.trial not in self.results.scores.trials or part not in self.results.scores.parts:
            raise InputError(f"{self.folder} has no {part} scores of {self.name}; {_REMAKE}.")
        return self.results.scores.of(self.trial, part)

    @cached_property
    def network(self) -> "keras.Model":
        """The network of the best epoch, from pixels 0–255 to a logit. Imports Keras. Raises InputError."""
        folder = checkpoints(self.folder, self.trial)
        try:
            return load_network(folder.read_bytes(BEST), self.results.provenance.manifest.data.image_size)
        except FileNotFoundError:
            raise InputError(f"{folder} has no {BEST}; {_REMAKE}.")
        except ValueError as error:
            raise InputError(
                f"{folder}/{BEST} is no network that can be loaded safely ({str(error).rstrip('.')}); restore it."
            )

    @property
    def image_size(self) -> int:
        """Side of the square images that the network takes, in pixels."""
        return int(self.network.input_shape[1])


def stored(target: str) -> Stored:
    """The trial that `RESULTS[:TRIAL]` names.

    TRIAL is an identity, or a network or configuration, whose best trial is taken; without it, the best of all. RESULTS
    may be a URI; TRIAL has no slash. Raises InputError, which lists the names that there are.
    """
    location, colon, wanted = target.rpartition(":")
    if not colon or "/" in wanted or len(location) < 2:
        location, wanted = target, ""
    folder = Folder(location)
    results = read(folder)
    if not len(results.ranked):
        raise InputError(f"{folder} has no ranked trial yet; run the sweep again to go on with it.")
    return Stored(folder, results, best_named(folder, results.ranked, wanted) if wanted else results.ranked.iloc[0])


def best_named(folder: Folder, ranked: pd.DataFrame, name: str) -> "pd.Series[object]":
    """The first row of `ranked` that a name stands for: an identity, a network, or a configuration.

    Raises InputError, which lists the names that there are.
    """
    named = ranked[ranked[["trial", "network", "configuration"]].eq(name).any(axis=1)]
    if not len(named):
        near = nearest(name, [*ranked["network"].unique(), *ranked["trial"]])
        raise InputError(f"{folder} has no ranked trial {name!r}; {near}.")
    return named.iloc[0]
