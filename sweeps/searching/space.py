"""A search space: the hyperparameters that a search turns, the values they may take, and when they matter."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_type_hints

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from data_prep.errors import InputError
from trainables.training.recipe import Recipe, checked, nearest

_MOST_POINTS = 10_000
_KINDS = get_type_hints(Recipe, include_extras=True)

#: The values of the hyperparameters that matter, by name.
Values = dict[str, Any]


@dataclass(frozen=True)
class Hyperparameter:
    """A hyperparameter of the recipe, or, by another name, an option of the network's function.

    It matters `when` each of these hyperparameters, which stand above it, matters and has one of these values.
    """

    name: str
    values: BaseDistribution
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def matters(self, drawn: Values) -> bool:
        """Whether it is to be given a value beside those that the hyperparameters above it have."""
        return all(other in drawn and drawn[other] in values for other, values in self.when.items())


Space = Sequence[Hyperparameter]


def one_of(*values: Any) -> CategoricalDistribution:
    """One of some values: names, numbers, or true and false."""
    return CategoricalDistribution(values)


def between(low: float, high: float, log: bool = False) -> BaseDistribution:
    """A number from `low` to `high`, whole if both are; `log` where what counts is by how many times it grows."""
    kind = IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution
    return kind(low, high, log=log)  # type: ignore[arg-type]


def draw(space: Space, trial: optuna.Trial) -> Values:
    """The values that a study suggests for a trial."""
    drawn: Values = {}
    for hyperparameter in space:
        if hyperparameter.matters(drawn):
            drawn[hyperparameter.name] = _suggest(trial, hyperparameter.name, hyperparameter.values)
    return drawn


def _suggest(trial: optuna.Trial, name: str, values: BaseDistribution) -> Any:
    if isinstance(values, CategoricalDistribution):
        return trial.suggest_categorical(name, values.choices)
    if isinstance(values, IntDistribution):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    assert isinstance(values, FloatDistribution)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def values_of(space: Space, recipe: Recipe) -> Values:
    """The values that a recipe, which was made of this space, has."""
    known = recipe.hyperparameters() | recipe.network_arguments
    drawn: Values = {}
    for hyperparameter in space:
        if hyperparameter.matters(drawn):
            drawn[hyperparameter.name] = known[hyperparameter.name]
    return drawn


def recipe_fields(drawn: Values) -> dict[str, Any]:
    """What a recipe is made of: its own hyperparameters, and under `options` those of the network's function."""
    own = {name: value for name, value in drawn.items() if name in _KINDS}
    return own | {"arguments": {name: value for name, value in drawn.items() if name not in own}}


def grid(space: Space) -> list[Values]:
    """All combinations, where a range is its ends and its middle. Raises InputError if there are too many."""
    found = list(itertools.islice(_walk(space, _points), _MOST_POINTS + 1))
    if len(found) > _MOST_POINTS:
        raise InputError(
            f"A grid over these hyperparameters has more than {_MOST_POINTS:,} points; name fewer with --tune."
        )
    return found


def _walk(space: Space, points: Callable[[BaseDistribution], Sequence[Any]]) -> Iterator[Values]:
    """All combinations of those values that `points` picks of a distribution."""
    found: Iterator[Values] = iter([{}])
    for hyperparameter in space:
        found = _branched(found, hyperparameter, points(hyperparameter.values))
    return found


def _branched(found: Iterator[Values], hyperparameter: Hyperparameter, values: Sequence[Any]) -> Iterator[Values]:
    for drawn in found:
        if hyperparameter.matters(drawn):
            yield from (drawn | {hyperparameter.name: value} for value in values)
        else:
            yield drawn


def _points(values: BaseDistribution) -> Sequence[Any]:
    if isinstance(values, CategoricalDistribution):
        return values.choices
    assert isinstance(values, IntDistribution | FloatDistribution)
    spaced = np.geomspace if values.log else np.linspace
    found = spaced(values.low, values.high, 3)
    return sorted({round(each) if isinstance(values, IntDistribution) else float(each) for each in found})


def _ends(values: BaseDistribution) -> Sequence[Any]:
    """The values by which a type is judged: every choice, or the ends of a range."""
    if isinstance(values, CategoricalDistribution):
        return values.choices
    assert isinstance(values, IntDistribution | FloatDistribution)
    return [values.low, values.high]


