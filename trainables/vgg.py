"""VGG16 and VGG19: five blocks of 3 x 3 convolutions, each followed by max-pooling, and two dense layers of 4096.

K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015
(arXiv:1409.1556), configurations D and E, without dropout, as in Sheoran 2025. Layers are named as in
keras.applications, whose weights fit.
"""

from typing import Annotated, Literal

import keras
from keras import layers

from trainables.layers.blocks import MOMENTUM, Augmentation, head, image_input
from trainables.training.recipe import Between

#: Convolutions in each of the five blocks.
CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_FILTERS = (64, 128, 256, 512, 512)


def vgg(
    image_size: int,
    depth: Literal[16, 19],
    batch_norm: bool = False,
    initializer: str = "glorot_uniform",
    top: Literal["dense", "pooled"] = "dense",
    dropout: Annotated[float, Between(0, 0.9)] = 0.0,
    augmentation: Augmentation = "none",
) -> keras.Model:
    """VGG from scratch. Without batch norm it collapses at Adam's usual 1e-3; with it, or at 1e-4, it learns.

    `initializer` draws the kernels of the convolutions; `top` is two dense layers of 4096 units, as published, or
    global average pooling.
    """
    pixels, x = image_input(image_size, augmentation)
    x = vgg_body(x, depth, batch_norm, initializer)  # 1 x 1 x 512 at 32 pixels
    x = layers.Flatten()(x) if top == "dense" else layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, head(x, (4096, 4096) if top == "dense" else (), dropout), name=f"vgg{depth}")


def vgg_body(
    x: keras.KerasTensor, depth: Literal[16, 19], batch_norm: bool = False, initializer: str = "glorot_uniform"
) -> keras.KerasTensor:
    """The five blocks: (batch, height, width, 3) → (batch, height / 32, width / 32, 512)."""
    for block, (count, filters) in enumerate(zip(CONVOLUTIONS[depth], _FILTERS, strict=True), start=1):
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            x = layers.Conv2D(filters, 3, padding="same", kernel_initializer=initializer, name=name)(x)
            if batch_norm:
                x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return x
