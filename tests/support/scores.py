"""Scores of known truth."""

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

Images = tuple[np.ndarray, np.ndarray]
CASES = 2000


def scored(seed: int, fakes: int = 150, reals: int = 250, digits: int = 1) -> Images:
    """Images in random order whose scores overlap, rounded so that many are equal."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([1, 0], [fakes, reals]))
    return labels, np.round(1.5 * (2 * labels - 1) + 2 * generator.normal(size=len(labels)), digits)


DISTANCE, SIZE, CUT = 1.0, 250, 0.5  # of the means, over 2; images of each label; the threshold


def binormal(generator: np.random.Generator, size: int = SIZE) -> Images:
    """Scores that are normal in each class, and the logits of their true probabilities."""
    labels = np.repeat([0, 1], size)
    return labels, 2 * DISTANCE * (DISTANCE * (2 * labels - 1) + generator.normal(size=2 * size))


def mean_over(function: Callable[[float], float]) -> float:
    """The mean of a function of the logit of a FAKE image."""
    low, high = DISTANCE - 9, DISTANCE + 9
    return float(quad(lambda x: function(2 * DISTANCE * x) * norm.pdf(x - DISTANCE), low, high)[0])


def coverage(ends: np.ndarray, true: float) -> float:
    return float(((ends[:, 0] <= true) & (true <= ends[:, 1])).mean())


def expected_accuracy(skill: float, spread: float) -> float:
    return float(norm.cdf(skill / math.sqrt(1 + 0.5**2 + spread**2 + 0.5**2)))
