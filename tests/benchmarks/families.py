"""Families of simulated networks, whose true accuracies are known, and how often verdicts on them are false."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, studentized_range

from sweeps.stats.families import all_pairs, estimate, single
from sweeps.stats.verdicts import verdicts

MARGIN = 0.01
# Shares of the variance of what a network makes of an image: of the image, of the image for this configuration, and of
# the image for this seed. Two networks then disagree on 9 of 100 images at an accuracy of .9, as on CIFAKE.
_IMAGE, _CONFIGURATION, _SEED = 0.72, 0.08, 0.20


@dataclass(frozen=True)
class Cell:
    """Families of networks with these true accuracies (k,), and standard deviations (k,) over seeds, in points."""

    accuracies: tuple[float, ...]
    deviations: tuple[float, ...]
    seeds: int
    images: int


@dataclass(frozen=True)
class Rates:
    """What came out of simulated families.

    `behind` and `level` are the shares of families with a false verdict: a network is called behind that is behind
    none, or level that is behind one by the margin or more. `covered` is the share of the single intervals that hold
    the true accuracy, `width` the mean width of the intervals of pairs divided by that of Tukey's with variances known,
    and `power` the share of pairs with a true difference that are found.
    """

    behind: float
    level: float
    covered: float
    width: float
    power: float


def family(generator: np.random.Generator, cell: Cell) -> list[np.ndarray]:
    """Which images each network is right about, (seeds, n) bool, of each configuration."""
    image = generator.standard_normal(cell.images, np.float32) * np.float32(_IMAGE**0.5)
    rights = []
    for accuracy, deviation in zip(cell.accuracies, cell.deviations, strict=True):
        slope = norm.pdf(norm.ppf(accuracy))
        spread = deviation / 100 / slope
        own = image + generator.standard_normal(cell.images, np.float32) * np.float32(_CONFIGURATION**0.5)
        shift = norm.ppf(accuracy) * (1 + spread**2) ** 0.5 + spread * generator.standard_normal(cell.seeds)
        noise = generator.standard_normal((cell.seeds, cell.images), np.float32) * np.float32(_SEED**0.5)
        rights.append(own + shift[:, None].astype(np.float32) + noise > 0)
    return rights


def simulate(cell: Cell, families: int, seed: int) -> Rates:
    """Judge families of a cell."""
    generator, truth = np.random.default_rng(seed), np.array(cell.accuracies)
    behind = truth < truth.max() - 1e-9
    is_far = truth <= truth.max() - MARGIN + 1e-9
    upper = np.triu_indices(len(truth), 1)
    is_apart = np.abs(np.subtract.outer(truth, truth))[upper] > 1e-9
    false_behind, false_level, covered, halves, found, means = 0, 0, [], [], [], []
    for _ in range(families):
        estimated = estimate(family(generator, cell))
        differences, half = all_pairs(estimated)
        judged = verdicts(differences, half, MARGIN)
        false_behind += bool((judged.is_behind & ~behind).any())
        false_level += bool((judged.is_level & is_far).any())
        low, high = single(estimated)
        covered.append(((low <= truth) & (truth <= high)).mean())
        halves.append(half[upper].mean())
        means.append(estimated.means)
        if is_apart.any():
            found.append((np.abs(differences) > half)[upper][is_apart].mean())
    spread = np.subtract.outer(np.array(means), np.zeros(1))[..., 0]
    deviations = np.array([(spread[:, one] - spread[:, other]).std() for one, other in zip(*upper, strict=True)])
    known = norm_tukey(len(truth)) * deviations.mean()
    return Rates(
        false_behind / families,
        false_level / families,
        float(np.mean(covered)),
        float(np.mean(halves)) / known,
        float(np.mean(found)) if found else float("nan"),
    )


def norm_tukey(groups: int) -> float:
    """Half the width of Tukey's intervals with variances known, in standard errors of a difference."""
    return float(studentized_range.ppf(0.95, groups, 1e5)) / 2**0.5
