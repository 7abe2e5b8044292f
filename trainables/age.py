"""The twelve age-classifier networks: three trunks of 2, 3 or 4 convolutions, four heads of 1 to 4 dense layers.

S. Sheoran, "Applications of Existing Convolutional Neural Networks to Deepfake Detection", NHSJS 2025, after the
networks compared by Aydogdu & Demirci, "Age Classification Using an Optimized CNN Architecture", ICCDA 2017,
doi 10.1145/3093241.3093277. The layer sizes are the study's. ReLU, no batch norm, no dropout; at 32 x 32 pixels every
trunk ends in 512 features.
"""

import keras
from keras import layers

from trainables._blocks import conv, head, image_input, pool


def age_classifier(image_size: int, trunk: str, hidden: tuple[int, ...]) -> keras.Model:
    """A trunk (`c2`, `c3`, `c4`) under a head with `hidden` units a dense layer."""
    pixels, x = image_input(image_size)
    x = _TRUNKS[trunk](x)  # 2 x 2 x 128
    return keras.Model(pixels, head(layers.Flatten()(x), hidden), name=f"age-{trunk}-f{len(hidden) + 1}")


def _c2(x: keras.KerasTensor) -> keras.KerasTensor:
    x = pool(conv(x, 64, size=5, strides=2, padding="same"))  # 8 x 8 x 64
    return pool(conv(x, 128, strides=2, padding="same"))


def _c3(x: keras.KerasTensor) -> keras.KerasTensor:
    x = pool(conv(x, 32))  # 15 x 15 x 32
    x = pool(conv(x, 64))  # 6 x 6 x 64
    return pool(conv(x, 128))


def _c4(x: keras.KerasTensor) -> keras.KerasTensor:
    x = pool(conv(x, 32))  # 15 x 15 x 32
    x = pool(conv(x, 64))  # 6 x 6 x 64
    return conv(conv(x, 64), 128)


_TRUNKS = {"c2": _c2, "c3": _c3, "c4": _c4}
