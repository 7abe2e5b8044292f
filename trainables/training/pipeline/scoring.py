"""The scores of many images by one model."""

import math
from collections.abc import Callable

import keras
import numpy as np

from trainables.training.pipeline.backend import backend

_STEPS = 64  # batches that one program scores on a GPU: more take memory for images, fewer the host's time


def scorer(model: keras.Model) -> Callable[[np.ndarray, int], np.ndarray]:
    """The model's compiled scoring: images (n, side, side, 3) uint8, and how many at once → logits (n,) float32."""
    forward = backend.forward(model)

    def scores(images: np.ndarray, batch: int) -> np.ndarray:
        steps = min(_STEPS, math.ceil(len(images) / batch)) if backend.gpu_bytes() else 0
        at_once = batch * max(1, steps)
        parts = [np.zeros((0,), np.float32)]
        for start in range(0, len(images), at_once):
            part = images[start : start + at_once]
            if steps:  # of one shape, so that one program serves all parts and splits
                part = np.resize(part, (steps, batch, *part.shape[1:]))
            parts.append(forward(part))
        return np.concatenate([np.asarray(part, np.float32).reshape(-1) for part in parts])[: len(images)]

    return scores
