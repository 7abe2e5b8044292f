"""What a row of MODELS says about a network, and the model that a recipe builds from it."""

import ast
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from data_prep import InputError
from trainables.training.recipe import Recipe, checked, nearest

if TYPE_CHECKING:
    import keras

#: The name of the last layer of a transfer network's body; its head follows.
FEATURES = "features"
_SQUASHING = ("sigmoid", "hard_sigmoid", "hardsigmoid", "log_sigmoid", "logsigmoid", "softmax", "tanh", "relu")


@dataclass(frozen=True)
class Network:
    """A network, named by the function that builds it.

    `function` is `file.function` in the package `trainables`: a name, because the driver of a sweep reads this table
    and must not wait 4–10 s for TensorFlow. The function takes `image_size` (pixels) and `arguments`, and returns an
    uncompiled model from (batch, image_size, image_size, 3) pixels, 0–255, to (batch, 1) logits, positive for FAKE.
    `source` names the publication; `recipe` holds the hyperparameters in which the published recipe differs from the
    default one.
    """

    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def pretrained(self) -> str:
        """The body, a name in `pretrained.BODIES`, that starts from ImageNet weights; empty if there is none."""
        return str(self.arguments.get("body", ""))

    def build(self, image_size: int = 32, arguments: Mapping[str, Any] | None = None) -> "keras.Model":
        """Build the model with fresh weights, drawn from Keras's global seed. `arguments` override the network's own.

        Raises InputError for an argument that the function does not take, or of a wrong type.
        """
        import keras

        # What the user's keras.json says would make another network of the same name.
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        return self._function()(image_size, **self.arguments | self.checked(arguments or {}))

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, converted to the function's types. Raises InputError for one that it does not take."""
        kinds = get_type_hints(self._function(), include_extras=True)
        known = [name for name in kinds if name not in ("image_size", "return")]
        for name in arguments:
            if name not in known:
                raise InputError(f"The network has no argument {name!r}; {nearest(name, known)}.")
        if self.pretrained and arguments.get("body", self.pretrained) != self.pretrained:
            raise InputError(
                f"The weights of this network are {self.pretrained}'s; for another body, take its network."
            )
        return {name: checked(name, value, kinds[name]) for name, value in arguments.items()}

    def defaults(self) -> dict[str, Any]:
        """Argument of the function → its value where a recipe gives none; read from the source, without Keras."""
        file, _, name = self.function.rpartition(".")
        source = Path(__file__).parents[1].joinpath(*file.split(".")).with_suffix(".py").read_text()
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        signature = next(function.args for function in functions if function.name == name)
        values = [ast.literal_eval(value) for value in signature.defaults]
        names = [argument.arg for argument in signature.args[len(signature.args) - len(values) :]]
        return dict(zip(names, values, strict=True)) | self.arguments

    def _function(self) -> "Callable[..., keras.Model]":
        return pkgutil.resolve_name("trainables." + self.function.replace(".", ":"))  # type: ignore[no-any-return]


def network(models: Mapping[str, Network], name: str) -> Network:
    """The network of that name. Raises InputError, which gives the nearest name."""
    if name not in models:
        raise InputError(f"There is no network {name!r}; {nearest(name, models)}.")
    return models[name]


def build(recipe: Recipe, image_size: int, models: Mapping[str, Network]) -> "keras.Model":
    """Build the recipe's model, with fresh weights. Raises InputError for a recipe that does not fit its network."""
    model = network(models, recipe.network).build(image_size, recipe.network_arguments)
    if reason := _no_logit(model):
        raise InputError(f"{recipe.network} {reason}; its output must be one logit an image, positive for FAKE.")
    if recipe.head_epochs and not unfrozen_layers(model):
        raise InputError(
            f"head_epochs is {recipe.head_epochs}, and {recipe.network} has no pretrained layers to train after its "
            "head; take a transfer network with the argument train_from."
        )
    return model


def _no_logit(model: "keras.Model") -> str | None:
    """Why a model's output is no logit, as far as its last operation tells."""
    if tuple(model.output_shape) != (None, 1):
        return f"gives an output of shape {tuple(model.output_shape)}"
    last = model.outputs[0]._keras_history.operation
    name = str(getattr(getattr(last, "activation", None), "__name__", type(last).__name__)).lower()
    return f"ends in {name}" if name in _SQUASHING else None


def refusals(arguments: Sequence[tuple[str, Mapping[str, Any]]], models: Mapping[str, Network]) -> Iterator[str]:
    """Yield, for each pair of a network's name and arguments that it does not take, the reason."""
    for name, values in arguments:
        try:
            network(models, name).checked(values)
        except InputError as error:
            yield error.message


def body_layers(model: "keras.Model") -> "list[keras.Layer]":
    """The layers of a transfer network before its head; none of any other network."""
    names = [layer.name for layer in model.layers]
    return list(model.layers[: names.index(FEATURES)]) if FEATURES in names else []


def unfrozen_layers(model: "keras.Model") -> "list[keras.Layer]":
    """The layers with weights of a transfer network's body that are not frozen."""
    return [layer for layer in body_layers(model) if layer.trainable and layer.weights]
