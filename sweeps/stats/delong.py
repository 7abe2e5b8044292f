"""The uncertainty of the area under the ROC curve, after DeLong, DeLong and Clarke-Pearson (1988).

By hand, because neither SciPy, scikit-learn nor statsmodels has it.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from trainables.training.ordering import placements

#: Standard errors from the middle of a 95 % interval to its ends.
Z = float(norm.ppf(0.975))


def auc_interval(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """The 95 % interval, within 0–1, of the area for labels (n,) and logits (n,).

    DeLong's variance, on the logit scale (Pepe 2003, section 5.2.4). Where that variance is 0, as with perfectly
    separated scores, or undefined, as with a single image of a label, the interval is Newcombe's (2006, method 5),
    whose variance follows from the area. NaN where a class is missing.
    """
    fakes, reals = placements(labels, logits)
    if not len(fakes):
        return math.nan, math.nan
    area, error = float(fakes.mean()), _error(fakes, reals)
    if error > 0 and 0 < area < 1:
        return logit_interval(area, error)
    return _newcombe(area, len(fakes), len(reals))


def logit_interval(share: float, error: float) -> tuple[float, float]:
    """The 95 % interval of a share above 0 and below 1, from its standard error: normal on the logit scale."""
    half = Z * error / (share * (1 - share))
    return float(expit(logit(share) - half)), float(expit(logit(share) + half))


def _error(fakes: np.ndarray, reals: np.ndarray) -> float:
    """DeLong's standard error of the mean of placements or of their differences; NaN for a single image of a label."""
    if min(len(fakes), len(reals)) < 2:
        return math.nan
    return math.sqrt(fakes.var(ddof=1) / len(fakes) + reals.var(ddof=1) / len(reals))


def _newcombe(area: float, n1: int, n0: int) -> tuple[float, float]:
    """The lowest and the highest true area θ for which `area` is within 1.96 standard errors of θ.

    The error is Hanley and McNeil's (1982) at θ, with n1 - 1 and n0 - 1 both replaced by their mean.
    """
    more, nearly = (n1 + n0) / 2 - 1, 1 - 1e-12

    def distance(true: float) -> float:
        spread = true * (1 - true) * (1 + more * (1 - true) / (2 - true) + more * true / (1 + true)) / (n1 * n0)
        return (area - true) ** 2 - Z**2 * spread

    low = brentq(distance, 0, area * nearly) if area > 0 else 0.0
    high = brentq(distance, 1 - (1 - area) * nearly, 1) if area < 1 else 1.0
    return float(low), float(high)


def auc_difference(labels: np.ndarray, logits_a: np.ndarray, logits_b: np.ndarray) -> tuple[float, float, float, float]:
    """The area of A less that of B on the same n images: difference, its 95 % interval, two-sided p (DeLong 1988).

    `labels`, `logits_a` and `logits_b` are (n,). All are NaN with fewer than two images of a label. Where nothing
    varies, as between two perfect scores, the interval is NaN, and p is 1 if the areas are equal, else 0.
    """
    pairs = zip(placements(labels, logits_a), placements(labels, logits_b), strict=True)
    fakes, reals = (of_a - of_b for of_a, of_b in pairs)
    error = _error(fakes, reals)
    if math.isnan(error):
        return math.nan, math.nan, math.nan, math.nan
    difference = float(fakes.mean())
    if error == 0:
        return difference, math.nan, math.nan, float(difference == 0)
    p = 2 * float(norm.sf(abs(difference) / error))
    return difference, difference - Z * error, difference + Z * error, p
