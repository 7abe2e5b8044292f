"""From the command line of a search to the sweep that it asks for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import click
import pandas as pd
from optuna.distributions import CategoricalDistribution, IntDistribution

from data_prep.errors import InputError
from data_prep.storage import Folder
from sweeps.engine.options import Options
from sweeps.engine.run import Sweep
from sweeps.record.writer import Record, read_manifest, read_trials
from sweeps.searching.space import Space, Values, check, narrowed, one_of, recipe_fields
from sweeps.searching.study import METHODS, STOPPING, Search
from trainables import Recipe

_EPOCHS = 9
_TAKEN_OVER = 5  # of the trials of another record, the best so many are tried first
_UNITS = {"s": 1, "m": 60, "h": 3600}


class _Duration(click.ParamType[float]):
    """A time such as 90s, 30m or 1.5h, in seconds."""

    name = "30m"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number, unit = str(value)[:-1], str(value)[-1:]
        try:
            seconds = float(number) * _UNITS[unit]
        except (KeyError, ValueError):
            self.fail(f"{value!r} is no time; write 90s, 30m or 1.5h.", param, ctx)
        if seconds < 60:
            self.fail(f"{value!r} is less than a minute, in which nothing is trained.", param, ctx)
        return seconds


OPTIONS: Sequence[click.Option] = [
    click.Option(["--trials"], type=click.IntRange(1), default=30, show_default=True, help="Trials of the search."),
    click.Option(["--networks"], help="Names from MODELS, separated by commas, or `all`; by default the small ones."),
    click.Option(
        ["--tune"], help="The hyperparameters to turn, separated by commas; by default every one in the space."
    ),
    click.Option(
        ["--method"], type=click.Choice(METHODS), default="tpe", show_default=True, help="How trials are chosen."
    ),
    click.Option(
        ["--stopping"],
        type=click.Choice(STOPPING),
        default=None,
        help="Which trials are stopped early, judged epoch by epoch: by default asha, or none with --against.",
    ),
    click.Option(
        ["--against"],
        type=click.Choice(["flops", "seconds_per_image"]),
        help="A second objective, to be small: the answer is then a Pareto front.",
    ),
    click.Option(
        ["--seed"], type=click.IntRange(0), default=0, show_default=True, help="Of the search and its trials."
    ),
    click.Option(["--time-budget"], type=_Duration(), help="When to end, report included; the same command goes on."),
    click.Option(["--max-concurrent"], type=click.IntRange(1), help="Trials at once; by default as many as fit."),
    click.Option(
        ["--from", "source"], help="Another record, such as results/search, whose best trials are tried first."
    ),
    click.Option(
        ["--repeat-best"],
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Then train the best so many, and the default recipe, again with --seeds new seeds.",
    ),
]


def searched(
    name: str, question: str, options: Options, space: Space, networks: Sequence[str], default: Values
) -> Sweep:
    """The sweep that searches `space` as the options say; `networks` are those of no `--networks`.

    `default` are values of all hyperparameters, which are tried first where the options leave them possible; if its network is
    not searched, with the first that is. Raises InputError.
    """
    own = options.own
    if options.seeds > 1 and not own["repeat_best"]:
        raise InputError("--seeds says how often the best is trained again; give --repeat-best 1 with it.")
    epochs = 1 if options.smoke else options.epochs or _EPOCHS
    check(space)
    space = _narrowed(space, options, networks)
    _check_settings(space, options)
    if default["network"] not in _networks(space):
        default = default | {"network": _networks(space)[0]}
    first = [_restricted(default, space, _fixed(options))]
    first += _best_of(Folder(own["source"]), space, default) if own["source"] else []
    stopping = own["stopping"] or ("none" if own["against"] or own["method"] == "grid" else "asha")
    search = Search(
        space=space,
        trials=min(own["trials"], 4) if options.smoke else own["trials"],
        epochs=epochs,
        method=own["method"],
        stopping=stopping,
        seed=own["seed"],
        first=[] if own["method"] == "grid" else [values for values in first if values],
        against=own["against"],
    )

    def recipe(values: Values) -> Recipe:
        return options.recipe(**_named(recipe_fields({"epochs": epochs, "seed": own["seed"]} | values)))

    def repeats(record: Record) -> list[Recipe]:
        return _repeats(record, own["repeat_best"], options.seeds, first[0] if search.first else None)

    return Sweep(
        name=name,
        question=question,
        recipes=[recipe(_largest(space, network)) for network in _networks(space)],
        search=search,
        recipe=recipe,
        then=repeats if own["repeat_best"] else None,
        settings={name: own[name] for name in ("method", "networks", "tune", "against", "seed")}
        | {"stopping": stopping},
    )


def _named(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """As `Options.recipe` takes them."""
    return {"name" if name == "network" else name: value for name, value in hyperparameters.items()}


def _check_settings(space: Space, options: Options) -> None:
    """Raises InputError if `--set` fixes for one network what the search turns for all of them, or the epochs."""
    turned = [hyperparameter.name for hyperparameter in space]
    for setting in options.set:
        network, _, hyperparameter = setting.partition("=")[0].rpartition(".")
        if hyperparameter == "epochs":
            raise InputError(f"--set {setting}: all trials of a search have the same epochs; give --epochs.")
        if network and hyperparameter in turned:
            raise InputError(
                f"--set {setting}: the search turns {hyperparameter!r}; fix it for all networks, or use --tune."
            )


def _fixed(options: Options) -> Values:
    """What the command line says of all recipes: nothing is left to search there."""
    return options.told_to_all() | ({"batch_size": options.batch_size} if options.batch_size else {})


def _narrowed(space: Space, options: Options, networks: Sequence[str]) -> Space:
    """The space of the networks and hyperparameters that were asked for, without what `--set` fixes."""
    given, hyperparameters = options.own["networks"], options.own["tune"]
    chosen = networks if not given else _networks(space) if given == "all" else given.split(",")
    for name in chosen:
        if name not in _networks(space):
            raise InputError(f"The space has no network {name!r}; it has {', '.join(_networks(space))}.")
    space = [
        dataclasses.replace(hyperparameter, values=one_of(*chosen))
        if hyperparameter.name == "network"
        else hyperparameter
        for hyperparameter in space
    ]
    return narrowed(space, hyperparameters.split(",") if hyperparameters else None, _fixed(options))


def _networks(space: Space) -> list[str]:
    names = next(hyperparameter.values for hyperparameter in space if hyperparameter.name == "network")
    assert isinstance(names, CategoricalDistribution)
    return [str(name) for name in names.choices]


def _restricted(values: Values, space: Space, fixed: Values) -> Values | None:
    """Values as this space has them; None where it does not have them all."""
    drawn: Values = {}
    for hyperparameter in space:
        if hyperparameter.matters(drawn):
            value = fixed.get(hyperparameter.name, values.get(hyperparameter.name))
            if value is None or not _holds(hyperparameter.values, value):
                return None
            drawn[hyperparameter.name] = value
    return drawn


def _holds(values: Any, value: Any) -> bool:
    if isinstance(values, CategoricalDistribution):
        return value in values.choices
    return bool(values.low <= value <= values.high)


def _best_of(folder: Folder, space: Space, default: Values) -> list[Values | None]:
    """The values of another record's best trials, as far as this space has them; what they lack as in `default`."""
    read_manifest(folder)
    trials = read_trials(folder)
    trials = trials[trials["status"] == "finished"].sort_values("validation_accuracy", ascending=False)
    names = [hyperparameter.name for hyperparameter in dataclasses.fields(Recipe) if hyperparameter.name in trials]
    found: list[Values | None] = []
    for row in trials[names].to_dict("records"):
        recipe = Recipe.of({name: value for name, value in row.items() if pd.notna(value)})
        values = _restricted(default | recipe.hyperparameters() | recipe.network_arguments, space, {})
        if values and values not in found:
            found.append(values)
    return found[:_TAKEN_OVER]


