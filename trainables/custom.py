"""Sheoran's three custom networks: 3 x 3 convolutions with dropout, two of them with batch norm and augmentation.

S. Sheoran, "Applications of Existing Convolutional Neural Networks to Deepfake Detection", NHSJS 2025. Convolutions
have valid padding unless their line says same. Augmentation is part of the model, and changes images in training only.
"""

import keras
from keras import layers

from trainables.layers.augmentation import RandomAffine
from trainables.layers.blocks import Augmentation, conv, head, image_input, pool


def custom_1(image_size: int, augmentation: Augmentation = "none") -> keras.Model:
    """Four convolutions and two dense layers, with dropout."""
    pixels, x = image_input(image_size, augmentation)
    x = pool(conv(x, 32))  # 15 x 15 x 32
    x = pool(conv(x, 64))  # 6 x 6 x 64
    x = conv(x, 128)
    x = pool(conv(x, 256, padding="same"))  # 2 x 2 x 256
    return keras.Model(pixels, _two_dense_layers(x), name="custom-1")


def custom_2(image_size: int) -> keras.Model:
    """The first with batch norm after each convolution, a pool after the third; images rotated, shifted, flipped."""
    pixels, x = image_input(image_size)
    x = RandomAffine(rotation=15, shift=0.1)(layers.RandomFlip("horizontal")(x))
    x = pool(_conv_batch_norm(x, 32))  # 15 x 15 x 32
    x = pool(_conv_batch_norm(x, 64))  # 6 x 6 x 64
    x = pool(_conv_batch_norm(x, 128))  # 2 x 2 x 128
    x = pool(_conv_batch_norm(x, 256, padding="same"))  # 1 x 1 x 256
    return keras.Model(pixels, _two_dense_layers(x), name="custom-2")


def custom_3(image_size: int) -> keras.Model:
    """Five convolutions with batch norm, dropout after each pool; rotated, shifted, sheared, zoomed, flipped images."""
    pixels, x = image_input(image_size, "affine")
    x = _pool_dropout(_conv_batch_norm(_conv_batch_norm(x, 32), 32))  # 14 x 14 x 32
    x = _pool_dropout(_conv_batch_norm(_conv_batch_norm(x, 64), 64))  # 5 x 5 x 64
    x = _pool_dropout(_conv_batch_norm(x, 128))  # 1 x 1 x 128
    x = layers.Dense(512, activation="relu")(layers.Flatten()(x))
    return keras.Model(pixels, head(layers.Dropout(0.5)(x), ()), name="custom-3")


def _conv_batch_norm(x: keras.KerasTensor, filters: int, padding: str = "valid") -> keras.KerasTensor:
    return layers.BatchNormalization()(conv(x, filters, padding=padding))


def _pool_dropout(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Dropout(0.25)(pool(x))


def _two_dense_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Flatten()(layers.Dropout(0.5)(x))
    x = layers.Dropout(0.5)(layers.Dense(256, activation="relu")(x))
    return head(x, (128,))
