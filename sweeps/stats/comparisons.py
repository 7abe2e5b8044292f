"""Whether two networks differ, in accuracy or in area, over the images and over the seeds that happened to be drawn."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, t
from statsmodels.stats import contingency_tables
from statsmodels.stats.multitest import multipletests

from sweeps.stats.intervals import Z, auc_error
from trainables.training.weighted_metrics import placements

_FEWEST_FOR_CHI2 = 25  # discordant pairs

#: Difference, low and high of its 95 % interval, and p.
Difference = tuple[float, float, float, float]
# A component of a variance: its estimate, and the mean square behind it with its degrees of freedom.
_Component = tuple[float, float, float]


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """p, two-sided, that two networks are right equally often, from which of n images each is right about, (n,) bool.

    McNemar's test (1947): exact if fewer than 25 images are right for one network alone, else by chi-squared without
    correction, which Fagerland et al. (2013) advise against. 1 if there is no such image.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    is_exact = only_a + only_b < _FEWEST_FOR_CHI2
    return float(contingency_tables.mcnemar([[0, only_a], [only_b, 0]], exact=is_exact, correction=False).pvalue)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p values (m,) of m tests, each adjusted for the others, after Holm (1979). A NaN stays NaN and does not count."""
    adjusted = np.array(p_values, float)
    is_test = ~np.isnan(adjusted)
    if is_test.any():
        adjusted[is_test] = multipletests(adjusted[is_test], method="holm")[1]
    return adjusted


def mean_difference(right_a: np.ndarray, right_b: np.ndarray) -> Difference:
    """Mean accuracy of network A less that of B, with its 95 % interval and two-sided p.

    `right_a` (seeds, n) and `right_b` (seeds, n) say which of the same n images each seed is right about. The
    difference meant is over all images and all seeds such as these. With x[s, j] = mean + image j + seed s +
    interaction[s, j] for each network (images paired, seeds not), the variance of the difference is

        var(image of A - image of B) / n + sum over A and B of (var(seed) + var(interaction) / n) / seeds

    The variance over images of the per-image difference of means, over n, estimates the first term and the
    interactions. The variance over seeds of their accuracies, less the interaction's mean square over n and never
    below 0, estimates the rest (analysis of variance with two random factors; Satterthwaite 1946 for the degrees of
    freedom). A network with a single seed is taken to vary over seeds as the other does. With one seed each, the seed's
    effect cannot be estimated: the interval is the paired comparison of these two over images, and p is McNemar's.
    Two images are added, one that A alone and one that B alone is right about (Bonett & Price 2012), so that no
    interval has width 0. NaN without images.

    In simulations the interval held the difference in 94 to 98 of 100 cases with three to five seeds that vary equally.
    Two seeds are too few to estimate how much they vary: it was 90 to 98.
    """
    images = right_a.shape[1]
    if not images:
        return math.nan, math.nan, math.nan, math.nan
    differences = right_a.mean(axis=0) - right_b.mean(axis=0)
    adjusted = np.append(differences, [1.0, -1.0])
    variance = adjusted.var() / len(adjusted)
    components = [(variance, variance, images + 1), *_of_seeds(_over_seeds(right_a), _over_seeds(right_b))]
    low, high, p = _welch(float(adjusted.mean()), components)
    has_one_seed_each = len(right_a) == len(right_b) == 1
    return float(differences.mean()), low, high, mcnemar(right_a[0], right_b[0]) if has_one_seed_each else p


def shares_difference(shares_a: np.ndarray, images_a: int, shares_b: np.ndarray, images_b: int) -> Difference:
    """Mean accuracy of A less that of B where they were measured on different images, with its 95 % interval and p.

    `shares_a` and `shares_b` are the accuracies, 0–1, of the seeds of each, on `images_a` and `images_b` images. As
    `mean_difference`, with the variance of a binomial share over the images, one more right and one more wrong for each
    (Agresti & Caffo 2000). With several seeds, the interaction of images and seeds then counts twice: the interval is
    rather too wide. NaN without images.
    """
    if not (images_a and images_b):
        return math.nan, math.nan, math.nan, math.nan
    adjusted, components, over_seeds = [], [], []
    for shares, images in ((shares_a, images_a), (shares_b, images_b)):
        share = (float(np.mean(shares)) * images + 1) / (images + 2)
        variance = share * (1 - share) / (images + 2)
        adjusted.append(share)
        components.append((variance, variance, images + 1))
        over_seeds.append((len(shares), float(np.var(shares, ddof=1)) if len(shares) > 1 else 0.0, 0.0))
    low, high, p = _welch(adjusted[0] - adjusted[1], [*components, *_of_seeds(*over_seeds)])
    return float(np.mean(shares_a) - np.mean(shares_b)), low, high, p


def auc_difference(labels: np.ndarray, logits_a: np.ndarray, logits_b: np.ndarray) -> Difference:
    """The area of A less that of B on the same n images: difference, its 95 % interval, two-sided p (DeLong 1988).

    `labels`, `logits_a` and `logits_b` are (n,). All are NaN with fewer than two images of a label. Where nothing
    varies, as between two perfect scores, the interval is NaN, and p is 1 if the areas are equal, else 0.
    """
    fakes, reals = (a - b for a, b in zip(placements(labels, logits_a), placements(labels, logits_b), strict=True))
    error = auc_error(fakes, reals)
    if math.isnan(error):
        return math.nan, math.nan, math.nan, math.nan
    difference = float(fakes.mean())
    if error == 0:
        return difference, math.nan, math.nan, float(difference == 0)
    p = 2 * float(norm.sf(abs(difference) / error))
    return difference, difference - Z * error, difference + Z * error, p


def _over_seeds(right: np.ndarray) -> tuple[int, float, float]:
    """How many seeds, the variance of their accuracies, and how much of it is the interaction with the n images."""
    seeds, images = right.shape
    if seeds < 2:
        return seeds, math.nan, math.nan
    accuracies = right.mean(axis=1)
    within = images * (accuracies * (1 - accuracies)).sum()  # sum of squares of x[s, j] less the mean of seed s
    between = seeds * images * right.mean(axis=0).var()
    interaction = (within - between) / ((seeds - 1) * max(images - 1, 1))
    return seeds, float(accuracies.var(ddof=1)), float(interaction / images)


def _of_seeds(*networks: tuple[int, float, float]) -> list[_Component]:
    """What the seeds add to the variance of the difference: a component for each network that has several."""
    several = [network for network in networks if network[0] > 1]
    other = 1.0 if len(several) == 1 else 0.0  # the other network's single seed is taken to vary as these do
    return [
        (max(variance - interaction, 0.0) * (1 / seeds + other), variance * (1 / seeds + other), seeds - 1)
        for seeds, variance, interaction in several
    ]


def _welch(difference: float, components: list[_Component]) -> tuple[float, float, float]:
    """Low and high, within -1–1, of the 95 % interval of a difference of shares, and its p, after Welch (1947)."""
    variance = sum(estimate for estimate, _, _ in components)
    freedom = variance**2 / sum(mean_square**2 / own_freedom for _, mean_square, own_freedom in components)
    half = float(t.ppf(0.975, freedom)) * math.sqrt(variance)
    p = 2 * float(t.sf(abs(difference) / math.sqrt(variance), freedom))
    return max(difference - half, -1.0), min(difference + half, 1.0), p
