"""How much of an accuracy's spread comes from the training set, from the seed and from the test images.

Configurations are trained with S seeds on each of K training sets, and tested on the same n images. By the two-way
analysis of variance with random effects, the mean squares of the accuracies give the variances over training sets and
seeds; the same mean squares of single images tell how much of these the choice of images explains, which is taken off.
Intervals are generalized ones (Weerahandi 1993). By hand, for no library crosses images with both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.stats.families import LEVEL, estimate

_DRAWS = 20_000


@dataclass(frozen=True)
class Component:
    """Standard deviations of an accuracy, 0–1, with the ends of their 95 % intervals, (k + 1,) each.

    They are those of k configurations, and last the root of the mean of their variances. Its interval allows for all
    configurations finding the same training sets hard.
    """

    deviations: np.ndarray
    low: np.ndarray
    high: np.ndarray


def components(values: Sequence[np.ndarray], clusters: np.ndarray | None = None) -> dict[str, Component]:
    """How the accuracy of one training varies with its `training_set`, its `seed` and the n test `images`.

    `values` (K, S, n) of each of k configurations are 1 where the training on a training set with a seed is right about
    an image, and else 0; K is the same for all, K and S are 2 or more. The seed's part is what another seed changes on
    the same training set; its interval takes seeds of the same number to be independent from set to set. `clusters`
    (n,) are numbers, from 0, of images that are not independent.
    """
    generator = np.random.default_rng(0)
    chance_of_sets = generator.chisquare(len(values[0]) - 1, _DRAWS)
    variances = [_variances(right, clusters, chance_of_sets, generator) for right in values]
    parts = np.stack(variances, axis=1)
    parts = np.concatenate([parts, parts.mean(axis=1, keepdims=True)], axis=1)
    deviations = np.sqrt(np.maximum(parts, 0.0))
    return {
        name: Component(part[:, 0], *np.quantile(part[:, 1:], (LEVEL / 2, 1 - LEVEL / 2), axis=1))
        for name, part in zip(("training_set", "seed", "images"), deviations, strict=True)
    }


def _variances(
    right: np.ndarray, clusters: np.ndarray | None, chance_of_sets: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The three variances of a configuration, (3, 1 + draws): as estimated, and as they may be."""
    sets, seeds, n = right.shape
    trainings = right.reshape(-1, n)
    numbers = np.arange(n) if clusters is None else clusters
    weights = np.bincount(numbers) / n
    of_clusters = np.stack([np.bincount(numbers, row) for row in trainings]).reshape(sets, seeds, -1) / (weights * n)
    own, squares = _mean_squares(of_clusters), _mean_squares(right.mean(axis=2))
    explained_of_set, explained_of_seed = (
        float((weights**2 * part).sum()) for part in (_of_set(own, seeds), _of_seed(own, sets))
    )
    of_rest, of_seeds = (sets - 1) * (seeds - 1), sets * (seeds - 1)  # degrees of freedom
    chances = [chance_of_sets / (sets - 1)]
    chances += [generator.chisquare(freedom, _DRAWS) / freedom for freedom in (of_rest, of_seeds)]
    chance_of_sets, chance_of_rest, chance_of_seeds = (np.append(1.0, chance) for chance in chances)
    drawn = squares[0] / chance_of_sets, squares[1], squares[2] / chance_of_rest
    images = estimate([row[None] for row in trainings], clusters)
    chance_of_images = np.append(1.0, generator.chisquare(images.images_freedom, _DRAWS) / images.images_freedom)
    among_images = 1 - (weights**2).sum()
    return np.stack(
        [
            (_of_set(drawn, seeds) - explained_of_set) / among_images,
            (_of_seed(squares, sets) / chance_of_seeds - explained_of_seed) / among_images,
            np.diag(images.covariance).mean() / chance_of_images,
        ]
    )


def _mean_squares(values: np.ndarray) -> list[np.ndarray]:
    """The mean squares (…) between training sets, between seeds, and of their interaction, of values (K, S, …)."""
    sets, seeds = values.shape[:2]
    of_sets, of_seeds = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = values - of_sets - of_seeds + values.mean(axis=(0, 1), keepdims=True)
    interaction = np.square(rest).sum(axis=(0, 1)) / ((sets - 1) * (seeds - 1))
    return [seeds * of_sets.var(axis=(0, 1), ddof=1), sets * of_seeds.var(axis=(0, 1), ddof=1), interaction]


def _of_set(squares: Sequence[np.ndarray], seeds: int) -> np.ndarray:
    return np.asarray((squares[0] - squares[2]) / seeds)


def _of_seed(squares: Sequence[np.ndarray], sets: int) -> np.ndarray:
    """With the interaction: what another seed changes on the same training set."""
    return np.asarray((squares[1] + (sets - 1) * squares[2]) / sets)
