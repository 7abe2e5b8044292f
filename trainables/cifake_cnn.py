"""The network of the CIFAKE paper: a few convolutions, each with max-pooling, and a few dense layers.

J. J. Bird and A. Lotfi, "CIFAKE: Image classification and explainable identification of AI-generated synthetic images",
IEEE Access 12, 2024. Their best of 36 is the default, here with same padding.
"""

import keras
from keras import layers

from trainables._blocks import conv, head, image_input, pool


def cifake_cnn(
    image_size: int, convolutions: int = 2, filters: int = 32, dense_layers: int = 1, units: int = 64
) -> keras.Model:
    """`convolutions` blocks of `filters` filters, then `dense_layers` dense layers of `units` units."""
    pixels, x = image_input(image_size)
    for _ in range(convolutions):
        x = pool(conv(x, filters, padding="same"))
    return keras.Model(pixels, head(layers.Flatten()(x), (units,) * dense_layers), name="cifake-cnn")
