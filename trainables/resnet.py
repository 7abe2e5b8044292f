"""ResNet50: four stages of 3, 4, 6 and 3 bottleneck blocks.

K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR 2016 (arXiv:1512.03385).
Layers are named as in keras.applications, whose weights fit.
"""

from typing import Literal

import keras
from keras import layers

from trainables.layers.blocks import Augmentation, batch_norm_relu, head, image_input, stem

_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # filters of the bottleneck, blocks


def resnet50(
    image_size: int, stem_type: Literal["cifar", "imagenet"] = "cifar", augmentation: Augmentation = "none"
) -> keras.Model:
    """ResNet50 from scratch, with global average pooling."""
    pixels, x = image_input(image_size, augmentation)
    x = resnet50_body(x, stem_type)  # 4 x 4 x 2048 at 32 pixels; 1 x 1 with the imagenet stem
    return keras.Model(pixels, head(layers.GlobalAveragePooling2D()(x), ()), name="resnet50")


def resnet50_body(x: keras.KerasTensor, stem_type: Literal["cifar", "imagenet"]) -> keras.KerasTensor:
    """Stem and stages: (batch, height, width, 3) → (batch, height / s, width / s, 2048), s = 8, or 32 for imagenet."""
    x = stem(x, stem_type, use_bias=True)
    for stage, (filters, blocks) in enumerate(_STAGES, start=2):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 2 and block == 1 else 1
            x = _bottleneck(x, filters, stride, f"conv{stage}_block{block}")
    return x


def _bottleneck(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """1 x 1, 3 x 3 and 1 x 1 convolutions, and a shortcut, with a convolution of its own where the shape changes."""
    shortcut = x
    if x.shape[-1] != 4 * filters:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_0_bn")(shortcut)
    x = batch_norm_relu(layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x), f"{name}_1")
    x = batch_norm_relu(layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x), f"{name}_2")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_3_bn")(x)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))
