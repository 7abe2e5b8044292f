"""One trained network of a record, with its scores, and as a detector: image files in, verdicts out.

A record may come from a stranger: nothing here unpickles, no name in it leads out of its folder, and `loading` makes
sure that the network's file runs no code.
"""

import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.detector import image_files
from analysis.detector.loading import load_network
from analysis.results.decisions import best_threshold, calibrated, calibration
from analysis.results.trials import Results, read
from data_prep import Folder, InputError
from data_prep.layout import LABEL_NAMES
from trainables.training.recipe import nearest

if TYPE_CHECKING:
    import keras

_MOST_NAMED = 20
_BATCH = 128
_READ_AT_ONCE = 16  # by one thread: reading a small image takes less time than handing it over
_REMAKE = "restore what is missing, or make the record again with --fresh"
_NAME = re.compile(r"\w[\w.+-]*")  # of one file, in whichever folder


@dataclass(frozen=True)
class Stored:
    """A ranked trial of the record in `folder`; `row` is its row of `results.trials`.

    Raises InputError for names that lead out of the record's folder.
    """

    folder: Folder
    results: Results
    row: "pd.Series[object]"

    def __post_init__(self) -> None:
        for column in ("trial", "network"):
            if not _NAME.fullmatch(str(self.row[column])):
                raise InputError(
                    f"{self.folder} has a {column} named {str(self.row[column])!r}, which no sweep would write; use a "
                    "record that you can trust."
                )

    @property
    def trial(self) -> str:
        """The trial's identity."""
        return str(self.row["trial"])

    @property
    def name(self) -> str:
        """The configuration, and its seed."""
        return "".join(filter(str.isprintable, f"{self.row['configuration']} (seed {self.row['seed']})"))

    def scores(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and logits (n,) of `validation`, `test` or `test_clean`. Raises InputError where there are none."""
        if self.trial not in self.results.scores.trials or part not in self.results.scores.parts:
            raise InputError(f"{self.folder} has no {part} scores of {self.name}; {_REMAKE}.")
        return self.results.scores.of(self.trial, part)

    @cached_property
    def network(self) -> "keras.Model":
        """The network of the best epoch, from pixels 0–255 to a logit. Imports Keras. Raises InputError."""
        checkpoints, file = self.folder.folder(f"checkpoints/{self.trial}"), "best.keras"
        try:
            return load_network(checkpoints.read_bytes(file))
        except FileNotFoundError:
            raise InputError(f"{checkpoints} has no {file}; {_REMAKE}.")
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise InputError(f"{checkpoints}/{file} is no network that can be loaded safely ({reason}); restore it.")

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
        networks = list(filter(_NAME.fullmatch, ranked["network"].unique()))
        near = nearest(name, [*networks, *ranked["trial"]])
        raise InputError(
            f"{folder} has no ranked trial {name!r}; it has {', '.join(networks[:_MOST_NAMED])}, and the identities in "
            f"its trials.parquet; the nearest name is {near!r}."
        )
    return named.iloc[0]


@dataclass(frozen=True)
class Row:
    """The verdict, REAL or FAKE, on one file. `probability_fake`, 0–1, is calibrated.

    An image that cannot be read has an error, and no numbers.
    """

    path: str
    probability_fake: float | None = None
    logit: float | None = None
    verdict: str = ""
    warnings: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Detector:
    """A network, with the threshold and the calibration that its validation scores give.

    A logit above `threshold` is FAKE; sigmoid(slope * logit + offset) is the calibrated probability of FAKE.
    """

    stored: Stored
    threshold: float
    slope: float
    offset: float

    @classmethod
    def of(cls, stored: Stored) -> "Detector":
        """The detector of a trial. Raises InputError for one without validation scores."""
        scores = stored.scores("validation")
        return cls(stored, best_threshold(*scores), *calibration(*scores))

    def rows(self, names: Iterable[str]) -> Iterator[Row]:
        """One row a file, in order; no more than a batch of images is in memory."""
        network, size, names = self.stored.network, self.stored.image_size, iter(names)
        from trainables.training.loop import score_images
        from trainables.training.pipeline import forward

        passed = forward(network)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(itertools.islice(names, _BATCH)):
                parts = [batch[at : at + _READ_AT_ONCE] for at in range(0, len(batch), _READ_AT_ONCE)]
                read_parts = pool.map(lambda part: [image_files.read(name, size) for name in part], parts)
                images = list(itertools.chain.from_iterable(read_parts))
                pixels = np.array([image.pixels for image in images if image.pixels is not None])
                logits = iter(score_images(passed, pixels, _BATCH))
                yield from (self._row(image, None if image.error else float(next(logits))) for image in images)

    def _row(self, image: image_files.Image, logit: float | None) -> Row:
        if logit is None or image.facts is None:
            return Row(image.path, error=image.error)
        remarks = image_files.warnings(image.facts, self.stored.image_size, self.stored.results.provenance.codecs)
        if not math.isfinite(logit):
            return Row(image.path, warnings=remarks, error=f"the network's answer is {logit}")
        probability = float(calibrated(np.array([logit]), self.slope, self.offset)[0])
        verdict = LABEL_NAMES[int(logit > self.threshold)]
        return Row(image.path, float(f"{probability:.6g}"), float(f"{logit:.6g}"), verdict, remarks)
