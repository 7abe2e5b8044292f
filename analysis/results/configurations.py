"""What a configuration is: its hyperparameters and network arguments, beside its network's own and what was tried."""

import functools
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.results.searches import hyperparameters
from analysis.results.trials import Results
from trainables import MODELS, Recipe

#: Of a recipe, what is no hyperparameter of a configuration.
_OF_THE_TRIAL = ("network", "arguments", "seed", "training_subset", "parent", "pause_epoch")

_MOST_LISTED = 8  # of the values that were tried

#: Hyperparameter or argument of the network → its value.
Values = dict[str, Any]


def recipe_of(row: dict[str, Any]) -> Recipe:
    """The recipe in a trial's row, without hyperparameters that are newer than the record."""
    return Recipe.of({name: row[name] for name in Recipe("").hyperparameters() if pd.notna(row[name])})


def values_of(recipe: Recipe) -> Values:
    """The values of a recipe."""
    own = {name: value for name, value in recipe.hyperparameters().items() if name not in _OF_THE_TRIAL}
    return own | recipe.network_arguments


def all_values(recipe: Recipe) -> Values:
    """The values of a recipe, and the network's own of the arguments that it leaves out."""
    network = MODELS.get(recipe.network)
    return (network.defaults() if network else {}) | values_of(recipe)


@functools.cache
def own_values(network: str) -> Values:
    """The values of a network's own recipe; none if the network is not in MODELS."""
    if network not in MODELS:
        return {}
    return values_of(Recipe.of({"network": network, **MODELS[network].recipe})) | MODELS[network].defaults()


def changed_values(recipe: Recipe) -> Values:
    """The values in which a recipe differs from its network's own."""
    own = own_values(recipe.network)
    return {name: value for name, value in values_of(recipe).items() if name not in own or value != own[name]}


def tried_values(results: Results, recipe: Recipe) -> dict[str, str]:
    """Hyperparameter or argument → the values that were tried, as text, where there are several.

    Of a search it is the space, without what does not matter beside the recipe's other values, as momentum beside adam.
    """
    rows = [values_of(recipe_of(row)) for row in results.trials.to_dict("records")]
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: [row[name] for row in rows if name in row] for name in names}
    lists = {name: list(dict.fromkeys(map(text, found))) for name, found in values.items()}
    tried = {name: _listed(values[name], texts) for name, texts in lists.items() if len(texts) > 1}
    tried |= {name: _range(values) for name, values in hyperparameters(results).items()}
    own = values_of(recipe) | {"network": recipe.network}
    conditions = {entry["name"]: entry["when"] for entry in results.provenance.search.get("space", [])}
    return {
        name: values
        for name, values in tried.items()
        if all(own.get(other) in allowed for other, allowed in conditions.get(name, {}).items())
    }


def _listed(values: Sequence[Any], texts: Sequence[str]) -> str:
    """What was tried: each value; of many, between which numbers they lie, or the first of them, and how many."""
    if len(texts) <= _MOST_LISTED:
        return ", ".join(texts)
    is_range = all(isinstance(value, int | float) for value in values)
    some = f"{text(min(values))} to {text(max(values))}" if is_range else f"{', '.join(texts[:_MOST_LISTED])}, …"
    return f"{some} ({len(texts):,} values)"


def text(value: Any) -> str:
    """A value, for people; a dash if there is none."""
    if isinstance(value, list | tuple):
        return json.dumps(value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(values: BaseDistribution) -> str:
    if isinstance(values, CategoricalDistribution):
        return ", ".join(map(text, values.choices))
    return f"{values.low:g} to {values.high:g}{', logarithmic' if values.log else ''}"  # type: ignore[attr-defined]
