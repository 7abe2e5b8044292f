"""Batches and gradients on JAX. Training images lie in the device's memory, on a CPU too."""

import os
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np

from trainables.training.pipeline.batches import ResidentTrainer, epoch_order
from trainables.training.selection import Split

#: One at a time: JAX would unroll several, and compile for minutes.
STEPS_PER_EXECUTION = 1
JIT_COMPILE = True


def set_up(threads: int) -> None:
    """Limit this process to that many threads on a CPU, before JAX first computes."""
    os.environ["NPROC"] = str(threads)  # which XLA takes for the number of processors


def trainer(model: keras.Model, split: Split) -> keras.Model:
    """The model to compile and fit on `training_batches`: one around `model` that holds the images."""
    return ResidentTrainer(model, split.images)


def training_batches(split: Split, batch_size: int, seed: int, epoch: int) -> keras.utils.PyDataset:
    """One epoch for `trainer`, in the order of (seed, epoch): indices (b,) int32 and labels (b, 1) float32."""
    return _IndexBatches(epoch_order(split, seed, epoch), split.labels, batch_size)


class _IndexBatches(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self, order: np.ndarray, labels: np.ndarray, batch_size: int) -> None:
        super().__init__(workers=0)
        self._batches = np.split(order, range(batch_size, len(order), batch_size))
        self._labels = labels.astype(np.float32)[:, None]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._batches[index], self._labels[self._batches[index]]


def forward(model: keras.Model) -> Callable[[np.ndarray], Any]:
    """The model's compiled forward pass: (n, h, w, 3) uint8 → (n, 1)."""
    return model.predict_on_batch  # type: ignore[no-any-return]


def gradient(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The gradient of each output with respect to its own inputs (n, …) float32, outside training: (n, …) float32.

    It is computed as that of their sum: outside training, images do not influence each other.
    """
    return np.asarray(jax.grad(lambda inputs: keras.ops.sum(model(inputs, training=False)))(images))
