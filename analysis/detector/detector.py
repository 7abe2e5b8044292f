"""A trained network, with a threshold and calibration from its validation scores: image files in, verdicts out."""

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from analysis.detector.image_files import Image, read, warnings
from analysis.detector.stored import Stored
from analysis.results.decisions import calibrated, calibration
from data_prep.layout import LABEL_NAMES
from trainables.training.metrics import best_threshold

_BATCH = 128
_READ_AT_ONCE = 16  # by one thread: reading a small image takes less time than handing it over


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

    @property
    def probability(self) -> float:
        """The calibrated probability above which an image is FAKE: that of `threshold`."""
        return float(calibrated(np.array([self.threshold]), self.slope, self.offset)[0])

    def rows(self, names: Iterable[str]) -> Iterator[Row]:
        """One row a file, in order; no more than a batch of images is in memory."""
        network, size, names = self.stored.network, self.stored.image_size, iter(names)
        from trainables.training.loop import score_images
        from trainables.training.pipeline import forward

        passed = forward(network)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(itertools.islice(names, _BATCH)):
                parts = [batch[at : at + _READ_AT_ONCE] for at in range(0, len(batch), _READ_AT_ONCE)]
                read_parts = pool.map(lambda part: [read(name, size) for name in part], parts)
                images = list(itertools.chain.from_iterable(read_parts))
                pixels = np.array([image.pixels for image in images if image.pixels is not None])
                logits = iter(score_images(passed, pixels, _BATCH))
                yield from (self._row(image, None if image.error else float(next(logits))) for image in images)

    def _row(self, image: Image, logit: float | None) -> Row:
        if logit is None or image.facts is None:
            return Row(image.path, error=image.error)
        remarks = warnings(image.facts, self.stored.image_size, self.stored.results.provenance.codecs)
        if not math.isfinite(logit):
            return Row(image.path, warnings=remarks, error=f"the network's answer is {logit}")
        probability = float(calibrated(np.array([logit]), self.slope, self.offset)[0])
        verdict = LABEL_NAMES[int(logit > self.threshold)]
        return Row(image.path, float(f"{probability:.6g}"), float(f"{logit:.6g}"), verdict, remarks)
