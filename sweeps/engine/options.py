"""The command line: options that all sweeps share, each once, as a field with type, default and help."""

import dataclasses
import itertools
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from data_prep import Folder, InputError
from data_prep.job import prepare
from data_prep.numbers import Real, Whole
from sweeps.trackers.following import TRACKERS
from trainables import MODELS, Recipe
from trainables.training.network import network
from trainables.training.recipe import NETWORK_NAME, nearest
from trainables.training.selection import DataSelection

_SAMPLE = "shards/sample"
_RECIPE = {field.name for field in dataclasses.fields(Recipe)}
# Hyperparameters that tell trials apart, and so are not the same for all.
_NOT_TO_SET = {
    "network": "the sweep says which networks it trains",
    "arguments": "name an argument itself, as in --set vgg16.batch_norm=true",
    "seed": "give --seeds",
    "training_subset": "give --resample-train",
    "parent": "a trial has the parent that its sweep gives it",
    "pause_epoch": "a trial pauses where its sweep says",
}


_LEAST_SHARE = 0.001


def _share(least: float, of_gpu: bool = False) -> dict[str, Any]:
    """How click reads a number of CPUs or GPUs from `least` on, or `auto`, which is None."""

    def parse(text: str) -> float | None:
        try:
            share = None if text == "auto" else float(text)
        except ValueError:
            raise ValueError(f"{text!r} is no number; give `auto` or a number.")
        if share is not None and not least <= share <= 1024:
            raise ValueError(f"{text} is out of range; give `auto`, or a number between {least:g} and 1024.")
        if share and of_gpu and (share % 1 if share > 1 else share < _LEAST_SHARE):
            raise ValueError(f"{text} is neither a share of a GPU, {_LEAST_SHARE} to 1, nor a whole number.")
        return share and round(share, 4)  # as Ray has it

    return {"type": parse, "metavar": "AUTO|F", "show_default": "auto"}


