"""What the backends share, in plain Keras: the order of an epoch, and images that lie in a device's memory."""

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
