"""Metrics of the order of the scores and of their probabilities, for many weightings of the images at once.

`judge` weighs every image once; the bootstrap of `uncertainty` weighs each as often as a resample drew it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

#: Bins of equal width, of the probability of FAKE, for the expected calibration error.
BINS = 15
#: Metric → at most this many percent of the REAL images are called FAKE.
FALSE_ALARMS = {"tpr_at_1_fpr": 1, "tpr_at_5_fpr": 5}
#: What `weighted` gives.
WEIGHTED = ("average_precision", "eer", *FALSE_ALARMS, "log_loss", "brier", "ece")


@dataclass(frozen=True)
class Order:
    """The scores of n1 FAKE and n0 REAL images, each highest first, and where they stand among the others.

    Of every FAKE image: how many FAKE, and how many REAL, score more (`above`) or at least as much (`down_to`), each
    (2, n1) of counts, FAKE first. Of every REAL image: how many FAKE score more, `fakes_above` (n0,).
    """

    fake: np.ndarray
    real: np.ndarray
    above: np.ndarray
    down_to: np.ndarray
    fakes_above: np.ndarray


def ranked(logits: np.ndarray) -> np.ndarray:
    """Logits (n,) as float64 that can be compared: NaN, which is called REAL, is the lowest of all."""
    scores = np.asarray(logits, float)
    return np.where(np.isnan(scores), -np.inf, scores)


def order(labels: np.ndarray, logits: np.ndarray) -> Order:
    """The order of the scores (n,) of images whose labels (n,) are 0 REAL and 1 FAKE."""
    scores, is_fake = ranked(logits), np.asarray(labels) == 1
    falls = [np.sort(-scores[is_fake]), np.sort(-scores[~is_fake])]
    above, down_to = (np.stack([np.searchsorted(each, falls[0], side) for each in falls]) for side in ("left", "right"))
    return Order(-falls[0], -falls[1], above, down_to, np.searchsorted(falls[0], falls[1], "left"))


def weighted(found: Order, fakes: np.ndarray, reals: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric of WEIGHTED for r weightings, (r,) each.

    `fakes` (r, n1) and `reals` (r, n0) say how often each image counts, in the order of `found`; each row sums to n1,
    or n0. Where a class is missing the metrics of the order are NaN, and all are without images.
    """
    if not (len(found.fake) and len(found.real)):
        missing = np.full(len(fakes), np.nan)
        return dict.fromkeys(WEIGHTED, missing) | _of_probability(found, fakes, reals)
    return _of_order(found, fakes, reals) | _of_probability(found, fakes, reals)


def _of_order(found: Order, fakes: np.ndarray, reals: np.ndarray) -> dict[str, np.ndarray]:
    """Average precision: the mean, over the FAKE images, of the precision of calling FAKE all that score as much."""
    true, false = _cumulated(fakes), _cumulated(reals)
    true_here, false_here = np.take(true, found.down_to[0], axis=1), np.take(false, found.down_to[1], axis=1)
    precisions = true_here / np.maximum(true_here + false_here, 1)
    average = np.einsum("rn,rn->r", fakes, precisions) / len(found.fake)
    at_rates = {name: _recall_at(found, true, false, most) for name, most in FALSE_ALARMS.items()}
    return {"average_precision": average, "eer": _eer(found, true, false, true_here, false_here), **at_rates}


def _cumulated(counts: np.ndarray) -> np.ndarray:
    """(r, n) → (r, n + 1): how often the first k images count, for k from 0 to n."""
    sums = np.zeros((len(counts), counts.shape[1] + 1), counts.dtype)
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums


def _eer(
    found: Order, true: np.ndarray, false: np.ndarray, true_here: np.ndarray, false_here: np.ndarray
) -> np.ndarray:
    """Where the ROC curve, straight between neighbouring thresholds, has as many false alarms as misses, as a share.

    There the two rates of calling FAKE, of the FAKE and of the REAL images, add up to 1: first at or before the FAKE
    image from which on they do.
    """
    n1, n0, rows = len(found.fake), len(found.real), np.arange(len(true))
    first = np.argmax(true_here / n1 + false_here / n0 >= 1, axis=1)
    before = true[rows, found.above[0, first]] / n1, false[rows, found.above[1, first]] / n0
    after = true_here[rows, first] / n1, false_here[rows, first] / n0
    rise = np.maximum(sum(after) - sum(before), np.finfo(float).tiny)  # none if no image there counts
    step = np.clip((1 - sum(before)) / rise, 0, 1)
    return np.asarray(1 - before[0] - step * (after[0] - before[0]))


def _recall_at(found: Order, true: np.ndarray, false: np.ndarray, most: int) -> np.ndarray:
    """The recall of FAKE with at most `most` percent of the REAL images called FAKE."""
    allowed = most * len(found.real) // 100
    first_too_many = np.argmax(false[:, 1:] > allowed, axis=1)
    return np.asarray(true[np.arange(len(true)), found.fakes_above[first_too_many]] / len(found.fake))


def _of_probability(found: Order, fakes: np.ndarray, reals: np.ndarray) -> dict[str, np.ndarray]:
    """Log loss, Brier score, and expected calibration error: the mean distance of a bin's probability and its share."""
    images = len(found.fake) + len(found.real)
    if not images:
        return dict.fromkeys(("log_loss", "brier", "ece"), np.full(len(fakes), np.nan))
    with np.errstate(invalid="ignore"):  # of a score that is infinite, on the wrong side, and not drawn
        sums = fakes @ _terms(found.fake, 1).astype(fakes.dtype) + reals @ _terms(found.real, 0).astype(reals.dtype)
    error = np.abs(sums[:, 2:]).sum(axis=1)
    return {"log_loss": sums[:, 0] / images, "brier": sums[:, 1] / images, "ece": error / images}


def _terms(scores: np.ndarray, label: int) -> np.ndarray:
    """Scores (n,) of one label → (n, 2 + BINS): log loss, squared error, and label less probability, by bin."""
    probabilities = expit(scores)
    terms = np.zeros((len(scores), 2 + BINS))
    terms[:, 0] = np.logaddexp(0, scores * (1 - 2 * label))
    terms[:, 1] = (label - probabilities) ** 2
    terms[np.arange(len(scores)), 2 + bins_of(probabilities)] = label - probabilities
    return terms


def bins_of(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Probabilities (n,) → the bin of each, from 0: each holds its left edge, and the last its right one too."""
    return np.asarray(np.minimum((probabilities * bins).astype(int), bins - 1))
