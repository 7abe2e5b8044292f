"""What a line of MODELS says about a network."""

import difflib
import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from data_prep._command import InputError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A network, by the function that builds it.

    `function` is `file.function` within this package: a name, because the process that drives a sweep reads this table
    and must not wait 4–10 s for TensorFlow. The function takes `image_size` (pixels) and `options`, and returns an
    uncompiled model from (batch, image_size, image_size, 3) pixels, 0–255, to (batch, 1) logits, positive for FAKE.
    `recipe` are the knobs in which its published recipe differs from the default one.
    `source` is where the network was published; `gpus` what a trial of it asks of a GPU, 0–1, where there is one.
    """

    function: str
    options: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    gpus: float = 0.25
    recipe: dict[str, Any] = field(default_factory=dict)

    def build(self, image_size: int = 32) -> "keras.Model":
        """The model with fresh weights, drawn from Keras's global random seed."""
        file, function = self.function.split(".")
        model: keras.Model = getattr(importlib.import_module(f"trainables.{file}"), function)(
            image_size, **self.options
        )
        return model


def network(models: dict[str, Network], name: str) -> Network:
    """The network of that name. Raises InputError that names the nearest one."""
    if name not in models:
        near = difflib.get_close_matches(name, models, n=1, cutoff=0) or list(models)[:1]
        raise InputError(f"There is no network {name!r}; the nearest is {near[0]!r}.")
    return models[name]
