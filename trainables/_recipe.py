"""The recipe: every knob of a training run, once, with its type, default, range and meaning."""

import dataclasses
import difflib
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from data_prep._command import InputError


@dataclass(frozen=True)
class Between:
    """The range of a knob, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Recipe:
    """How one network is trained. The defaults are the study's: Adam at 1e-3, batches of 32, 10 epochs, no more."""

    #: A name in MODELS.
    network: str
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
    #: Of the initial weights, the order of the images, dropout and augmentation.
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), kind))

    @classmethod
    def of(cls, knobs: dict[str, Any]) -> "Recipe":
        """A recipe from knobs by name. Raises InputError for an unknown knob, naming the nearest, or a wrong value."""
        names = [knob.name for knob in dataclasses.fields(cls)]
        for name in knobs:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0)[0]
                raise InputError(f"A recipe has no knob {name!r}; the nearest is {near!r}.")
        return cls(**knobs)

    def knobs(self) -> dict[str, Any]:
        """The knobs by name, as a record stores them."""
        return dataclasses.asdict(self)

    def identity(self, data_fingerprint: str) -> str:
        """The trial's identity: 12 hexadecimal digits, a hash of this recipe and of the data it is trained on."""
        text = json.dumps([self.knobs(), data_fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _checked(name: str, value: Any, kind: Any) -> Any:
    """`value`, a whole number made float where the knob is one. Raises InputError."""
    ranges = [extra for extra in getattr(kind, "__metadata__", ()) if isinstance(extra, Between)]
    kind = get_args(kind)[0] if ranges else kind
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(get_args(kind))}.")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise InputError(f"{name} is {value!r}; it must be of type {kind.__name__}.")
    for limits in ranges:
        if not limits.low <= value <= limits.high:
            raise InputError(f"{name} is {value!r}; it must lie between {limits.low:g} and {limits.high:g}.")
    return value
