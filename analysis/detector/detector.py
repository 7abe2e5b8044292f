"""A trained network and what its validation scores say of its logits: image files in, verdicts out."""

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from analysis.detector.image_files import Image, read, warnings
from analysis.detector.stored import Stored
from analysis.results.decisions import best_threshold, calibrated, calibration
from data_prep.layout import LABEL_NAMES

_BATCH = 128
_READ_AT_ONCE = 16  # by one thread: a small image takes less time than handing it over


@dataclass(frozen=True)
class Row:
    """What is said of one file. `probability_fake`, 0–1, is calibrated; the verdict is REAL or FAKE.

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
    """A network, and what its validation scores say of its logits.

    A logit above `threshold` is FAKE; sigmoid(slope * logit + offset) is the calibrated probability of it. `codecs` are
    those of the files that the training images come from.
    """

    found: Stored
    threshold: float
    slope: float
    offset: float
    codecs: tuple[str, ...]

    @classmethod
    def of(cls, found: Stored) -> "Detector":
        """Raises InputError for a trial without validation scores."""
        scores = found.scores("validation")
        return cls(found, best_threshold(*scores), *calibration(*scores), found.results.provenance.codecs)

    def rows(self, names: Iterable[str]) -> Iterator[Row]:
        """One row a file, in order; no more than a batch of images is in memory."""
        network, size, names = self.found.network, self.found.image_size, iter(names)
        from trainables.training.pipeline import forward

        passed = forward(network)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(itertools.islice(names, _BATCH)):
                images = _read_all(pool, batch, size)
                pixels = [image.pixels for image in images if image.pixels is not None]
                logits = iter(np.asarray(passed(np.stack(pixels)))[:, 0] if pixels else ())
                yield from (self._row(image, None if image.error else float(next(logits))) for image in images)

    def _row(self, image: Image, logit: float | None) -> Row:
        if logit is None or image.facts is None:
            return Row(image.path, error=image.error)
        found = warnings(image.facts, self.found.image_size, self.codecs)
        if not math.isfinite(logit):
            return Row(image.path, warnings=found, error=f"the network's answer is {logit}")
        probability = float(calibrated(np.array([logit]), self.slope, self.offset)[0])
        verdict = LABEL_NAMES[int(logit > self.threshold)]
        return Row(image.path, float(f"{probability:.6g}"), float(f"{logit:.6g}"), verdict, found)


def _read_all(pool: ThreadPoolExecutor, names: list[str], size: int) -> list[Image]:
    parts = [names[at : at + _READ_AT_ONCE] for at in range(0, len(names), _READ_AT_ONCE)]
    found = pool.map(lambda part: [read(name, size) for name in part], parts)
    return list(itertools.chain.from_iterable(found))
