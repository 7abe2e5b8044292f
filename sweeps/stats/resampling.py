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


def luck(right: np.ndarray, splits: int = 200, seed: int = 0) -> float:
    """How much of the accuracy of the best of k candidates is the luck of having been chosen, a share, 0–1.

    `right` (k, n) says which of the n images each candidate is right about: a candidate is an epoch of a trial, if the
    best epoch is chosen too. Chosen on a random half of the images, the best is measured on the other half: the mean
    difference is the luck of a choice by n/2 images; likewise by n/4. Their ratio says how luck falls with more images:
    as 1/sqrt(n) where all candidates are equally good, and as 1/n where they differ by much more than chance.
    NaN without candidates or with fewer than four images.
    """
    images, generator = right.shape[1], np.random.default_rng(seed)
    if not len(right) or images < 4:
        return math.nan
    answers = right.T.astype(np.float32)
    by_half, by_quarter = (_excess(answers, size, splits, generator) for size in (images // 2, images // 4))
    if by_half <= 0:
        return 0.0
    return by_half * 2 ** -float(np.clip(math.log2(max(by_quarter, 1e-9) / by_half), 0.5, 1.0))


def _excess(answers: np.ndarray, size: int, splits: int, generator: np.random.Generator) -> float:
    """By how much the best on `size` of the images is better there than on the others, in the mean over splits."""
    images, excess = len(answers), 0.0
    total = answers.sum(axis=0)
    for start in range(0, splits, _BLOCK):
        masks = np.zeros((min(_BLOCK, splits - start), images), np.float32)
        for mask in masks:
            mask[generator.permutation(images)[:size]] = 1
        correct = masks @ answers
        best = correct.argmax(axis=1)
        inside = correct[np.arange(len(best)), best]
        excess += float((inside / size - (total[best] - inside) / (images - size)).sum())
    return excess / splits


def comes_first(right: np.ndarray, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each of k trials comes first on a resample of the n images, (k,) shares; equals share the place.

    `right` (k, n) says which of the images each trial is right about. NaN without trials or images.
    """
    trials = len(right)
    if not right.size:
        return np.full(trials, np.nan)
    answers, first = right.T.astype(np.float32), np.zeros(trials)
    for (counts,) in _blocks(_drawn(right.shape[1], resamples, (seed,))):
        correct = counts @ answers
        is_best = correct == correct.max(axis=1, keepdims=True)
        first += (is_best / is_best.sum(axis=1, keepdims=True)).sum(axis=0)
    return first / resamples


def leave_one_out(chosen_by: np.ndarray, measured: np.ndarray) -> float:
    """The mean of what is measured of networks (k, seeds) by a seed that had no part in their choice.

    Each seed in turn is left out; the network that is best in `chosen_by` (k, seeds), in the mean over the others, is
    chosen, and `measured` by that seed.
    """
    seeds = range(chosen_by.shape[1])
    best = [int(np.delete(chosen_by, seed, axis=1).mean(axis=1).argmax()) for seed in seeds]
    return float(np.mean([measured[network, seed] for network, seed in zip(best, seeds, strict=True)]))
