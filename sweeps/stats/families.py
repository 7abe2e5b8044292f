"""Several configurations, each trained with several seeds and tested on the same n images: all pairs at once.

Each network has a value for each image: 0 or 1 for wrong or right, or one of `auc_values`, whose mean is the area. With

    value[seed, image] = mean + image effect + seed effect + interaction[seed, image]

for each configuration, the variance of the difference between the means of two configurations, over images and seeds
such as these, is that of their image effects' difference over n, and for each of them that of its seed effects over its
seeds, besides the interaction, which is in both. Two or three seeds tell little about their variance: the variances of
all configurations are modelled together, and each one's own is shrunk towards the model as far as their spread allows
(empirical Bayes: Smyth 2004, limma). Where its own is larger, that counts. The intervals of all pairs hold together
(Tukey 1953, Kramer 1956). By hand, for no library has images crossed with seeds, or moderated variances.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, expit, logit, polygamma
from scipy.stats import studentized_range, t

from trainables.training.weighted_metrics import placements

LEVEL = 0.05
# Degrees of freedom at which Tukey's distribution, which takes long, is computed; between them it is interpolated.
_FREEDOMS = np.array([1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 14, 20, 30, 50, 100, 1000, 1e5])


@dataclass(frozen=True)
class Family:
    """What is known of k configurations, (k,) each.

    `means` are over seeds and images; `seeds` counts the seeds. `covariance` (k, k) is that of the means over the
    choice of images, with `images_freedom` degrees of freedom. `mean_square` is the moderated variance over seeds of
    their means, with `freedom`, and `interaction` the part of it that the choice of images explains.
    """

    means: np.ndarray
    seeds: np.ndarray
    images: int
    covariance: np.ndarray
    images_freedom: float
    mean_square: np.ndarray
    freedom: np.ndarray
    interaction: np.ndarray

    @property
    def seed_variance(self) -> np.ndarray:
        """The variance (k,) over seeds of a network's mean on all images such as these."""
        return np.asarray(np.maximum(self.mean_square - self.interaction, 0.0))

    def with_seeds(self, seeds: int) -> "Family":
        """The same means and variances, had each configuration this many seeds."""
        more = np.maximum(seeds - 1.0, 0.0) / np.maximum(self.seeds - 1.0, 1.0)
        return replace(self, seeds=np.full_like(self.seeds, seeds), freedom=self.freedom * more)

    def with_images(self, images: int) -> "Family":
        """The same means and variances, had there been this many images."""
        share = self.images / images
        return replace(
            self, images=images, covariance=self.covariance * share, images_freedom=self.images_freedom / share
        )


def estimate(values: Sequence[np.ndarray], clusters: np.ndarray | None = None) -> Family:
    """The family of k configurations from their values, (seeds, n) each: all with two seeds or more, or all with one.

    With one seed each, it is of these trained networks: over images alone.
    `clusters` (n,) are numbers, from 0, of images that are not independent, such as crops of one photograph.
    """
    images, seeds = values[0].shape[1], np.array([len(rows) for rows in values])
    of_seeds = [rows.mean(axis=1, dtype=np.float64) for rows in values]
    of_images = np.stack([rows.mean(axis=0, dtype=np.float64) for rows in values])
    means, counts = of_images.mean(axis=1), np.maximum(seeds - 1, 1)
    own = np.array([shares.var() for shares in of_seeds]) * seeds / counts
    squares = np.array([np.square(rows, dtype=np.float32).sum(dtype=np.float64) for rows in values])
    within = squares - images * np.array([np.square(shares).sum() for shares in of_seeds])
    between = seeds * (np.square(of_images).sum(axis=1) - images * means**2)
    covariance, images_freedom = _over_images(of_images - means[:, None], clusters)
    if seeds.max() == 1:
        none, certain = np.zeros(len(means)), np.full(len(means), math.inf)
        return Family(means, seeds, images, covariance, images_freedom, none, certain, none)
    interaction = (within - between) / ((seeds - 1) * max(images - 1, 1) * images)
    mean_square, freedom = _moderated(own, seeds - 1.0, means, interaction, images)
    return Family(means, seeds, images, covariance, images_freedom, mean_square, freedom, interaction)


