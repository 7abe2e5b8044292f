"""A trained network, with a threshold and calibration from its validation scores: image files in, verdicts out."""

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.special import logit as logit_of

from analysis.detector.image_files import Image, read, warnings
from analysis.detector.stored import Stored
from analysis.results.decisions import calibrated, calibration, false_alarm_threshold
from data_prep.layout.vocabulary import LABEL_NAMES
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

    A logit above `threshold` is FAKE; sigmoid(slope * logit + offset) is the calibrated probability of FAKE. `rule`
    says in words where the threshold comes from.
    """

    stored: Stored
    threshold: float
    slope: float
    offset: float
    rule: str = "best on validation"

    @classmethod
    def of(cls, stored: Stored, prior: float | None = None, false_alarms: float | None = None) -> "Detector":
        """The detector of a trial. Raises InputError for one without validation scores.

        `prior`, 0–1, is the share of FAKE images to expect: probabilities follow it, and FAKE is what is more probable
        than not. `false_alarms` is the share of REAL validation images that may be called FAKE.
        """
        labels, logits = stored.scores("validation")
        slope, offset = calibration(labels, logits)
        if prior is not None:
            offset += float(logit_of(prior) - logit_of(labels.mean()))
            words = f"more probable than not if {100 * prior:g} % of the images are FAKE"
            return cls(stored, -offset / slope if slope else -math.copysign(math.inf, offset), slope, offset, words)
        if false_alarms is not None:
            words = f"above all but {100 * false_alarms:g} % of the REAL validation images"
            return cls(stored, false_alarm_threshold(labels, logits, false_alarms), slope, offset, words)
        return cls(stored, best_threshold(labels, logits), slope, offset)

    @property
    def probability(self) -> float:
        """The calibrated probability above which an image is FAKE: that of `threshold`."""
        return float(calibrated(np.array([self.threshold]), self.slope, self.offset)[0])

    def rows(self, names: Iterable[str]) -> Iterator[Row]:
        """One row a file, in order; no more than a batch of images is in memory."""
        network, size, names = self.stored.network, self.stored.image_size, iter(names)
        from trainables.training.pipeline import scorer

        scores = scorer(network)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(itertools.islice(names, _BATCH)):
                parts = [batch[at : at + _READ_AT_ONCE] for at in range(0, len(batch), _READ_AT_ONCE)]
                read_parts = pool.map(lambda part: [read(name, size) for name in part], parts)
                images = list(itertools.chain.from_iterable(read_parts))
                pixels = np.array([image.pixels for image in images if image.pixels is not None])
                logits = iter(scores(pixels, _BATCH))
                yield from (self._row(image, None if image.error else float(next(logits))) for image in images)

    def _row(self, image: Image, logit: float | None) -> Row:
        if logit is None or image.facts is None:
            return Row(image.path, error=image.error)
        remarks = warnings(image.facts, self.stored.image_size, self.stored.results.provenance.codecs)
        if not math.isfinite(logit):
            return Row(image.path, warnings=remarks, error=f"the network's answer is {logit}")
        probability = float(calibrated(np.array([logit]), self.slope, self.offset)[0])
        verdict = LABEL_NAMES[int(logit > self.threshold)]
        if (probability > 0.5) != (verdict == "FAKE"):
            remarks = (*remarks, f"the threshold is at a probability of {self.probability:.2g}")
        return Row(image.path, float(f"{probability:.6g}"), float(f"{logit:.6g}"), verdict, remarks)
