"""The area under the ROC curve and its uncertainty, after DeLong, DeLong and Clarke-Pearson (1988).

An image's placement is the share of the images of the other label that it is ordered rightly against, ties counting
half. Sorting gives all of them in O(n log n), as Sun and Xu (2014) showed with ranks.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from trainables.training.ordering import ranked

_Z = float(norm.ppf(0.975))


def placements(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The placements, 0–1, of the n1 FAKE and of the n0 REAL images (n,); the mean of either is the area.

    Both are empty where a class is missing.
    """
    scores, is_fake = ranked(logits), np.asarray(labels) == 1
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


def auc_interval(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the area, within 0–1: DeLong's variance, on the logit scale (Pepe 2003, section 5.2.4).

    Where that variance is 0, as with perfectly separated scores, or cannot be had, of a single image of a label, the
    interval is Newcombe's (2006, method 5), whose variance follows from the area. NaN where a class is missing.
    """
    fakes, reals = placements(labels, logits)
    if not len(fakes):
        return math.nan, math.nan
    area, error = float(fakes.mean()), _error(fakes, reals)
    if not (error > 0 and 0 < area < 1):
        return _newcombe(area, len(fakes), len(reals))
    half = _Z * error / (area * (1 - area))
    return float(expit(logit(area) - half)), float(expit(logit(area) + half))


def _error(fakes: np.ndarray, reals: np.ndarray) -> float:
    """DeLong's standard error of the mean of placements, or of their differences; NaN of a single image of a label."""
    if min(len(fakes), len(reals)) < 2:
        return math.nan
    return math.sqrt(fakes.var(ddof=1) / len(fakes) + reals.var(ddof=1) / len(reals))


def _newcombe(area: float, n1: int, n0: int) -> tuple[float, float]:
    """Between which true areas θ `area` is within 1.96 standard errors of θ.

    The error is Hanley and McNeil's (1982) at θ, with n1 - 1 and n0 - 1 both replaced by their mean.
    """
    more, nearly = (n1 + n0) / 2 - 1, 1 - 1e-12

    def distance(true: float) -> float:
        spread = true * (1 - true) * (1 + more * (1 - true) / (2 - true) + more * true / (1 + true)) / (n1 * n0)
        return (area - true) ** 2 - _Z**2 * spread

    low = brentq(distance, 0, area * nearly) if area > 0 else 0.0
    high = brentq(distance, 1 - (1 - area) * nearly, 1) if area < 1 else 1.0
    return float(low), float(high)


def auc_difference(labels: np.ndarray, logits_a: np.ndarray, logits_b: np.ndarray) -> tuple[float, float, float, float]:
    """By how much A's area is larger than B's on the same images: difference, 95 % interval, two-sided p (DeLong 1988).

    All NaN with fewer than two images of a label. Where nothing varies, as between two perfect scores, the interval is
    NaN, and p is 1 if the areas are equal.
    """
    pairs = zip(placements(labels, logits_a), placements(labels, logits_b), strict=True)
    fakes, reals = (one - other for one, other in pairs)
    error = _error(fakes, reals)
    if math.isnan(error):
        return math.nan, math.nan, math.nan, math.nan
    difference = float(fakes.mean())
    if error == 0:
        return difference, math.nan, math.nan, float(difference == 0)
    p = 2 * float(norm.sf(abs(difference) / error))
    return difference, difference - _Z * error, difference + _Z * error, p
