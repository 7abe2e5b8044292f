"""What backends share: the order of an epoch, and a trainer whose images lie in the device's memory. Plain Keras."""

import math
from typing import Any

import keras
import numpy as np

from trainables.training.selection import Split


def epoch_order(split: Split, seed: int, epoch: int) -> np.ndarray:
    """The order of a split's images in an epoch, which derives from (seed, epoch): (n,) int32."""
    return np.random.default_rng([seed, epoch]).permutation(len(split)).astype(np.int32)


class ResidentTrainer(keras.Model):  # type: ignore[misc]
    """A model around another that takes indices into the images, which it holds, instead of images."""

    def __init__(self, model: keras.Model, images: np.ndarray) -> None:
        super().__init__(name="trainer")
        self.model = model
        self.images = self.add_weight(shape=images.shape, dtype="uint8", trainable=False, initializer="zeros")
        self.images.assign(images)

    def call(self, indices: Any, training: bool | None = None) -> Any:
        """(b,) int32 → (b, 1) logits."""
        return self.model(keras.ops.take(self.images, indices, axis=0), training=training)


class IndexBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """One epoch of (indices (b,) int32, labels (b, 1) float32), in the order of `order` (n,)."""

    def __init__(self, split: Split, order: np.ndarray, batch_size: int) -> None:
        super().__init__(workers=0)
        self._order, self._batch_size = order, batch_size
        self._labels = split.labels[order].astype(np.float32)[:, None]

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        batch = slice(index * self._batch_size, (index + 1) * self._batch_size)
        return self._order[batch], self._labels[batch]
