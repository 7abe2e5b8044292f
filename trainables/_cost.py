"""What a network costs, counted from its layers."""

import math

import keras
from keras import layers


def flops(model: keras.Model) -> int:
    """Floating-point operations of one image's forward pass: two a multiply-add of convolutions and dense layers.

    Everything else, a few per cent, is left out, as is the custom.
    """
    return sum(_layer_flops(layer) for layer in model.layers)


def _layer_flops(layer: keras.Layer) -> int:
    if not isinstance(layer, layers.Conv2D | layers.Dense):
        return 0
    places = math.prod(layer.output.shape[1:-1])  # pixels that the kernel is applied to; 1 for a dense layer
    return int(2 * places * math.prod(layer.kernel.shape))
