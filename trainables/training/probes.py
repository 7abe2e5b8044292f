"""What can be told from an image's colours and spectrum alone: a network below that has learned less than these.

On the whole of CIFAKE: colour 61.5 %, spectrum 77.8 %, both 79.6 % of the test images (n = 10,000). The spectrum is a
mean of logarithms over each ring; the logarithm of the mean, which is more usual, gives 70 %.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainables.training.arrays import shared_data
from trainables.training.selection import Data, DataSelection, Split

_BINS = 16
_MOST_IMAGES = 20_000  # to fit some dozens of weights; all 90,000 of CIFAKE move the accuracy by a tenth of a point
_AT_ONCE = 2_000


def measure(selection: DataSelection, node_folder: Path) -> Iterator[dict[str, Any]]:
    """`floor` of what the trials of a machine share, for a process of its own."""
    yield floor(shared_data(selection, node_folder))


def floor(data: Data) -> dict[str, Any]:
    """Accuracies, 0–1, of logistic regressions on colour, on the spectrum and on both, fitted on the training images.

    Name → `validation_accuracy`, `test_accuracy` and `test_clean_accuracy`; and `train_images`, how many were used.
    """
    train = _first(data.train, _MOST_IMAGES)
    seen = {"train": train, "validation": data.validation, "test": data.test}
    features = {name: {"colour": colours(split), "spectrum": spectra(split)} for name, split in seen.items()}
    for found in features.values():
        found["both"] = np.concatenate([found["colour"], found["spectrum"]], axis=1)
    clean = ~data.test.duplicate
    told: dict[str, Any] = {"train_images": len(train)}
    for probe in ("colour", "spectrum", "both"):
        fitted = _fitted(features["train"][probe], train.labels)
        right = {name: fitted.predict(features[name][probe]) == seen[name].labels for name in ("validation", "test")}
        right["test_clean"] = right["test"][clean]
        told[probe] = {f"{name}_accuracy": float(each.mean()) for name, each in right.items() if len(each)}
    return told


def _fitted(features: np.ndarray, labels: np.ndarray) -> Any:
    # The driver names `measure`, and must not wait a second for scikit-learn.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(features, labels)


def colours(split: Split) -> np.ndarray:
    """(n, 9): mean and standard deviation of each channel, and the correlations between them."""
    return _in_parts(split, _colours)


def spectra(split: Split) -> np.ndarray:
    """(n, 16): the log power spectrum of the grey image, averaged over rings of equal width of spatial frequency."""
    return _in_parts(split, _spectra)


def _in_parts(split: Split, function: Any) -> np.ndarray:
    parts = [function(split.images[at : at + _AT_ONCE]) for at in range(0, len(split), _AT_ONCE)]
    return np.concatenate(parts)


def _colours(images: np.ndarray) -> np.ndarray:
    pixels = images.reshape(len(images), -1, 3).astype(np.float32) / 255
    means = pixels.mean(axis=1)
    centred = pixels - means[:, None]
    covariances = np.einsum("npc,npd->ncd", centred, centred) / pixels.shape[1]
    deviations = np.sqrt(np.einsum("ncc->nc", covariances)) + 1e-6
    first, second = np.triu_indices(3, 1)
    correlations = covariances[:, first, second] / (deviations[:, first] * deviations[:, second])
    return np.concatenate([means, deviations, correlations], axis=1)


def _spectra(images: np.ndarray) -> np.ndarray:
    grey = images.astype(np.float32).mean(axis=3)
    power = np.log(np.abs(np.fft.rfft2(grey)) ** 2 + 1)
    side = grey.shape[1]
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])  # cycles a pixel, 0–0.71
    rings = np.minimum((frequency / 0.5 * _BINS).astype(int), _BINS - 1).ravel()
    weights = np.eye(_BINS, dtype=np.float32)[rings]
    sizes = np.maximum(weights.sum(axis=0), 1)
    found: np.ndarray = power.reshape(len(power), -1) @ weights / sizes
    return found


def _first(split: Split, most: int) -> Split:
    return Split(split.images[:most], split.labels[:most], split.rows[:most], split.duplicate[:most])
