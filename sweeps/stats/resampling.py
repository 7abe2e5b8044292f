"""The bootstrap: how often each image is drawn, n draws with replacement, as a matrix of all resamples at once."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from trainables.training.ordering import WEIGHTED, order, weighted

_BLOCK = 50  # resamples that are worked on at once: a few megabytes, which stay in the processor's cache


@lru_cache(maxsize=8)
def _drawn(images: int, resamples: int, seed: tuple[int, ...]) -> np.ndarray:
    """How often each of n images is drawn, (resamples, n) uint8; every row sums to n.

    Kept, since all trials of a record score the same images: so no chance of the drawing comes between two trials.
    """
    generator, counts = np.random.default_rng(seed), np.zeros((resamples, images), np.uint8)
    for row in counts if images else ():
        row[:] = np.bincount(generator.integers(0, images, images, dtype=np.int32), minlength=images)
    counts.flags.writeable = False
    return counts


def _blocks(*counts: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for start in range(0, len(counts[0]), _BLOCK):
        yield tuple(each[start : start + _BLOCK].astype(np.float32) for each in counts)


def resampled(labels: np.ndarray, logits: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Every metric of WEIGHTED on each resample of the images, (resamples,).

    FAKE and REAL images are drawn apart, as many as there are: how many there are of each was decided, not observed,
    and no resample lacks a class.
    """
    found = order(labels, logits)
    fakes, reals = (_drawn(len(each), resamples, (seed, label)) for label, each in ((1, found.fake), (0, found.real)))
    parts = [weighted(found, *block) for block in _blocks(fakes, reals)]
    return {name: np.concatenate([part[name] for part in parts]) for name in WEIGHTED}


def luck(right: np.ndarray, resamples: int = 1000, seed: int = 0) -> tuple[float, np.ndarray]:
    """How much of the accuracy of the best of k trials is the luck of having been chosen, and who else might have been.

    `right` (k, n) says which of the n images each trial is right about. On each resample of the images the best trial
    is chosen anew: first, the mean by which its accuracy there exceeds that on all images, a share, 0–1 (the bootstrap
    estimate of optimism, Efron 1983); second (k,), the share of the resamples in which each trial comes first, equals
    sharing the place. Among trials that differ by chance alone the luck is larger, about 1.4 times what is told, for
    their accuracies on all images seem further apart than they are. NaN without trials or images.
    """
    trials, images = right.shape
    if not right.size:
        return math.nan, np.full(trials, np.nan)
    answers = right.T.astype(np.float32)
    optimism, first = 0.0, np.zeros(trials)
    for (counts,) in _blocks(_drawn(images, resamples, (seed,))):
        correct = counts @ answers
        is_best = correct == correct.max(axis=1, keepdims=True)
        shares = is_best / is_best.sum(axis=1, keepdims=True)
        optimism += float((correct.max(axis=1) - shares @ answers.sum(axis=0)).sum())
        first += shares.sum(axis=0)
    return optimism / (resamples * images), first / resamples