def _largest(space: Space, network: str) -> Values:
    """Values of a network with which a trial needs the most: by these a trial's share of a machine is judged."""
    drawn: Values = {"network": network}
    for hyperparameter in space:
        if hyperparameter.name != "network" and hyperparameter.matters(drawn):
            if isinstance(hyperparameter.values, IntDistribution):
                drawn[hyperparameter.name] = hyperparameter.values.high
            elif isinstance(hyperparameter.values, CategoricalDistribution):
                sizes = [value for value in hyperparameter.values.choices if type(value) is int]
                drawn |= {hyperparameter.name: max(sizes)} if sizes else {}
    return drawn


def _repeats(record: Record, count: int, seeds: int, default: Values | None) -> list[Recipe]:
    """The best trials of the search that trained all epochs, and its default, with new seeds."""
    rows = [row for row in record.trials.values() if row.get("number") is not None]
    finished = [row for row in rows if row["status"] == "finished"]
    best = sorted(finished, key=lambda row: row["validation_accuracy"], reverse=True)[:count]
    chosen = {row["trial"]: row for row in [*best, *[row for row in rows if row["number"] == 0 and default]]}
    recipes = [record.recipe(trial) for trial in chosen]
    return [dataclasses.replace(each, seed=each.seed + seed) for seed in range(1, seeds + 1) for each in recipes]
