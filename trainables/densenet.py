"""DenseNet121: four dense blocks of 6, 12, 24 and 16 layers, growth rate 32, and transitions between them.

G. Huang, Z. Liu, L. van der Maaten and K. Weinberger, "Densely connected convolutional networks", CVPR 2017
(arXiv:1608.06993). Layers are named as in keras.applications, whose weights fit.
"""

from typing import Literal

import keras
from keras import layers

from trainables.layers.blocks import Augmentation, batch_norm_relu, head, image_input, stem

_BLOCKS = (6, 12, 24, 16)
_GROWTH = 32


def densenet121(
    image_size: int, stem_type: Literal["cifar", "imagenet"] = "cifar", augmentation: Augmentation = "none"
) -> keras.Model:
    """DenseNet121 from scratch, with global average pooling."""
    pixels, x = image_input(image_size, augmentation)
    x = densenet121_body(x, stem_type)  # 4 x 4 x 1024 at 32 pixels; 1 x 1 with the imagenet stem
    return keras.Model(pixels, head(layers.GlobalAveragePooling2D()(x), ()), name="densenet121")


def densenet121_body(x: keras.KerasTensor, stem_type: Literal["cifar", "imagenet"]) -> keras.KerasTensor:
    """Stem and blocks: (batch, height, width, 3) → (batch, height / s, width / s, 1024), s = 8, or 32 for imagenet."""
    x = stem(x, stem_type, use_bias=False)
    for stage, count in enumerate(_BLOCKS, start=2):
        for layer in range(1, count + 1):
            x = _dense_layer(x, f"conv{stage}_block{layer}")
        if stage < 5:
            x = _transition(x, f"pool{stage}")
    return batch_norm_relu(x, "")


def _dense_layer(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """The input, and 32 new channels computed from it."""
    new = batch_norm_relu(x, f"{name}_0")
    new = batch_norm_relu(layers.Conv2D(4 * _GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(new), f"{name}_1")
    new = layers.Conv2D(_GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(new)
    return layers.Concatenate(name=f"{name}_concat")([x, new])


def _transition(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Halve the channels, the height and the width."""
    x = batch_norm_relu(x, name)
    x = layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"{name}_conv")(x)
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)
