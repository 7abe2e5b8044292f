"""The command line that all sweeps share."""

import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import click

from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.storage import Folder
from sweeps.trackers.following import TRACKERS
from trainables import MODELS, Recipe
from trainables.training.network import network
from trainables.training.recipe import nearest

_SAMPLE = "shards/sample"
# Hyperparameters that tell trials apart, and so are not the same for all.
_NOT_TO_SET = {
    "network": "the sweep says which networks it trains",
    "arguments": "name an option itself, as in --set batch_norm=true",
    "seed": "give --seeds",
    "parent": "a trial has the parent that its sweep gives it",
    "pause_epoch": "a trial pauses where its sweep says",
}


@dataclass(frozen=True)
class Options:
    """What a user asked of a sweep. None stands for the default of each network's recipe."""

    data: str | None
    results: str
    epochs: int | None
    limit: int | None
    seeds: int
    batch_size: int | None
    gpus_per_trial: float | None
    cpus_per_trial: float | None
    weights: str | None
    set: Sequence[str]
    hang_minutes: float
    plan: bool
    hourly_price: float | None
    smoke: bool
    fresh: bool
    track: Sequence[str]
    #: What a sweep's own options were given, by name.
    own: dict[str, Any] = field(default_factory=dict)
    #: When the command began, on the monotonic clock.
    begun: float = field(default_factory=time.monotonic)

    def recipe(self, name: str, **hyperparameters: Any) -> Recipe:
        """The network's own recipe; above it these hyperparameters, and above them those given on the command line."""
        published = network(MODELS, name).recipe
        given = {"epochs": 1 if self.smoke else self.epochs, "batch_size": self.batch_size}
        given = {hyperparameter: value for hyperparameter, value in given.items() if value is not None}
        recipe = Recipe.of({"network": name, **published, **hyperparameters} | given)
        told, choices = self._told(name)
        return Recipe.of(recipe.hyperparameters() | told | {"arguments": recipe.network_arguments | choices})

    def _told(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `--set` says of this network: hyperparameters of its recipe, and options of its function."""
        hyperparameters: dict[str, Any] = {}
        choices: dict[str, Any] = {}
        own = {hyperparameter.name for hyperparameter in fields(Recipe)} - {"network", "arguments", "seed"}
        for setting in self.set:
            target, _, value = setting.partition("=")
            of, _, hyperparameter = target.rpartition(".")
            if of in ("", name):
                (hyperparameters if hyperparameter in own or not of else choices)[hyperparameter] = _value(value)
        return hyperparameters, choices

    def told_to_all(self) -> dict[str, Any]:
        """What `--set` says of all networks."""
        settings = [setting.partition("=") for setting in self.set]
        return {target: _value(value) for target, _, value in settings if "." not in target}

    def check(self, networks: Collection[str]) -> None:
        """Raises InputError if `--set` names a network that is not among these, or what makes a trial what it is."""
        for setting in self.set:
            of, _, hyperparameter = setting.partition("=")[0].rpartition(".")
            if not of and hyperparameter in _NOT_TO_SET:
                raise InputError(f"--set {setting}: {_NOT_TO_SET[hyperparameter]}.")
            if of and of not in networks:
                raise InputError(
                    f"--set {setting}: this sweep does not train {of!r}; {nearest(of, networks)!r} it does."
                )

    def shard_folder(self) -> Folder:
        """The shards to train on, as an absolute place; the embedded sample's are made where they are missing."""
        if not self.data:
            prepare("sample", _SAMPLE)
        location = self.data or _SAMPLE
        return Folder(location if "://" in location else os.path.abspath(location))

    def settings(self) -> dict[str, Any]:
        """The options that decide what a result means: a record holds results of one set of them only."""
        names = ("epochs", "batch_size", "limit", "smoke")
        return {name: getattr(self, name) for name in names} | {"set": " ".join(sorted(self.set)) or None}


def _value(text: str) -> Any:
    """A value as JSON has it, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


class _Share(click.ParamType[float | None]):
    """A number of CPUs or GPUs from `least` on, or `auto`."""

    name = "auto|F"

    def __init__(self, least: float) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value is None or value == "auto":
            return None
        try:
            share = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither `auto` nor a number.", param, ctx)
        if not self._least <= share <= 1024:
            self.fail(f"{value} is not between {self._least:g} and 1024.", param, ctx)
        return share


_OPTIONS = [
    click.option("--data", help="A folder of shards; by default the embedded sample, prepared in shards/sample."),
    click.option("--results", default="results", show_default=True, help="Where records are kept: a folder or s3://…"),
    click.option("--epochs", type=click.IntRange(1), help="Epochs a trial."),
    click.option(
        "--limit", type=click.IntRange(20), help="Training images; validation gets at most a quarter as many."
    ),
    click.option(
        "--seeds", type=click.IntRange(1, 1000), default=1, show_default=True, help="Replicates of each trial, by seed."
    ),
    click.option("--batch-size", type=click.IntRange(1), help="Images a step."),
    click.option("--gpus-per-trial", type=_Share(0), default="auto", show_default=True, help="The share of a GPU."),
    click.option("--cpus-per-trial", type=_Share(0.1), default="auto", show_default=True, help="Threads a trial."),
    click.option(
        "--weights", help="ImageNet's weights: a file, or a folder of Keras's files; by default Keras gets them."
    ),
    click.option(
        "--set",
        multiple=True,
        metavar="HYPERPARAMETER=VALUE",
        help="A hyperparameter of all recipes, or NETWORK.HYPERPARAMETER=VALUE of one network.",
    ),
    click.option(
        "--hang-minutes",
        type=click.FloatRange(0, min_open=True),
        default=60,
        show_default=True,
        help="A trial that shows no sign of life for so long is stopped: more than an epoch takes.",
    ),
    click.option("--plan", is_flag=True, help="Print the trials, their parameters and a time estimate; start nothing."),
    click.option(
        "--hourly-price",
        type=click.FloatRange(0),
        metavar="DOLLARS",
        help="With --plan: what a machine like this costs an hour; says what the sweep would.",
    ),
    click.option("--smoke", is_flag=True, help="One epoch on a few hundred images, to see that everything runs."),
    click.option("--fresh", is_flag=True, help="Start over: the old record is moved aside, not deleted."),
    click.option(
        "--track",
        multiple=True,
        type=click.Choice(TRACKERS),
        help="Who else is told, beside TensorBoard, which finds its files in the record.",
    ),
]


def command(name: str, summary: str, run: Callable[[Options], int], own: Sequence[click.Option]) -> click.Command:
    """A command with the options of every sweep and its own; `run` is given them and returns the exit code."""

    def call(**values: Any) -> int:
        common = {option.name: values.pop(option.name) for option in fields(Options) if option.name in values}
        return run(Options(**common, own=values))

    built = click.command(name, help=summary)(call)
    built.params += own
    for option in reversed(_OPTIONS):
        built = option(built)
    return built
