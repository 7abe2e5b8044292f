"""The command line of a search, and the sweep that it asks for."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import pandas as pd
from optuna.distributions import CategoricalDistribution, IntDistribution

from data_prep import Folder, InputError
from data_prep.numbers import Whole
from sweeps.engine.options import Options, listed, option
from sweeps.engine.sweep import Sweep
from sweeps.record.writer import Record
from sweeps.searching.space import (
    Hyperparameter,
    Space,
    Values,
    check,
    holds,
    narrowed,
    network_names,
    one_of,
    recipe_fields,
    valued,
)
from sweeps.searching.strategy import Searching
from sweeps.searching.study import METHODS, STOPPING, Search
from trainables import Recipe
from trainables.record import read_manifest, read_trials
from trainables.training.metrics import SELECTION_METRIC

_EPOCHS = 9
_MOST_TAKEN_OVER = 5  # of the trials of another record: these are tried first
_UNITS = {"s": 1, "m": 60, "h": 3600}


def _seconds(text: str) -> float:
    """Parse a time such as 90s, 30m or 1.5h."""
    try:
        seconds = float(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        raise ValueError(f"{text!r} is no time; write 90s, 30m or 1.5h.")
    if not 60 <= seconds < math.inf:
        raise ValueError(f"{text!r} is less than a minute, in which nothing is trained, or has no end.")
    return seconds


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """What a user asked of a search."""

    trials: int = option("Trials of the search.", 30, Whole(1))
    networks: str | None = option(
        "Names that `python -m trainables` lists, separated by commas, or `all`; by default the small ones."
    )
    tune: str | None = option("Hyperparameters to search, separated by commas; by default all of the space.")
    method: str = option("How trials are chosen.", "tpe", click.Choice(METHODS))
    stopping: str | None = option(
        "Which trials are stopped early, judged epoch by epoch: by default asha; none with --against or --method grid.",
        type=click.Choice(STOPPING),
    )
    against: str | None = option(
        "A second objective, to be small: the answer is then a Pareto front.",
        type=click.Choice(["flops", "seconds_per_image"]),
    )
    seed: int = option("Seed of the search and of its trials.", 0, Whole(0), show_default=True)
    time_budget: float | None = option(
        "When to end, report included; run the same command again to continue.", type=_seconds, metavar="30M"
    )
    max_concurrent: int | None = option("Trials at once; by default as many as fit.", type=Whole(1))
    source: str | None = option(
        "Another record, such as results/search, whose best trials are tried after the default.", flag="--from"
    )
    repeat_best: int = option(
        "Then train the best N trials and the default recipe again, with --seeds new seeds.",
        0,
        Whole(0),
        show_default=True,
    )


def searched(
    name: str, question: str, options: SearchOptions, space: Space, networks: Sequence[str], default: Values
) -> Sweep:
    """Make the sweep that searches `space` as the options say. `networks` are searched if `--networks` names none.

    `default` has a value for each hyperparameter of the space, and is tried first if the options allow it; with the
    first network of the search, if its own is not searched. Raises InputError.
    """
    if options.seeds > 1 and not options.repeat_best:
        raise InputError(
            "--seeds counts the new seeds of --repeat-best; give --repeat-best 1 too, or leave --seeds out."
        )
    fixed = {name: value for network, name, value in options.set_values() if not network}
    fixed |= {"batch_size": options.batch_size} if options.batch_size else {}
    space = _narrowed(space, options, networks, fixed)
    if default["network"] not in network_names(space):
        default = default | {"network": network_names(space)[0]}
    planned = _restricted(default, space, fixed) if options.method != "grid" else None
    others = _best_of(Folder(options.source), space, default) if options.source and options.method != "grid" else []
    search = _search(space, options, [planned, *others] if planned else others)
    search.check()

    def recipe(values: Values) -> Recipe:
        fields = recipe_fields({"epochs": search.epochs, "seed": options.seed} | values)
        return options.recipe(fields.pop("network"), **fields)

    again = functools.partial(_again, options=options, with_default=planned is not None)
    largest = [recipe(_largest(space, network)) for network in network_names(space)]
    settings = {key: getattr(options, key) for key in ("method", "networks", "tune", "against", "seed")}
    return Sweep(
        name=name,
        question=question,
        strategy=Searching(search, recipe, largest, options.max_concurrent, again if options.repeat_best else None),
        settings=settings | {"stopping": search.stopping},
        time_budget=options.time_budget,
    )


def _search(space: Space, options: SearchOptions, first: Sequence[Values]) -> Search:
    return Search(
        space=space,
        trials=min(options.trials, 4) if options.smoke else options.trials,
        epochs=1 if options.smoke else options.epochs or _EPOCHS,
        method=options.method,
        stopping=options.stopping or ("none" if options.against or options.method == "grid" else "asha"),
        seed=options.seed,
        first=first,
        against=options.against,
    )


def _narrowed(space: Space, options: SearchOptions, networks: Sequence[str], fixed: Values) -> Space:
    """The space of the networks and hyperparameters asked for, without what `--set` fixes. Raises InputError."""
    check(space)
    known = network_names(space)
    chosen = known if options.networks == "all" else networks if options.networks is None else listed(options.networks)
    for name in chosen:
        if name not in known:
            raise InputError(f"The space has no network {name!r}; it has {', '.join(known)}.")
    space = [dataclasses.replace(each, values=one_of(*chosen)) if each.name == "network" else each for each in space]
    space = narrowed(space, None if options.tune is None else listed(options.tune), fixed)
    names = [hyperparameter.name for hyperparameter in space]
    for setting, (network, name, _) in zip(options.set, options.set_values(), strict=True):
        if name == "epochs":
            raise InputError(f"--set {setting}: all trials of a search have the same epochs; give --epochs.")
        if network and name in names:
            raise InputError(f"--set {setting}: the search tunes {name!r}; fix it for all networks, or use --tune.")
    return space


def _restricted(values: Values, space: Space, fixed: Values) -> Values | None:
    """Values as this space has them; None where it does not have them all."""
    restricted = valued(space, lambda each: fixed.get(each.name, values.get(each.name)))
    is_held = [holds(each.values, restricted.get(each.name)) for each in space if each.matters(restricted)]
    return restricted if all(is_held) else None


def _best_of(folder: Folder, space: Space, default: Values) -> list[Values]:
    """Values of another record's best trials that lie in this space; what they lack is as in `default`."""
    read_manifest(folder)
    trials = read_trials(folder)
    trials = trials[trials["status"] == "finished"].sort_values(SELECTION_METRIC, ascending=False)
    best: list[Values] = []
    for row in trials[[field.name for field in dataclasses.fields(Recipe)]].to_dict("records"):
        recipe = Recipe.of({name: value for name, value in row.items() if pd.notna(value)})
        values = _restricted(default | recipe.hyperparameters() | recipe.network_arguments, space, {})
        if values and values not in best:
            best.append(values)
    return best[:_MOST_TAKEN_OVER]


def _largest(space: Space, network: str) -> Values:
    """Values of a network with which a trial needs the most time and memory."""

    def most(each: Hyperparameter) -> Any:
        if isinstance(each.values, IntDistribution):
            return each.values.high
        choices = each.values.choices if isinstance(each.values, CategoricalDistribution) else ()
        return network if each.name == "network" else max((size for size in choices if type(size) is int), default=None)

    return valued(space, most)


def _again(record: Record, options: SearchOptions, with_default: bool) -> list[Recipe]:
    """The best trials of the search that trained all epochs, and the default recipe, each with new seeds."""
    rows = [row for row in record.trials.values() if row.get("number") is not None]
    finished = [row for row in rows if row["status"] == "finished"]
    best = sorted(finished, key=lambda row: float(row[SELECTION_METRIC]), reverse=True)[: options.repeat_best]
    default = [row for row in rows if row["number"] == 0 and with_default]
    chosen = dict.fromkeys(row["trial"] for row in [*best, *default])
    recipes = [record.recipe(trial) for trial in chosen]
    seeds = range(1, options.seeds + 1)
    return [dataclasses.replace(recipe, seed=recipe.seed + seed) for seed in seeds for recipe in recipes]
