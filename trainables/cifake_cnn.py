"""The network of the CIFAKE paper: a few convolutions, each with max-pooling, and a few dense layers.

J. J. Bird and A. Lotfi, "CIFAKE: Image classification and explainable identification of AI-generated synthetic images",
IEEE Access 12, 2024. The defaults are the best of their 36 networks, here with same padding. Batch norm, dropout and
augmentation are hyperparameters that the paper does not have.
"""

from typing import Annotated, Literal

import keras
from keras import layers

from trainables.layers.blocks import Augmentation, conv, head, image_input, pool
from trainables.training.recipe import Between


def cifake_cnn(
    image_size: int,
    convolutions: Annotated[int, Between(1, 5)] = 2,
    filters: Annotated[int, Between(1, 4096)] = 32,
    dense_layers: Annotated[int, Between(0, 10)] = 1,
    units: Annotated[int, Between(1, 65_536)] = 64,
    padding: Literal["same", "valid"] = "same",
    batch_norm: bool = False,
    dropout: Annotated[float, Between(0, 0.9)] = 0.0,
    augmentation: Augmentation = "none",
) -> keras.Model:
    """`convolutions` blocks of `filters` filters, then `dense_layers` dense layers of `units` units."""
    pixels, x = image_input(image_size, augmentation)
    for _ in range(convolutions):
        x = pool(conv(x, filters, padding=padding, batch_norm=batch_norm))
    return keras.Model(pixels, head(layers.Flatten()(x), (units,) * dense_layers, dropout), name="cifake-cnn")
