"""What a network costs, counted from its layers, and the memory that training it takes."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_prep.errors import InputError
from trainables.training.network import Network, build
from trainables.training.recipe import Recipe

if TYPE_CHECKING:
    import keras

_BYTES = 4  # of a float32
_SLOTS = {"sgd": 1, "adam": 2, "adamw": 2}  # numbers that an optimizer keeps for each weight


@dataclass(frozen=True)
class Cost:
    """Of one image's forward pass: `activations`, the numbers that layers put out, and `flops`; and all parameters.

    `flops` are two a multiply-add of convolutions and dense layers. Everything else, a few per cent, is left out, as is
    the custom.
    """

    parameters: int
    trainable_parameters: int
    activations: int
    flops: int


def measure(recipe: Recipe, image_size: int, models: Mapping[str, Network]) -> Cost:
    """The cost of the network that a recipe asks for. Raises InputError if the recipe does not fit its network."""
    return cost(build(recipe, image_size, models))


def measure_all(recipes: Sequence[Recipe], image_size: int, models: Mapping[str, Network]) -> Iterator[Cost | str]:
    """The cost of each, or why there is none; for a process of its own, which takes no hold of a GPU."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    for recipe in recipes:
        try:
            yield measure(recipe, image_size, models)
        except InputError as error:
            yield error.message


def cost(model: "keras.Model") -> Cost:
    """The cost of a model."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    outputs = sum(_numbers(layer) for layer in model.layers)
    return Cost(model.count_params(), trainable, outputs, sum(map(_flops, model.layers)))


def training_bytes(cost: Cost, recipe: Recipe) -> int:
    """An estimate, in bytes, of what a training step of the recipe's batch keeps in memory.

    Weights, and gradients and the optimizer's moments of those that train; each activation, and its gradient. That is
    more than is alive at one time, and so leaves room for what the libraries take while they compute.
    """
    weights = cost.parameters + cost.trainable_parameters * (1 + _SLOTS[recipe.optimizer])
    size = _BYTES if recipe.precision == "float32" else _BYTES // 2
    return weights * _BYTES + 2 * recipe.batch_size * cost.activations * size


def _numbers(layer: "keras.Layer") -> int:
    return math.prod(layer.output.shape[1:])


def _flops(layer: "keras.Layer") -> int:
    from keras import layers

    if not isinstance(layer, layers.Conv2D | layers.Dense):
        return 0
    places = math.prod(layer.output.shape[1:-1])  # pixels that the kernel is applied to; 1 for a dense layer
    return int(2 * places * math.prod(layer.kernel.shape))
