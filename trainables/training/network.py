"""What a line of MODELS says about a network."""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_type_hints

from data_prep.errors import InputError
from trainables.training.recipe import Recipe, checked, nearest

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A network, by the function that builds it.

    `function` is `file.function` within this package: a name, because the process that drives a sweep reads this table
    and must not wait 4–10 s for TensorFlow. The function takes `image_size` (pixels) and `options`, and returns an
    uncompiled model from (batch, image_size, image_size, 3) pixels, 0–255, to (batch, 1) logits, positive for FAKE.
    `source` is where the network was published; `recipe` are the hyperparameters in which its published recipe differs from the
    default one.
    """

    function: str
    options: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def pretrained(self) -> str:
        """The body, a name in `_weights.BODIES`, that starts from ImageNet's weights; empty without one."""
        return str(self.options.get("body", ""))

    def build(self, image_size: int = 32, options: Mapping[str, Any] | None = None) -> "keras.Model":
        """The model with fresh weights, drawn from Keras's global random seed; `options` go above the network's own.

        Raises InputError for an option that the function does not take, or of a wrong type.
        """
        model: keras.Model = self._function()(image_size, **{**self.options, **self.checked(options or {})})
        return model

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as the function takes them. Raises InputError for one that it does not take."""
        kinds = get_type_hints(self._function(), include_extras=True)
        known = [option for option in inspect.signature(self._function()).parameters if option != "image_size"]
        for option in options:
            if option not in known:
                near = f"the nearest is {nearest(option, known)!r}" if known else "it has none"
                raise InputError(f"{self.function} has no argument {option!r}; {near}.")
        if self.pretrained and options.get("body", self.pretrained) != self.pretrained:
            raise InputError(
                f"The weights of this network are {self.pretrained}'s; for another body, take its network."
            )
        return {option: checked(option, value, kinds[option]) for option, value in options.items()}

    def _function(self) -> "Callable[..., keras.Model]":
        file, name = self.function.split(".")
        function: Callable[..., keras.Model] = getattr(importlib.import_module(f"trainables.{file}"), name)
        return function


def network(models: Mapping[str, Network], name: str) -> Network:
    """The network of that name. Raises InputError that names the nearest one."""
    if name not in models:
        raise InputError(f"There is no network {name!r}; the nearest is {nearest(name, models)!r}.")
    return models[name]


def build(recipe: Recipe, image_size: int, models: Mapping[str, Network]) -> "keras.Model":
    """The model that a recipe asks for, with fresh weights. Raises InputError for a recipe that does not fit it."""
    entry = network(models, recipe.network)
    model = entry.build(image_size, recipe.network_arguments)
    if recipe.head_epochs and not thawed_layers(model):
        raise InputError(
            f"head_epochs is {recipe.head_epochs}, and {recipe.network} has no pretrained layers to train after its "
            "head; take a transfer network with the option train_from."
        )
    return model


def refusals(asked: Sequence[tuple[str, Mapping[str, Any]]], models: Mapping[str, Network]) -> Iterator[str]:
    """Why networks do not take these options, (network, options) by (network, options), for those that do not."""
    for name, options in asked:
        try:
            network(models, name).checked(options)
        except InputError as error:
            yield error.message


def body_layers(model: "keras.Model") -> "list[keras.Layer]":
    """The layers of a transfer network that come before its head; none of any other network."""
    names = [layer.name for layer in model.layers]
    return list(model.layers[: names.index(FEATURES)]) if FEATURES in names else []


def thawed_layers(model: "keras.Model") -> "list[keras.Layer]":
    """The layers of a transfer network's body that are not frozen."""
    return [layer for layer in body_layers(model) if layer.trainable and layer.weights]


#: The name of a transfer network's last layer before its head.
FEATURES = "features"