def planned(family: Family, deviation: float) -> Family:
    """The same family, if its networks varied from seed to seed by this standard deviation."""
    return replace(family, mean_square=np.full(len(family.means), deviation**2))


def shrunk(family: Family) -> np.ndarray:
    """The means (k,), shrunk towards their average as far as chance explains their spread (empirical Bayes).

    It is what to expect of the networks if each were trained again: that of the one that was chosen for its mean falls.
    """
    noise = np.diag(family.covariance) + family.seed_variance / family.seeds
    spread = max(float(family.means.var(ddof=1)) - float(noise.mean()), 0.0) if len(noise) > 1 else 0.0
    average = family.means.mean()
    return np.asarray(average + (family.means - average) * spread / (spread + noise))


def auc_values(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """A value for each of n images, (n,), whose mean is the area, and whose variance over n DeLong's of the area."""
    values, area = np.empty(len(labels)), math.nan
    for label, shares in zip((1, 0), placements(labels, logits), strict=True):
        area = float(shares.mean())
        values[labels == label] = area + (shares - area) * len(labels) / max(len(shares), 1)
    return values


def all_pairs(family: Family, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Differences (k, k) of the means, row less column, and half the widths of their simultaneous intervals.

    With a probability of 1 - `level` all of them hold (Tukey–Kramer, with Satterthwaite's degrees of freedom a pair).
    """
    variance, freedom = _of_differences(family)
    factor = np.interp(-1 / freedom, *_tukey(level, max(len(family.means), 2))) / math.sqrt(2)
    return np.subtract.outer(family.means, family.means), factor * np.sqrt(variance)


def listed_pairs(
    family: Family, first: Sequence[int], second: Sequence[int], level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Differences (m,) of the means, first less second, and half the widths of their joint intervals (Bonferroni)."""
    variance, freedom = (matrix[list(first), list(second)] for matrix in _of_differences(family))
    half = t.ppf(1 - level / (2 * len(variance)), freedom) * np.sqrt(variance)
    return family.means[list(first)] - family.means[list(second)], half


def joined(one: Family, other: Family) -> Family:
    """The configurations of both, measured on different images."""
    own, theirs = one.covariance, other.covariance
    none = np.zeros((len(own), len(theirs)))
    arrays = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("means", "seeds", "mean_square", "freedom", "interaction")
    }
    return Family(
        images=min(one.images, other.images),
        covariance=np.block([[own, none], [none.T, theirs]]),
        images_freedom=min(one.images_freedom, other.images_freedom),
        **arrays,
    )


def of_shares(shares: Sequence[np.ndarray], images: int) -> Family:
    """The family of k configurations of which only the accuracies of their seeds, (seeds,) each, on n images are known.

    The images' part is a binomial's, as if no two networks were right about the same images: rather too wide.
    """
    means, seeds = np.array([np.mean(values) for values in shares]), np.array([len(values) for values in shares])
    covariance, none = np.diag(means * (1 - means)) / images, np.zeros(len(means))
    if seeds.max() == 1:
        return Family(means, seeds, images, covariance, images - 1.0, none, np.full(len(means), math.inf), none)
    own = np.array([np.var(values, ddof=1) for values in shares])
    mean_square, freedom = _moderated(own, seeds - 1.0, means, none, images)
    return Family(means, seeds, images, covariance, images - 1.0, mean_square, freedom, none)


def single(family: Family, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Low and high ends (k,), 0–1, of each mean's interval over images and seeds: Student's, on the logit scale."""
    image = np.diag(family.covariance) + 1 / (family.images + 2) ** 2
    variance = image + family.seed_variance / family.seeds
    of_seeds = (family.mean_square / family.seeds) ** 2 / family.freedom
    freedom = variance**2 / (image**2 / family.images_freedom + of_seeds)
    shares = (family.means * family.images + 1) / (family.images + 2)
    half = t.ppf(1 - level / 2, freedom) * np.sqrt(variance) / (shares * (1 - shares))
    return expit(logit(shares) - half), expit(logit(shares) + half)


def _of_differences(family: Family) -> tuple[np.ndarray, np.ndarray]:
    """The variances (k, k) of the differences, and their degrees of freedom.

    Two images are added, one that either network alone is right about (Bonett & Price 2012), so that none is 0.
    """
    own, seed = np.diag(family.covariance), family.seed_variance / family.seeds
    image = np.maximum(np.add.outer(own, own) - 2 * family.covariance, 0) + 2 / (family.images + 2) ** 2
    of_seeds = (family.mean_square / family.seeds) ** 2 / family.freedom
    variance = image + np.add.outer(seed, seed)
    return variance, variance**2 / (image**2 / family.images_freedom + np.add.outer(of_seeds, of_seeds))


def _over_images(residuals: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, float]:
    """The covariance (k, k) of means over n images, from their residuals (k, n), and its degrees of freedom.

    Cluster-robust: CR2 with the degrees of freedom of Bell and McCaffrey (2002), of a mean. Without clusters that is
    the covariance over n, and n - 1.
    """
    images = residuals.shape[1]
    if clusters is None:
        return residuals @ residuals.T / (images * max(images - 1, 1)), max(images - 1.0, 1.0)
    sums, weights = (
        np.stack([np.bincount(clusters, row) for row in residuals]),
        1 / (1 - np.bincount(clusters) / images),
    )
    return (sums * weights) @ sums.T / images**2, freedom_of_mean(clusters)


def freedom_of_mean(clusters: np.ndarray) -> float:
    """The degrees of freedom of a mean over images in `clusters` (n,), numbers from 0: fewer than clusters."""
    sizes, images = np.bincount(clusters).astype(float), len(clusters)
    weights = 1 / (1 - sizes / images)
    trace = (weights * (sizes - sizes**2 / images)).sum()
    squared = (weights * sizes) ** 2 @ (1 - 2 * sizes / images) + (weights @ sizes**2) ** 2 / images**2
    return float(trace**2 / squared)


def _moderated(
    own: np.ndarray, freedom: np.ndarray, means: np.ndarray, interaction: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """The moderated variances (k,) over seeds of the means, and their degrees of freedom, from each one's `own`.

    An accuracy p is expected to vary by v (p (1 - p))^2 + interaction: by the same v for all on the logit scale.
    """
    shares = (means * images + 1) / (images + 2)
    slopes, least = (shares * (1 - shares)) ** 2, np.maximum(interaction, 0.25 / images**2)

    def excess(variance: float) -> float:
        return float((freedom * (own / (variance * slopes + least) - 1)).sum())

    most = float((own / slopes).sum())
    expected = (brentq(excess, 0.0, most) if excess(0.0) > 0 else 0.0) * slopes + least
    ratios = own / expected
    prior = _prior_freedom(ratios, freedom)
    shrunk = (prior + freedom * ratios) / (prior + freedom) if math.isfinite(prior) else np.ones_like(ratios)
    is_credible = (freedom > 1) | math.isfinite(prior)  # of two seeds, a large variance that chance explains is not
    return np.where(is_credible, np.maximum(shrunk, ratios), shrunk) * expected, np.minimum(
        prior + freedom, freedom.sum()
    )


def _prior_freedom(ratios: np.ndarray, freedom: np.ndarray) -> float:
    """How many degrees of freedom the model is worth, by the spread of the logarithms of the ratios of variances to it.

    Infinite where chance explains their spread, 0 for a single one (Smyth 2004, section 6.2).
    """
    if len(ratios) < 2:
        return 0.0
    logs = np.log(np.maximum(ratios, 1e-3)) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, freedom / 2).mean())
    if excess <= 0:
        return math.inf
    return 2 * float(brentq(lambda x: float(polygamma(1, x)) - excess, 1e-3, 1 / excess + 1))


@lru_cache(maxsize=64)
def _tukey(level: float, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Where Tukey's studentized range of `groups` means exceeds with a probability of `level`, by -1 / freedom."""
    return -1 / _FREEDOMS, studentized_range.ppf(1 - level, groups, _FREEDOMS)
