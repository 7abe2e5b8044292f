"""The bootstrap over images: how often each of n draws with replacement takes each image, all resamples in one matrix.

By hand, because `scipy.stats.bootstrap` calls its statistic on the images of each resample, which sorts them anew; here
they are sorted once and weighted.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from trainables.training.weighted_metrics import WEIGHTED, order, weighted

_BLOCK = 50  # resamples computed at once: a few megabytes, which stay in the processor's cache


@lru_cache(maxsize=8)
def _drawn(images: int, resamples: int, seed: tuple[int, ...]) -> np.ndarray:
    """How often each of n images is drawn, (resamples, n) uint8; every row sums to n.

    Cached, since all trials of a record score the same images. The same resamples for all also keep chance out of the
    differences between trials.
    """
    generator, counts = np.random.default_rng(seed), np.zeros((resamples, images), np.uint8)
    for row in counts if images else ():
        row[:] = np.bincount(generator.integers(0, images, images, dtype=np.int32), minlength=images)
    counts.flags.writeable = False
    return counts


def _blocks(*counts: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """The same _BLOCK rows of each of `counts` at a time, as float32."""
    for start in range(0, len(counts[0]), _BLOCK):
        yield tuple(rows[start : start + _BLOCK].astype(np.float32) for rows in counts)


def resampled(labels: np.ndarray, logits: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Every metric of WEIGHTED on each resample of the images with labels (n,) and logits (n,): (resamples,) each.

    FAKE and REAL images are drawn apart, as many as there are: their numbers were decided, not observed, and no
    resample lacks a class.
    """
    images = order(labels, logits)
    fakes, reals = _drawn(len(images.fake), resamples, (seed, 1)), _drawn(len(images.real), resamples, (seed, 0))
    blocks = [weighted(images, *block) for block in _blocks(fakes, reals)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in WEIGHTED}


def luck(right: np.ndarray, resamples: int = 1000, seed: int = 0) -> tuple[float, np.ndarray]:
    """How much of the accuracy of the best of k trials is the luck of having been chosen, and which others could win.

    `right` (k, n) says which of the n images each trial is right about. On each resample of the images the best trial
    is chosen anew. Returns the mean by which its accuracy there exceeds its accuracy on all images, a share, 0–1 (the
    bootstrap estimate of optimism, Efron 1983), and the share (k,) of the resamples in which each trial comes first;
    equal trials share the place. Among trials that differ by chance alone the true luck is about 1.4 times this
    estimate, because their accuracies on all images seem further apart than they are. NaN without trials or images.
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
