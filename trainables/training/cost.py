"""What a network costs, counted from its layers, and the memory that training it takes."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from data_prep import InputError
from trainables.training.network import Network, build
from trainables.training.outcome import gist
from trainables.training.recipe import Recipe
from trainables.training.selection import Data, Split

if TYPE_CHECKING:
    import keras

_FLOAT32_BYTES = 4
_SLOTS = {"sgd": 1, "adam": 2, "adamw": 2}  # numbers that an optimizer keeps for each weight


@dataclass(frozen=True)
class Cost:
    """The size of a network, and the work of one image's forward pass; zeros where it cannot be built, or measured."""

    parameters: int = 0
    trainable_parameters: int = 0
    #: Numbers that all layers put out.
    activations: int = 0
    #: Two per multiply-add of convolutions and dense layers; the rest, a few per cent, is left out, as usual.
    flops: int = 0
    #: Why it cannot be built.
    reason: str = ""


def measure_all(recipes: Sequence[Recipe], image_size: int, models: Mapping[str, Network]) -> Iterator[Cost | str]:
    """Yield each recipe's cost, or the reason why it does not fit its network. Runs in a helper, which takes no GPU."""
    from trainables.training.pipeline.backend import backend

    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    backend.use_cpu()
    for recipe in recipes:
        try:
            yield cost(build(recipe, image_size, models))
        except InputError as error:
            yield error.message
        except Exception as error:  # of whatever builds the network
            yield Cost(reason=gist(error))


def cost(model: "keras.Model") -> Cost:
    """The cost of a model."""
    return Cost(
        parameters=model.count_params(),
        trainable_parameters=sum(math.prod(weight.shape) for weight in model.trainable_weights),
        activations=sum(math.prod(layer.output.shape[1:]) for layer in model.layers),
        flops=sum(map(_flops, model.layers)),
    )


def training_bytes(cost: Cost, recipe: Recipe) -> int:
    """An estimate, in bytes, of the memory that a training step of the recipe takes.

    It counts all weights; gradients and the optimizer's moments of the trainable ones; and every activation with its
    gradient. Those are never all alive at once, which leaves room for what the libraries need.
    """
    weights = cost.parameters + cost.trainable_parameters * (1 + _SLOTS[recipe.optimizer])
    activation_bytes = _FLOAT32_BYTES if recipe.precision == "float32" else _FLOAT32_BYTES // 2
    return weights * _FLOAT32_BYTES + 2 * recipe.batch_size * cost.activations * activation_bytes


def stated_bytes(recipe: Recipe, image_size: int, images: int, models: Mapping[str, Network]) -> Iterator[int]:
    """Yield what the compiler states that training on so many images takes of this process's GPU, in bytes.

    It is 0 where the compiler states nothing, and without a GPU. Trials find the program in the node's cache.
    """
    from trainables.training import loop, pipeline
    from trainables.training.pipeline.backend import backend

    pipeline.set_up(1, recipe.deterministic, has_gpu=True)
    blank = np.broadcast_to(np.uint8(0), (images, image_size, image_size, 3))  # takes no memory
    split = Split(blank, *(np.zeros(images, kind) for kind in (np.int8, np.int32, bool)))
    data = Data(split, split, split, fingerprint="", is_smoke=True)  # which does without pretrained weights
    run = loop.start(replace(recipe, head_epochs=0), data, models)
    yield run.trainer.stated_bytes(run.batch_size) if backend.gpus() else 0


def _flops(layer: "keras.Layer") -> int:
    from keras import layers

    if not isinstance(layer, layers.Conv2D | layers.Dense):
        return 0
    positions = math.prod(layer.output.shape[1:-1])  # pixels that the kernel is applied to; 1 for a dense layer
    return int(2 * positions * math.prod(layer.kernel.shape))
