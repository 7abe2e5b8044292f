"""Near-copies: images that show one picture, saved again, mirrored, shifted by a pixel, or a little changed.

Two sieves. First the pattern of edges, four directions in 4 x 4 cells, is compared between all images, and with their
mirror images: blurred edges hardly change with a shift, and other pictures have other ones, where brightness is alike
in any two pictures of sea and sky. Then, for pairs that are alike, how far all differences between neighbouring pixels
agree, at the best of nine shifts: twice their product by the sum of their squares, so that one strong edge does not
agree with a weak one. Of 50 pairs of REAL images of CIFAKE that agreed least, two were not the same photograph.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, product

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

_PATTERN, _DIFFERENCES = 0.83, 0.73  # the least agreements
_ROWS, _COLUMNS = 1024, 8192  # compared at once
_MOST_PAIRS = 100_000  # of copies, beyond which those that are connected already are left out
_MARGIN, _CELLS = 2, 4  # pixels that a shift may bring in, and cells across


def near_pairs(images: np.ndarray) -> np.ndarray:
    """The pairs (p, 2) of positions of near-copies, the smaller one first, among grey `images` (n, 32, 32) uint8.

    It takes time proportional to n²: 110,000 images half a minute on two cores. Of very many copies, as the frames of a
    video are, only those pairs are given that connect them.
    """
    patterns, found = _patterns(images), np.zeros((0, 2), int)
    for others in (images, images[:, :, ::-1]):
        for pairs in _alike(patterns, patterns if others is images else _patterns(others)):
            if len(found) > _MOST_PAIRS:
                pictures = connected(found, len(images))
                pairs = pairs[pictures[pairs[:, 0]] != pictures[pairs[:, 1]]]
            is_copy = _agreements(images[pairs[:, 0]], others[pairs[:, 1]]) > _DIFFERENCES
            found = np.concatenate([found, pairs[is_copy]])
    return np.unique(found, axis=0)


def near_copies(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether each of some grey `images` (n, 32, 32) uint8 is a near-copy of one of the `known` (m, 32, 32): (n,) bool.

    It takes time proportional to n x m: ten seconds on two cores for 10,000 images and 100,000.
    """
    patterns, is_copy = _patterns(known), np.zeros(len(images), bool)
    for others in (images, images[:, :, ::-1]):
        for pairs in _alike(patterns, _patterns(others), is_within=False):
            is_near = _agreements(known[pairs[:, 0]], others[pairs[:, 1]]) > _DIFFERENCES
            is_copy[pairs[is_near, 1]] = True
    return is_copy


def connected(pairs: np.ndarray, count: int) -> np.ndarray:
    """A number (n,) for each of `count` images, equal for those that `pairs` (p, 2) connect, directly or not."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _patterns(images: np.ndarray) -> np.ndarray:
    """The patterns of edges (n, 64), of length 1 and mean 0. Roots keep the strongest edge from outweighing all."""
    patterns = np.zeros((len(images), 4 * _CELLS**2), np.float32)
    for start in range(0, len(images), _ROWS):
        steps = _steps(images[start : start + _ROWS]).astype(np.float32)
        edges = _blurred(np.concatenate([np.maximum(steps, 0), np.maximum(-steps, 0)], axis=1))
        inner = edges[:, :, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        cells = inner.reshape(*inner.shape[:2], _CELLS, inner.shape[2] // _CELLS, _CELLS, -1).mean(axis=(3, 5))
        flat = np.sqrt(cells).reshape(len(steps), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        patterns[start : start + _ROWS] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return patterns


def _steps(images: np.ndarray) -> np.ndarray:
    """The differences from the pixel to the left and from the one above, (n, 2, 32, 32), 0 where there is none."""
    values = images.astype(np.int32)
    return np.stack([np.diff(values, axis=axis, prepend=np.take(values, [0], axis)) for axis in (2, 1)], 1)


def _blurred(values: np.ndarray) -> np.ndarray:
    """Values (…, h, w), blurred with weights of 1, 2, 1 both ways but at the border."""
    for axis in (-2, -1):
        before, after = (np.roll(values, by, axis) for by in (1, -1))
        values = (before + 2 * values + after) / 4
    return values


def _alike(patterns: np.ndarray, others: np.ndarray, is_within: bool = True) -> Iterator[np.ndarray]:
    """The pairs (p, 2) of positions at which a pattern and another are alike, in parts.

    Of patterns of the same images, `is_within`, first < second.
    """

    def compare(row: int, start: int) -> np.ndarray:
        block = others[start : start + _COLUMNS]
        alike = np.flatnonzero(patterns[row : row + _ROWS] @ block.T > _PATTERN)
        first, second = row + alike // len(block), start + alike % len(block)
        return np.stack([first, second], 1)[(first < second) | (not is_within)]

    places = product(range(0, len(patterns), _ROWS), range(0, len(others), _COLUMNS))
    wanted = ((row, start) for row, start in places if start + _COLUMNS > row or not is_within)
    # Products are so small that BLAS's own threads would wait for each other: 14 minutes of 16 processors for CIFAKE.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        while several := list(islice(wanted, 2 * (os.cpu_count() or 1))):
            for pairs in pool.map(compare, *zip(*several, strict=True)):
                yield from (pairs[at : at + _MOST_PAIRS] for at in range(0, len(pairs), _MOST_PAIRS))


def _agreements(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far the differences between neighbouring pixels agree, (p,), -1 to 1, each at its best shift by a pixel.

    Sums of integers are the same on every machine, and so are the splits that follow from them.
    """
    best = np.full(len(images), -1.0)
    for start in range(0, len(images), _ROWS):
        rows = slice(start, start + _ROWS)
        steps, inner = _steps(images[rows]), slice(_MARGIN, -_MARGIN)
        fixed = _steps(others[rows])[:, :, inner, inner]
        for down, right in product((1, 2, 3), repeat=2):
            moved = steps[:, :, down : down + fixed.shape[2], right : right + fixed.shape[3]]
            squares = np.einsum("pdyx,pdyx->p", moved, moved) + np.einsum("pdyx,pdyx->p", fixed, fixed)
            products = 2 * np.einsum("pdyx,pdyx->p", moved, fixed) / np.maximum(squares, 1)
            best[rows] = np.maximum(best[rows], products)
    return best
