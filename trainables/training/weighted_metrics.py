"""Metrics of the order of the scores and of their probabilities, for many weightings of the images at once.

`metrics.judge` weighs every image once; the bootstrap of `sweeps.stats.resampling` weighs each as often as a resample
drew it. By hand, because scikit-learn computes one weighting a call: that takes 12 s instead of 0.25 s for 200
weightings of 20,000 images on two CPU cores.
"""

import math
from dataclasses import dataclass

import numpy as np

#: Bins of equal width, of the probability of FAKE, for the expected calibration error.
BINS = 15
#: Metric → at most this many percent of the REAL images are called FAKE.
FALSE_ALARMS = {"tpr_at_1_fpr": 1, "tpr_at_5_fpr": 5}
#: What `weighted` gives.
WEIGHTED = ("average_precision", "eer", *FALSE_ALARMS, "log_loss", "brier", "ece")


@dataclass(frozen=True)
class Order:
    """The scores of n1 FAKE and n0 REAL images, each highest first, and where they stand among the others.

    For every FAKE image, how many FAKE and how many REAL images score more (`above`) or at least as much (`down_to`):
    (2, n1) each, FAKE first. For every REAL image, how many FAKE images score more: `fakes_above` (n0,).
    """

    fake: np.ndarray
    real: np.ndarray
    above: np.ndarray
    down_to: np.ndarray
    fakes_above: np.ndarray


def sortable(logits: np.ndarray) -> np.ndarray:
    """Logits (n,) as float64, with minus infinity for NaN, which is called REAL."""
    scores = np.asarray(logits, float)
    return np.where(np.isnan(scores), -np.inf, scores)


def order(labels: np.ndarray, logits: np.ndarray) -> Order:
    """The order of the logits (n,) of images whose labels (n,) are 0 REAL and 1 FAKE."""
    scores, is_fake = sortable(logits), np.asarray(labels) == 1
    fake, real = np.sort(-scores[is_fake]), np.sort(-scores[~is_fake])
    above, down_to = (
        np.stack([np.searchsorted(falling, fake, side) for falling in (fake, real)]) for side in ("left", "right")
    )
    return Order(-fake, -real, above, down_to, np.searchsorted(fake, real, "left"))


def placements(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The placements, 0–1, of the n1 FAKE and of the n0 REAL images, (n1,) and (n0,); the mean of either is the AUC.

    An image's placement is the share of the images of the other label that it is ordered rightly against, ties counting
    half. Sorting gives all of them in O(n log n), as in Sun and Xu (2014). Both are empty where a class is missing.
    """
    scores, is_fake = sortable(logits), np.asarray(labels) == 1
    fake, real = scores[is_fake], scores[~is_fake]
    if not (len(fake) and len(real)):
        return np.empty(0), np.empty(0)
    return _shares_below(fake, np.sort(real)), 1 - _shares_below(real, np.sort(fake))


def _shares_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    below, down_to = (np.searchsorted(others, scores, side) for side in ("left", "right"))
    return (below + down_to) / (2 * len(others))


def auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """The chance, 0–1, that a FAKE image scores more than a REAL one, ties counting half; NaN without a class."""
    fakes, _ = placements(labels, logits)
    return float(fakes.mean()) if len(fakes) else math.nan


def weighted(images: Order, fakes: np.ndarray, reals: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric of WEIGHTED for r weightings, (r,) each.

    `fakes` (r, n1) and `reals` (r, n0) say how often each image counts, in the order of `images`; their rows sum to n1
    and n0. Metrics of the order are NaN where a class is missing; all are NaN without images.
    """
    missing = dict.fromkeys(WEIGHTED, np.full(len(fakes), np.nan))
    of_order = _of_order(images, fakes, reals) if len(images.fake) and len(images.real) else {}
    of_probability = _of_probability(images, fakes, reals) if len(images.fake) or len(images.real) else {}
    return missing | of_order | of_probability


def _of_order(images: Order, fakes: np.ndarray, reals: np.ndarray) -> dict[str, np.ndarray]:
    """Average precision, equal error rate, and the recalls of FAKE at a rate of false alarms.

    Average precision is the mean, over the FAKE images, of the precision of calling FAKE all that score as much.
    """
    # (r, n) → (r, n + 1): how often the first k images count, for k from 0 to n
    true, false = (np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0))) for counts in (fakes, reals))
    true_here, false_here = np.take(true, images.down_to[0], axis=1), np.take(false, images.down_to[1], axis=1)
    precisions = true_here / np.maximum(true_here + false_here, 1)
    most = {name: percent * len(images.real) // 100 for name, percent in FALSE_ALARMS.items()}
    first_too_many = {name: np.argmax(false[:, 1:] > count, axis=1) for name, count in most.items()}
    return {
        "average_precision": np.einsum("rn,rn->r", fakes, precisions) / len(images.fake),
        "eer": _eer(images, true, false, true_here, false_here),
        **{
            name: true[np.arange(len(true)), images.fakes_above[rows]] / len(images.fake)
            for name, rows in first_too_many.items()
        },
    }


def _eer(
    images: Order, true: np.ndarray, false: np.ndarray, true_here: np.ndarray, false_here: np.ndarray
) -> np.ndarray:
    """The share (r,) at which the ROC curve, straight between thresholds, has as many false alarms as misses.

    There the rates of FAKE and of REAL images called FAKE add up to 1: at or just before the first FAKE image from
    which on they do.
    """
    n1, n0, rows = len(images.fake), len(images.real), np.arange(len(true))
    first = np.argmax(true_here / n1 + false_here / n0 >= 1, axis=1)
    before = true[rows, images.above[0, first]] / n1, false[rows, images.above[1, first]] / n0
    after = true_here[rows, first] / n1, false_here[rows, first] / n0
    rise = np.maximum(sum(after) - sum(before), np.finfo(float).tiny)  # 0 if no image there counts
    step = np.clip((1 - sum(before)) / rise, 0, 1)
    return np.asarray(1 - before[0] - step * (after[0] - before[0]))


def _of_probability(images: Order, fakes: np.ndarray, reals: np.ndarray) -> dict[str, np.ndarray]:
    """Log loss, Brier score, and the expected calibration error: the mean distance of a bin's probability and share."""
    n = len(images.fake) + len(images.real)
    with np.errstate(invalid="ignore"):  # 0 times infinity: an infinite score on the wrong side that is not drawn
        sums = fakes @ _terms(images.fake, 1).astype(fakes.dtype) + reals @ _terms(images.real, 0).astype(reals.dtype)
    return {"log_loss": sums[:, 0] / n, "brier": sums[:, 1] / n, "ece": np.abs(sums[:, 2:]).sum(axis=1) / n}


def _terms(scores: np.ndarray, label: int) -> np.ndarray:
    """Scores (n,) of one label → (n, 2 + BINS): log loss, squared error, and label less probability, by bin."""
    from scipy.special import expit

    probabilities = expit(scores)
    terms = np.zeros((len(scores), 2 + BINS))
    terms[:, 0] = np.logaddexp(0, scores * (1 - 2 * label))
    terms[:, 1] = (label - probabilities) ** 2
    terms[np.arange(len(scores)), 2 + bins_of(probabilities)] = label - probabilities
    return terms


def bins_of(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Probabilities (n,) → the bin of each, from 0; a bin holds its left edge, the last one its right edge too."""
    return np.asarray(np.minimum((probabilities * bins).astype(int), bins - 1))