def check(space: Space) -> None:
    """Raises InputError for a value that a recipe would refuse, a hyperparameter that stands twice, or one that never matters.

    The options of networks are judged by `Network.check`, where Keras is at hand.
    """
    names = [hyperparameter.name for hyperparameter in space]
    for place, hyperparameter in enumerate(space):
        if hyperparameter.name in names[:place]:
            raise InputError(f"The space has the hyperparameter {hyperparameter.name!r} twice; join the two.")
        for value in _ends(hyperparameter.values) if hyperparameter.name in _KINDS else ():
            checked(hyperparameter.name, value, _KINDS[hyperparameter.name])
        for other in hyperparameter.when:
            if other not in names[:place]:
                near = f"; the nearest is {nearest(other, names[:place])!r}" if place else ""
                raise InputError(
                    f"{hyperparameter.name} matters when {other!r} …, and no hyperparameter above it is called that{near}."
                )
    reached = _all_reached(space)
    for hyperparameter in space:
        if hyperparameter.name not in reached:
            raise InputError(
                f"The hyperparameter {hyperparameter.name!r} never matters: {_told(hyperparameter)} cannot be; mend its `when`."
            )


def _all_reached(space: Space) -> set[str]:
    """The hyperparameters that can matter: of the others, only those on which it depends need be tried."""
    deciding = {other for hyperparameter in space for other in hyperparameter.when}
    tried = _walk([hyperparameter for hyperparameter in space if hyperparameter.name in deciding], _ends)
    return {hyperparameter.name for drawn in tried for hyperparameter in space if hyperparameter.matters(drawn)}


def _told(hyperparameter: Hyperparameter) -> str:
    return " and ".join(f"{other} in {list(values)}" for other, values in hyperparameter.when.items())


def narrowed(space: Space, chosen: Sequence[str] | None, fixed: Values) -> Space:
    """The space in which only the `chosen` hyperparameters are turned, if any are named, and `fixed` ones have one value.

    With a hyperparameter come those on which it depends; hyperparameters that then never matter are left out, and so are conditions that
    then always hold. Raises InputError for a name that the space does not have.
    """
    names = [hyperparameter.name for hyperparameter in space]
    for name in chosen or ():
        if name not in names:
            raise InputError(f"The space has no hyperparameter {name!r}; the nearest is {nearest(name, names)!r}.")
    kept = {"network", *fixed, *(chosen or names)}
    for hyperparameter in reversed(space):
        kept |= set(hyperparameter.when) if hyperparameter.name in kept else set()
    found = [
        replace(hyperparameter, values=one_of(fixed[hyperparameter.name]))
        if hyperparameter.name in fixed
        else hyperparameter
        for hyperparameter in space
    ]
    found = [hyperparameter for hyperparameter in found if hyperparameter.name in kept]
    reached = _all_reached(found)
    plain: list[Hyperparameter] = []
    for hyperparameter in found:
        if hyperparameter.name in reached:
            when = {other: values for other, values in hyperparameter.when.items() if not _always(plain, other, values)}
            plain.append(replace(hyperparameter, when=when))
    return plain


def _always(space: Space, name: str, values: Sequence[Any]) -> bool:
    """Whether a hyperparameter of the space has one of these values, come what may."""
    hyperparameter = next(hyperparameter for hyperparameter in space if hyperparameter.name == name)
    return (
        not hyperparameter.when
        and isinstance(hyperparameter.values, CategoricalDistribution)
        and set(hyperparameter.values.choices) <= set(values)
    )


def arguments_to_check(space: Space) -> list[tuple[str, dict[str, Any]]]:
    """(network, options) that together have every option of every network in which it matters, at its ends."""
    networks = next(hyperparameter.values for hyperparameter in space if hyperparameter.name == "network")
    assert isinstance(networks, CategoricalDistribution)
    found = []
    for network in networks.choices:
        for hyperparameter in space:
            if hyperparameter.name not in _KINDS and network in hyperparameter.when.get("network", [network]):
                found += [(str(network), {hyperparameter.name: value}) for value in _ends(hyperparameter.values)]
    return found
