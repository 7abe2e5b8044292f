"""Linear probes: how far colours and spectrum alone tell REAL from FAKE. A network below them has learnt less.

On the whole of CIFAKE: colour 61.5 %, spectrum 77.8 %, both 79.6 % of the test images (n = 10,000). The spectrum is a
mean of logarithms over each ring; the more usual logarithm of the mean gives 70 %.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainables.training.arrays import shared_data
from trainables.training.metrics import THRESHOLD, best_threshold
from trainables.training.selection import Data, DataSelection

_BINS = 16
_MOST_IMAGES = 20_000  # to fit some dozens of weights; all 90,000 of CIFAKE move the accuracy by a tenth of a point
_BYTES_AT_ONCE = 2_000 * 32 * 32 * 3  # 64 times as many are in memory meanwhile


def measure(selection: DataSelection, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield `probe` of the first training set that the trials of a node share; runs in a helper."""
    yield probe(shared_data(selection, folder).subset(1))


def probe(data: Data) -> dict[str, Any]:
    """Fit logistic regressions on colour, on the spectrum and on both, and measure their accuracies, 0–1.

    Thresholds are those of trials: probability 0.5 on validation, and on test the one that is best on validation.
    Returns probe → `validation_accuracy`, `test_accuracy` and `test_clean_accuracy` (without duplicates), and
    `train_images`, the number of training images used.
    """
    # The driver names `measure`, and must not wait a second for scikit-learn.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images = {"train": data.train.images[:_MOST_IMAGES], "validation": data.validation.images, "test": data.test.images}
    colour = {split: _in_parts(colours, pixels) for split, pixels in images.items()}
    spectrum = {split: _in_parts(spectra, pixels) for split, pixels in images.items()}
    both = {split: np.concatenate([colour[split], spectrum[split]], axis=1) for split in images}
    accuracies: dict[str, Any] = {"train_images": len(images["train"])}
    for name, features in {"colour": colour, "spectrum": spectrum, "both": both}.items():
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(features["train"], data.train.labels[:_MOST_IMAGES])
        labels = {"validation": data.validation.labels, "test": data.test.labels}
        scores = {split: model.decision_function(features[split]) for split in labels}
        thresholds = {"validation": THRESHOLD, "test": best_threshold(labels["validation"], scores["validation"])}
        correct = {split: (scores[split] > thresholds[split]) == (truth == 1) for split, truth in labels.items()}
        correct["test_clean"] = correct["test"][~data.test.duplicate]
        accuracies[name] = {f"{part}_accuracy": float(right.mean()) for part, right in correct.items() if len(right)}
    return accuracies


def _in_parts(features: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    count = max(1, _BYTES_AT_ONCE // images[0].nbytes)
    return np.concatenate([features(images[start : start + count]) for start in range(0, len(images), count)])


def colours(images: np.ndarray) -> np.ndarray:
    """(n, h, w, 3) uint8 → (n, 9): mean and standard deviation of each channel, and the channels' correlations."""
    pixels = images.reshape(len(images), -1, 3).astype(np.float32) / 255
    means = pixels.mean(axis=1)
    centred = pixels - means[:, None]
    covariances = np.einsum("npc,npd->ncd", centred, centred) / pixels.shape[1]
    deviations = np.sqrt(np.einsum("ncc->nc", covariances)) + 1e-6
    first, second = np.triu_indices(3, 1)
    correlations = covariances[:, first, second] / (deviations[:, first] * deviations[:, second])
    return np.concatenate([means, deviations, correlations], axis=1)


def spectra(images: np.ndarray) -> np.ndarray:
    """(n, side, side, 3) uint8 → (n, 16): the grey image's log power, averaged over rings of spatial frequency.

    The rings are equally wide, from 0 to 0.5 cycles per pixel; the last one also takes the corners beyond.
    """
    grey = images.astype(np.float32).mean(axis=3)
    power = np.log(np.abs(np.fft.rfft2(grey)) ** 2 + 1)
    side = grey.shape[1]
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])  # cycles per pixel, 0–0.71
    rings = np.minimum((frequency / 0.5 * _BINS).astype(int), _BINS - 1).ravel()
    weights = np.eye(_BINS, dtype=np.float32)[rings]
    return np.asarray(power.reshape(len(power), -1) @ weights / np.maximum(weights.sum(axis=0), 1))
