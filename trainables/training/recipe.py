"""The recipe: every hyperparameter of a training run, once, with its type, default, range, unit and meaning."""

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from data_prep import InputError

_MOST_NAMED = 20


#: Which names networks may have.
NETWORK_NAME = r"\w[\w.+-]{0,99}"


@dataclass(frozen=True)
class Between:
    """The range of a hyperparameter, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Recipe:
    """How one network is trained. The defaults are those of Sheoran 2025: Adam at 1e-3, batches of 32, 10 epochs."""

    #: The network to train: a name in MODELS.
    network: str
    #: Arguments of the network's function, added to those in MODELS or replacing them: a JSON object such as
    #: `{"batch_norm": true}`.
    arguments: str = "{}"
    #: Passes over the training images.
    epochs: Annotated[int, Between(1, 10_000)] = 10
    #: Images per optimizer step. A trial that runs out of memory halves it.
    batch_size: Annotated[int, Between(1, 65_536)] = 32
    #: The optimizer of keras.optimizers; what is not listed here stays at Keras's default.
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    #: Learning rate before `schedule` changes it.
    learning_rate: Annotated[float, Between(0, 10)] = 1e-3
    #: Momentum of `sgd`; the other optimizers ignore it.
    momentum: Annotated[float, Between(0, 1)] = 0.0
    #: Share of each weight that a step removes, times the learning rate (decoupled). Used by `adamw` and `sgd`.
    weight_decay: Annotated[float, Between(0, 1)] = 0.0
    #: How the learning rate changes: not at all; along a cosine, step by step, to zero after the last epoch; or by
    #: half whenever the validation loss has not fallen for `plateau_epochs`.
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    #: Epochs without a lower validation loss after which `plateau` halves the learning rate.
    plateau_epochs: Annotated[int, Between(1, 10_000)] = 3
    #: Epochs without a lower validation loss after which training stops; 0: it never stops early.
    early_stopping_epochs: Annotated[int, Between(0, 10_000)] = 0
    #: For how many epochs a transfer network trains its head alone. Then it also trains the layers from `train_from`
    #: on, at a tenth of the learning rate and with a fresh optimizer. 0: it trains all of these from the start.
    head_epochs: Annotated[int, Between(0, 10_000)] = 0
    #: Share by which training labels move towards 0.5: 0.1 turns 0 and 1 into 0.05 and 0.95.
    label_smoothing: Annotated[float, Between(0, 0.9)] = 0.0
    #: Keras's dtype policy. The mixed ones compute in 16 bits, which pays on GPUs; weights stay float32.
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    #: Whether a GPU computes the same bits each time, at half the speed; a CPU always does. Without it, two trials of
    #: one recipe on GPUs differ by rounding, which training amplifies, and so does a trial that resumes.
    deterministic: bool = False
    #: Seed of the initial weights, the order of the images, dropout and augmentation.
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    #: The training set, counted from 1, of those that `--resample-train` takes; 0: there is one, with all images.
    training_subset: Annotated[int, Between(0, 1000)] = 0
    #: The trial from whose last checkpoint training resumes; empty: training starts with fresh weights.
    parent: str = ""
    #: Epoch after which the trial ends, so that another can resume from it; 0: it trains all epochs.
    pause_epoch: Annotated[int, Between(0, 10_000)] = 0

    def __post_init__(self) -> None:
        for name in _types():
            object.__setattr__(self, name, valid(name, getattr(self, name)))

    @classmethod
    def of(cls, hyperparameters: Mapping[str, Any]) -> "Recipe":
        """Make a recipe from hyperparameters by name.

        Raises InputError for a wrong value, and for an unknown hyperparameter, whose nearest valid name it gives.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in hyperparameters:
            if name not in names:
                raise InputError(f"A recipe has no hyperparameter {name!r}; {nearest(name, names)}.")
        return cls(**hyperparameters)

    def __str__(self) -> str:
        """The recipe in words: `adam 1e-03, batch 32, 10 epochs`, and the schedule and early stopping if any."""
        words = [f"{self.optimizer} {self.learning_rate:.0e}", f"batch {self.batch_size}", f"{self.epochs} epochs"]
        words += [self.schedule] if self.schedule != "constant" else []
        words += [f"early stopping after {self.early_stopping_epochs}"] if self.early_stopping_epochs else []
        return ", ".join(words)

    @property
    def network_arguments(self) -> dict[str, Any]:
        """`arguments`, decoded."""
        return dict(json.loads(self.arguments))

    def hyperparameters(self) -> dict[str, Any]:
        """Hyperparameter → value, as a record stores them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def identity(self, data_fingerprint: str) -> str:
        """The trial's identity: 12 hexadecimal digits, a hash of this recipe and of the data it is trained on.

        Only hyperparameters that differ from their defaults enter, so that adding one later changes no identity.
        """
        changed = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        text = json.dumps([changed, data_fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache  # evaluating the annotations takes longer than all the rest of making a recipe
def _types() -> dict[str, Any]:
    return get_type_hints(Recipe, include_extras=True)


def valid(name: str, value: Any) -> Any:
    """The value of a recipe's hyperparameter, as a recipe has it. Raises InputError for a value that it cannot have."""
    return checked(name, _canonical(value) if name == "arguments" else value, _types()[name])


def _canonical(arguments: Any) -> str:
    """Arguments, a dictionary or a JSON object, as JSON with sorted keys. Raises InputError."""
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        decoded = json.loads(arguments) if isinstance(arguments, str) else arguments
        if isinstance(decoded, dict):
            json.dumps(decoded, ensure_ascii=False).encode()  # half a letter, as in "\ud800", cannot be written
            return json.dumps(decoded, sort_keys=True)
    raise InputError(f"arguments is {arguments!r}; it must be a JSON object.")


def nearest(name: str, names: Iterable[str]) -> str:
    """Which of `names` a user who wrote `name` probably meant, in words; the names that there are if none is near."""
    known = list(names)
    initials = [other for other in known if re.match(".*".join(map(re.escape, name)), other)]  # lr for learning_rate
    near = difflib.get_close_matches(name, known, n=1) or initials
    if near:
        return f"the nearest is {near[0]!r}"
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"there are {', '.join(known[:_MOST_NAMED])}{more}" if known else "there is none"


def checked(name: str, value: Any, kind: Any) -> Any:
    """The value of a hyperparameter of type `kind`, with int converted to float, and list to tuple, if `kind` says so.

    Raises InputError for another type, and for a value out of range.
    """
    limits = None
    if get_origin(kind) is Annotated:
        kind, limits = get_args(kind)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(map(str, get_args(kind)))}.")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{name} is {value!r}; it must be a list.")
        return tuple(checked(name, item, get_args(kind)[0]) for item in value)
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise InputError(f"{name} is {value!r}; it must be of type {kind.__name__}.")
    if limits and not limits.low <= value <= limits.high:
        raise InputError(f"{name} is {value!r}; it must lie between {limits.low:g} and {limits.high:g}.")
    return value