def option(help: str, default: Any = None, type: Any = None, flag: str | None = None, **more: Any) -> Any:
    """Declare a field of an options class as an option of the command line, with click's `type` and `more`."""
    shown = {"is_flag": isinstance(default, bool), "show_default": default not in (None, False, ())}
    declared = {"help": help, "type": type, "default": default, **shown, **more}
    return dataclasses.field(default=default, metadata={"flag": flag, "option": declared})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asked of a sweep. None stands for the default of each network's recipe."""

    data: str | None = option("A folder of shards; by default the embedded sample, prepared in shards/sample.")
    results: str = option("Where records are kept: a folder or s3://…", "results")
    epochs: int | None = option("Epochs per trial.", type=Whole(1))
    limit: int | None = option(
        "Training images, half REAL; validation gets at most a quarter as many, test stays whole.",
        type=Whole(20),
    )
    seeds: int = option("Seeds per configuration: 0 to N - 1.", 1, Whole(1, 1000))
    resample_train: int | None = option(
        "Cross the seeds, two or more, with K disjoint training sets of --limit images each: the report then says how "
        "much of the spread comes from the seed, the training set and the test images.",
        type=Whole(3, 1000),
        metavar="K",
    )
    batch_size: int | None = option("Images per step.", type=Whole(1))
    gpus_per_trial: float | None = option("GPUs per trial; below 1, trials share one.", **_share(0, of_gpu=True))
    mps: bool = option(
        "Let trials that share a GPU compute at the same time, through NVIDIA's MPS, which is started on each node.",
        False,
    )
    cpus_per_trial: float | None = option("Threads per trial.", **_share(0.1))
    weights: str | None = option(
        "ImageNet's weights: a file, or a folder of Keras's files; by default Keras downloads them."
    )
    set: Sequence[str] = option(
        "A hyperparameter of all recipes, or NETWORK.NAME=VALUE of one network.",
        (),
        multiple=True,
        metavar="NAME=VALUE",
    )
    margin: float | None = option(
        "Points of test accuracy within which networks are as good as each other; 1 if not given.",
        type=Real(0, 50, min_open=True),
        metavar="POINTS",
    )
    hang_minutes: float = option(
        "A trial that shows no sign of life for so long is stopped: more than an epoch takes.",
        60.0,
        Real(0, min_open=True),
    )
    plan: bool = option("Print the trials, their parameters and a time estimate; start nothing.", False)
    hourly_price: float | None = option(
        "With --plan: what a machine like this costs an hour; prints the price of the sweep.",
        type=Real(0),
        metavar="DOLLARS",
    )
    smoke: bool = option("One epoch on a few hundred images, to see that everything runs.", False)
    fresh: bool = option("Start over: the old record is moved aside, not deleted.", False)
    open: bool = option("Show the report in a browser at the end.", False)
    track: Sequence[str] = option(
        "Another tracker beside TensorBoard, which finds its files in the record.",
        (),
        click.Choice(TRACKERS),
        multiple=True,
    )
    #: When the command began, on the monotonic clock.
    begun: float = dataclasses.field(default_factory=time.monotonic)
    #: The command line that asks for the same.
    command_line: str = dataclasses.field(default_factory=lambda: shlex.join(["python", *sys.argv]))

    def recipe(self, name: str, **hyperparameters: Any) -> Recipe:
        """The network's own recipe; above it these hyperparameters, and above them those of the command line."""
        given = {"epochs": 1 if self.smoke else self.epochs, "batch_size": self.batch_size}
        given = {key: value for key, value in given.items() if value is not None}
        recipe = Recipe.of({"network": name, **network(MODELS, name).recipe, **hyperparameters} | given)
        own, arguments = dict[str, Any](), recipe.network_arguments
        for of, key, value in self.set_values():
            if of in ("", name):
                _check_argument(name, of, key)
                (own if key in _RECIPE - {"network", "arguments", "seed"} or not of else arguments)[key] = value
        return Recipe.of(recipe.hyperparameters() | own | {"arguments": arguments})

    def replicates(self) -> list[dict[str, int]]:
        """What each configuration is trained with, by names of hyperparameters: seeds, and training sets if asked.

        Raises InputError for a crossing of too few.
        """
        sets = [0]
        if self.resample_train:
            if self.seeds < 2 or not (self.limit or self.smoke):
                raise InputError(
                    f"--resample-train {self.resample_train} crosses training sets of --limit images with two seeds or "
                    "more; give --limit N and --seeds 2."
                )
            sets = list(range(1, self.resample_train + 1))
        return [{"seed": seed, "training_subset": each} for seed, each in itertools.product(range(self.seeds), sets)]

    def set_values(self) -> list[tuple[str, str, Any]]:
        """(network, or empty for all; name; value) of each `--set`, in their order."""
        for setting in self.set:
            if "=" not in setting:
                raise InputError(f"--set {setting}: give it as NAME=VALUE or NETWORK.NAME=VALUE.")
        targets = [setting.partition("=") for setting in self.set]
        return [(*target.rpartition(".")[::2], _value(value)) for target, _, value in targets]

    def check(self, recipes: Sequence[Recipe]) -> None:
        """Raise InputError if an option is not for a sweep of these recipes.

        That is a `--set` of a network that is not among them, or of what is not to be set so, and training sets that
        they do not have.
        """
        networks = [recipe.network for recipe in recipes]
        for name in networks:
            if not re.fullmatch(NETWORK_NAME, name):  # it becomes a part of names of files
                raise InputError(f"The network {name!r} needs another name; it may have letters, digits, and _ . + -.")
        if self.mps and self.gpus_per_trial == 0:
            raise InputError(
                "--mps is for trials on GPUs, and --gpus-per-trial 0 gives them none; leave one of the two out."
            )
        if self.resample_train and not any(recipe.training_subset for recipe in recipes):
            raise InputError("--resample-train is for sweeps that train a list of networks, such as age.py and zoo.py.")
        for setting, (of, key, _) in zip(self.set, self.set_values(), strict=True):
            if key in _NOT_TO_SET:
                raise InputError(f"--set {setting}: {_NOT_TO_SET[key]}.")
            if of and of not in networks:
                raise InputError(f"--set {setting}: this sweep does not train {of!r}; {nearest(of, networks)}.")

    def selection(self) -> DataSelection:
        """The images to train on. Prepares the shards of the embedded sample where they are missing."""
        if self.data is None:
            prepare("sample", _SAMPLE)
        place = _SAMPLE if self.data is None else self.data
        return DataSelection(Folder(place).absolute(), self.limit, self.smoke, self.resample_train or 1)

    def settings(self) -> dict[str, Any]:
        """The options that decide what a result means: a record holds results of one set of them only."""
        values = {name: getattr(self, name) for name in ("epochs", "batch_size", "limit", "resample_train", "smoke")}
        return values | {"set": " ".join(sorted(self.set)) or None}


Asked = TypeVar("Asked", bound=Options)


def _check_argument(name: str, of: str, key: str) -> None:
    """Raise InputError for what is no hyperparameter, and no argument of a network either, or not called so."""
    known = MODELS[name].defaults()
    if of and key not in _RECIPE and key not in known:
        raise InputError(f"--set {of}.{key}: {of} has no argument {key!r}; {nearest(key, known)}.")
    if not of and key not in _RECIPE and key in known:
        raise InputError(f"--set {key}: that is an argument of a network; give it as {name}.{key}.")


def listed(text: str) -> list[str]:
    """The names in a text, separated by commas. Raises InputError where there is none."""
    if names := [name.strip() for name in text.split(",") if name.strip()]:
        return names
    raise InputError(f"{text!r} names nothing; give names, separated by commas.")


def _value(text: str) -> Any:
    """Parse a value as JSON, or take the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def command(name: str, summary: str, options: type[Asked], run: Callable[[Asked], Any]) -> click.Command:
    """Build a command whose options are the fields of an options class; `run` gets them."""
    parameters: list[click.Parameter] = [
        click.Option(
            [field.metadata["flag"] or f"--{field.name.replace('_', '-')}", field.name], **field.metadata["option"]
        )
        for field in dataclasses.fields(options)
        if "option" in field.metadata
    ]
    return click.Command(name, callback=lambda **values: run(options(**values)), params=parameters, help=summary)
