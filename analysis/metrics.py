"""Pure numbers. Labels are 0 REAL and 1 FAKE; FAKE is the positive class; scores are logits, positive for FAKE."""

import math

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

#: The logit above which an image is called FAKE: probability 0.5, as in training.
THRESHOLD = 0.0
CONFIDENCE = 0.95


def confusion(labels: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Counts (2, 2) int: rows are the truth, columns the prediction, each REAL then FAKE.

    `labels` is (n,) of 0 and 1, `scores` (n,) logits. A score at the threshold, or NaN, is called REAL, as in training.
    """
    if len(labels) == 0:
        return np.zeros((2, 2), int)
    return np.asarray(confusion_matrix(labels, np.asarray(scores) > threshold, labels=[0, 1]), int)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Each cell of a confusion matrix as a share of its row, 0–1: of the REAL, or of the FAKE. NaN in an empty row."""
    rows = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    return shares


def accuracy(counts: np.ndarray) -> float:
    """The share of a confusion matrix on its diagonal, 0–1; NaN without images."""
    return float(np.trace(counts) / counts.sum()) if counts.sum() else math.nan


def recall(counts: np.ndarray) -> float:
    """The share of the FAKE images that are called FAKE, 0–1; NaN without FAKE images."""
    return float(row_shares(counts)[1, 1])


def precision(counts: np.ndarray) -> float:
    """The share of the images called FAKE that are FAKE, 0–1; NaN if none is called FAKE."""
    return float(row_shares(counts.T)[1, 1])


def wilson(share: float, images: float) -> tuple[float, float]:
    """The 95 % interval, 0–1, of an accuracy `share` measured on `images` images, after Wilson (1927).

    It covers the chance of which images were drawn, not that of the seed. NaN where either number is missing.
    """
    if not (math.isfinite(share) and images > 0):
        return math.nan, math.nan
    interval = binomtest(round(share * images), round(images)).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
