"""The twelve age-classifier networks: three trunks of 2, 3 or 4 convolutions, four heads of 1 to 4 dense layers.

S. Sheoran, "Applications of Existing Convolutional Neural Networks to Deepfake Detection", NHSJS 2025, after the
networks compared by Aydogdu & Demirci, "Age Classification Using an Optimized CNN Architecture", ICCDA 2017,
doi 10.1145/3093241.3093277. The layer sizes are Sheoran's. ReLU; at 32 x 32 pixels every trunk ends in 512 features.
Batch norm, dropout and augmentation are hyperparameters that the paper does not have.
"""

import functools
from typing import Annotated

import keras
from keras import layers

from trainables.layers.augmentation import Augmentation
from trainables.layers.blocks import conv, head, image_input, pool
from trainables.training.recipe import Between


def age_classifier(
    image_size: int,
    trunk: str,
    hidden: tuple[int, ...],
    batch_norm: bool = False,
    dropout: Annotated[float, Between(0, 0.9)] = 0.0,
    augmentation: Augmentation = "none",
) -> keras.Model:
    """A trunk (`c2`, `c3` or `c4`) and a head whose dense layers have `hidden` units."""
    pixels, x = image_input(image_size, augmentation)
    x = _TRUNKS[trunk](x, functools.partial(conv, batch_norm=batch_norm))  # 2 x 2 x 128
    return keras.Model(pixels, head(layers.Flatten()(x), hidden, dropout), name=f"age-{trunk}-f{len(hidden) + 1}")


def _c2(x: keras.KerasTensor, conv: "functools.partial[keras.KerasTensor]") -> keras.KerasTensor:
    x = pool(conv(x, 64, size=5, strides=2, padding="same"))  # 8 x 8 x 64
    return pool(conv(x, 128, strides=2, padding="same"))


def _c3(x: keras.KerasTensor, conv: "functools.partial[keras.KerasTensor]") -> keras.KerasTensor:
    x = pool(conv(x, 32))  # 15 x 15 x 32
    x = pool(conv(x, 64))  # 6 x 6 x 64
    return pool(conv(x, 128))


def _c4(x: keras.KerasTensor, conv: "functools.partial[keras.KerasTensor]") -> keras.KerasTensor:
    x = pool(conv(x, 32))  # 15 x 15 x 32
    x = pool(conv(x, 64))  # 6 x 6 x 64
    return conv(conv(x, 64), 128)


_TRUNKS = {"c2": _c2, "c3": _c3, "c4": _c4}
