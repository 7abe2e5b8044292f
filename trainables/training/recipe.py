"""The recipe: every hyperparameter of a training run, once, with its type, default, range and meaning."""

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from data_prep.errors import InputError


@dataclass(frozen=True)
class Between:
    """The range of a hyperparameter, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Recipe:
    """How one network is trained. The defaults are the study's: Adam at 1e-3, batches of 32, 10 epochs, no more."""

    #: A name in MODELS.
    network: str
    #: What the network's function is given beside its line in MODELS, or instead, as JSON: `{"batch_norm": true}`.
    arguments: str = "{}"
    #: Passes over the training images.
    epochs: Annotated[int, Between(1, 10_000)] = 10
    #: Images a step.
    batch_size: Annotated[int, Between(1, 65_536)] = 32
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Between(0, 10)] = 1e-3
    #: Of `sgd` only.
    momentum: Annotated[float, Between(0, 1)] = 0.0
    #: Decoupled, a step, times the learning rate; for `adamw` and `sgd`.
    weight_decay: Annotated[float, Between(0, 1)] = 0.0
    #: `constant`; `cosine` from the rate to zero over all epochs; `plateau`, halved after `plateau_epochs`.
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    #: Epochs without a lower validation loss until `plateau` halves the rate.
    plateau_epochs: Annotated[int, Between(1, 10_000)] = 3
    #: Epochs without a lower validation loss until training stops; 0 never.
    early_stopping_epochs: Annotated[int, Between(0, 10_000)] = 0
    #: Of a network with ImageNet's weights: first epochs, in which only its head is trained. Then what its `train_from`
    #: frees is trained too, at a tenth of the rate, with an optimizer that starts anew. 0: all from the start.
    head_epochs: Annotated[int, Between(0, 10_000)] = 0
    #: Labels that training sees are drawn towards a half by this share: 0.1 makes 0.05 and 0.95 of 0 and 1.
    label_smoothing: Annotated[float, Between(0, 0.9)] = 0.0
    #: Of the layers' computations: `mixed_bfloat16` and `mixed_float16` are for GPUs; weights stay float32.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    #: Of the initial weights, the order of the images, dropout and augmentation.
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    #: The trial from whose last checkpoint training goes on; empty: from fresh weights.
    parent: str = ""
    #: The epoch after which training ends, for another trial to go on from there; 0: after all epochs.
    pause_epoch: Annotated[int, Between(0, 10_000)] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", _canonical(self.arguments))
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            object.__setattr__(self, name, checked(name, getattr(self, name), kind))

    @classmethod
    def of(cls, hyperparameters: dict[str, Any]) -> "Recipe":
        """A recipe from hyperparameters by name. Raises InputError for an unknown hyperparameter, naming the nearest, or a wrong value."""
        names = [hyperparameter.name for hyperparameter in dataclasses.fields(cls)]
        for name in hyperparameters:
            if name not in names:
                raise InputError(f"A recipe has no hyperparameter {name!r}; the nearest is {nearest(name, names)!r}.")
        return cls(**hyperparameters)

    @property
    def network_arguments(self) -> dict[str, Any]:
        """`arguments` by name."""
        arguments: dict[str, Any] = json.loads(self.arguments)
        return arguments

    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters by name, as a record stores them."""
        return dataclasses.asdict(self)

    def identity(self, data_fingerprint: str) -> str:
        """The trial's identity: 12 hexadecimal digits, a hash of this recipe and of the data it is trained on.

        Hyperparameters at their defaults do not enter, so that a hyperparameter that is added later leaves old identities as they are.
        """
        defaults = type(self)(self.network).hyperparameters() | {"network": None}
        told = {name: value for name, value in self.hyperparameters().items() if value != defaults[name]}
        text = json.dumps([told, data_fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(options: Any) -> str:
    """Options by name, or as JSON, as JSON with sorted keys. Raises InputError."""
    try:
        found = json.loads(options) if isinstance(options, str) else options
        if isinstance(found, dict):
            return json.dumps(found, sort_keys=True)
    except (TypeError, ValueError):
        pass
    raise InputError(f"arguments is {options!r}; it must be a JSON object.")


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of `names` that a user is most likely to have meant."""
    known = list(names)
    return (difflib.get_close_matches(name, known, n=1, cutoff=0) or known)[0]


def checked(name: str, value: Any, kind: Any) -> Any:
    """`value`, a whole number made float, or a list a tuple, where `kind` is one. Raises InputError."""
    ranges = [extra for extra in getattr(kind, "__metadata__", ()) if isinstance(extra, Between)]
    kind = get_args(kind)[0] if ranges else kind
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(get_args(kind))}.")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{name} is {value!r}; it must be a list.")
        return tuple(checked(name, each, get_args(kind)[0]) for each in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise InputError(f"{name} is {value!r}; it must be of type {kind.__name__}.")
    for limits in ranges:
        if not limits.low <= value <= limits.high:
            raise InputError(f"{name} is {value!r}; it must lie between {limits.low:g} and {limits.high:g}.")
    return value
