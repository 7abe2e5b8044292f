"""Blocks that the networks share: each is a function from tensor to tensor."""

from typing import Literal

import keras
from keras import layers

from trainables.layers.augmentation import RandomAffine

#: Momentum of the batch norm that the hyperparameter `batch_norm` adds. With Keras's 0.99, its statistics need hundreds
#: of steps, and methods that judge trials by their first epochs stop the best: on 3,000 images of CIFAKE, the
#: validation accuracies after epoch 1 and after the best of nine epochs had a rank correlation of 0.07 over 120 trials
#: with batch norm, and of 0.87 over 120 without.
MOMENTUM = 0.9

#: `flip`: left and right; `shift`: also by up to a tenth of the side; `affine`: also rotated by up to 15°, sheared and
#: zoomed by up to a fifth.
Augmentation = Literal["none", "flip", "shift", "affine"]
_AFFINE = {"shift": {"shift": 0.1}, "affine": {"rotation": 15, "shift": 0.1, "shear": 0.2, "zoom": 0.2}}


def image_input(image_size: int, augmentation: Augmentation = "none") -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input, pixels 0–255, and the same scaled to 0–1 and augmented: both (batch, image_size, image_size, 3)."""
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    if augmentation != "none":
        x = layers.RandomFlip("horizontal")(x)
    return pixels, RandomAffine(**_AFFINE[augmentation])(x) if augmentation in _AFFINE else x


def conv(
    x: keras.KerasTensor,
    filters: int,
    size: int = 3,
    strides: int = 1,
    padding: str = "valid",
    batch_norm: bool = False,
) -> keras.KerasTensor:
    """A convolution with ReLU; with batch norm between the two, and then no bias."""
    if not batch_norm:
        return layers.Conv2D(filters, size, strides, padding, activation="relu")(x)
    x = layers.Conv2D(filters, size, strides, padding, use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=MOMENTUM)(x))


def pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """Max-pooling that halves height and width."""
    return layers.MaxPooling2D(2)(x)


def head(x: keras.KerasTensor, hidden: tuple[int, ...], dropout: float = 0.0) -> keras.KerasTensor:
    """Dense layers with ReLU, and one logit, positive for FAKE: (batch, 1), float32 whatever the recipe's precision.

    `dropout` is the share, 0–1, of its inputs that each dense layer drops in training.
    """
    for units in hidden:
        x = layers.Dense(units, activation="relu")(_dropout(x, dropout))
    return layers.Dense(1, dtype="float32", name="logit")(_dropout(x, dropout))


def _dropout(x: keras.KerasTensor, share: float) -> keras.KerasTensor:
    return layers.Dropout(share)(x) if share else x


def batch_norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch norm and ReLU, named `NAME_bn` and `NAME_relu`, or just `bn` and `relu` without a name."""
    prefix = f"{name}_" if name else ""
    x = layers.BatchNormalization(epsilon=1.001e-5, name=f"{prefix}bn")(x)
    return layers.ReLU(name=f"{prefix}relu")(x)


def stem(x: keras.KerasTensor, kind: Literal["cifar", "imagenet"], use_bias: bool) -> keras.KerasTensor:
    """The first layers of ResNet and DenseNet: 64 filters, with batch norm.

    `imagenet` is a 7 x 7 convolution and max-pooling, which quarter height and width; `cifar`, for small images, is a
    3 x 3 convolution, which keeps them.
    """
    if kind == "cifar":
        return batch_norm_relu(layers.Conv2D(64, 3, padding="same", use_bias=use_bias, name="conv1_conv")(x), "conv1")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = batch_norm_relu(layers.Conv2D(64, 7, strides=2, use_bias=use_bias, name="conv1_conv")(x), "conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
