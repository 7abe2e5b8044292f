"""Blocks that the networks share: each is a function from tensor to tensor."""

import keras
from keras import layers


def image_input(image_size: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input, pixels 0–255, and the same rescaled to 0–1: both (batch, image_size, image_size, 3)."""
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    return pixels, layers.Rescaling(1 / 255)(pixels)


def conv(
    x: keras.KerasTensor, filters: int, size: int = 3, strides: int = 1, padding: str = "valid"
) -> keras.KerasTensor:
    """A convolution with ReLU."""
    return layers.Conv2D(filters, size, strides, padding, activation="relu")(x)


def pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """Max-pooling that halves height and width."""
    return layers.MaxPooling2D(2)(x)


def head(x: keras.KerasTensor, hidden: tuple[int, ...]) -> keras.KerasTensor:
    """Dense layers with ReLU and one logit, positive for FAKE: (batch, 1)."""
    for units in hidden:
        x = layers.Dense(units, activation="relu")(x)
    return layers.Dense(1, name="logit")(x)
