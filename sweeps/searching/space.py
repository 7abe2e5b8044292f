"""A search space: hyperparameters, the values that they may take, and when they matter."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_type_hints

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from data_prep import InputError
from trainables.training.recipe import Recipe, checked, nearest

_MOST_POINTS = 10_000
_TYPES = get_type_hints(Recipe, include_extras=True)

#: Values of hyperparameters, by name: of those that matter.
Values = dict[str, Any]


@dataclass(frozen=True)
class Hyperparameter:
    """A field of the recipe or, by another name, an argument of the network's function.

    It matters `when` each of the named hyperparameters, which precede it, matters and has one of the listed values.
    """

    name: str
    values: BaseDistribution
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def matters(self, values: Values) -> bool:
        """Whether it matters beside these values of the hyperparameters that precede it."""
        return all(name in values and values[name] in allowed for name, allowed in self.when.items())


Space = Sequence[Hyperparameter]


def one_of(*values: Any) -> CategoricalDistribution:
    """One of some values: names, numbers, or true and false."""
    return CategoricalDistribution(values)


def between(low: float, high: float, log: bool = False) -> BaseDistribution:
    """A number from `low` to `high`, an integer if both are; `log` for a uniform distribution of its logarithm."""
    kind = IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution
    return kind(low, high, log=log)  # type: ignore[arg-type]


def holds(values: Any, value: Any) -> bool:
    """Whether a distribution has this value among its choices, or between its ends."""
    if isinstance(values, CategoricalDistribution):
        return value in values.choices
    return isinstance(value, int | float) and bool(values.low <= value <= values.high)


def network_names(space: Space) -> list[str]:
    """Names of the networks that a space has, in its order."""
    names = next(each.values for each in space if each.name == "network")
    return [str(name) for name in _points(names)]


def valued(space: Space, value: Callable[[Hyperparameter], Any]) -> Values:
    """Values of the hyperparameters that matter, each from `value`; None leaves one out."""
    values = Values()
    for each in space:
        if each.matters(values) and (chosen := value(each)) is not None:
            values[each.name] = chosen
    return values


def draw(space: Space, trial: optuna.Trial) -> Values:
    """Values that a study suggests for a trial."""
    suggest: dict[type, Callable[..., Any]] = {
        CategoricalDistribution: trial.suggest_categorical,
        IntDistribution: trial.suggest_int,
        FloatDistribution: trial.suggest_float,
    }
    return valued(space, lambda each: suggest[type(each.values)](each.name, **vars(each.values)))


def values_of(space: Space, recipe: Recipe) -> Values:
    """Values of a recipe that was made of this space."""
    known = recipe.hyperparameters() | recipe.network_arguments
    return valued(space, lambda each: known[each.name])


def recipe_fields(values: Values) -> dict[str, Any]:
    """Fields of a recipe: those named so, and under `arguments` those of the network's function."""
    own = {name: value for name, value in values.items() if name in _TYPES}
    return own | {"arguments": {name: value for name, value in values.items() if name not in own}}


def grid(space: Space) -> list[Values]:
    """All combinations; a range has its ends and its middle. Raises InputError if there are too many."""
    points = list(itertools.islice(_combinations(space, 3), _MOST_POINTS + 1))
    if len(points) > _MOST_POINTS:
        raise InputError(
            f"A grid over these hyperparameters has more than {_MOST_POINTS:,} points; name fewer with --tune."
        )
    return points


def _combinations(space: Space, count: int = 2) -> Iterator[Values]:
    """All combinations of so many points of each hyperparameter that matters; those of the last change fastest."""
    if not space:
        return iter([Values()])
    *others, last = space
    points = [{last.name: point} for point in _points(last.values, count)]
    return (
        values | point
        for values in _combinations(others, count)
        for point in (points if last.matters(values) else [Values()])
    )


def _points(values: BaseDistribution, count: int = 2) -> Sequence[Any]:
    """Every choice, or so many points of a range, its ends among them."""
    if isinstance(values, CategoricalDistribution):
        return values.choices
    assert isinstance(values, IntDistribution | FloatDistribution)
    points = (np.geomspace if values.log else np.linspace)(values.low, values.high, count)
    return sorted({round(each) if isinstance(values, IntDistribution) else float(each) for each in points})


def check(space: Space) -> None:
    """Raise InputError for a value that a recipe refuses, a hyperparameter that stands twice, or that is never used.

    `Network.checked` checks the arguments of networks, where Keras is at hand.
    """
    names = [each.name for each in space]
    for place, each in enumerate(space):
        if each.name in names[:place]:
            raise InputError(f"The space has the hyperparameter {each.name!r} twice; join the two.")
        for value in _points(each.values) if each.name in _TYPES else ():
            checked(each.name, value, _TYPES[each.name])
        for other in each.when:
            if other not in names[:place]:
                near = f"; {nearest(other, names[:place])}" if place else ""
                raise InputError(
                    f"{each.name} matters when {other!r} …, and no hyperparameter above it is called that{near}."
                )
    reachable = _reachable(space)
    for each in space:
        if each.name not in reachable:
            condition = " and ".join(f"{other} in {list(values)}" for other, values in each.when.items())
            raise InputError(
                f"The hyperparameter {each.name!r} is never used, for its condition {condition} never holds; mend its "
                "`when`."
            )


def _reachable(space: Space) -> set[str]:
    """Names of the hyperparameters that can matter. Only those that others depend on need be combined."""
    deciding = {other for each in space for other in each.when}
    combinations = _combinations([each for each in space if each.name in deciding])
    return {each.name for values in combinations for each in space if each.matters(values)}


def narrowed(space: Space, chosen: Sequence[str] | None, fixed: Values) -> Space:
    """The space with only the `chosen` hyperparameters, if any are named; `fixed` ones have one value.

    Hyperparameters that the chosen ones depend on stay. Those that then never matter are left out, and so are
    conditions that then always hold. Raises InputError for a name that the space does not have.
    """
    names = [each.name for each in space]
    for name in chosen or ():
        if name not in names:
            raise InputError(f"The space has no hyperparameter {name!r}; {nearest(name, names)}.")
    kept = {"network", *fixed, *(chosen or names)}
    for each in reversed(space):
        kept |= set(each.when) if each.name in kept else set()
    smaller = [replace(each, values=one_of(fixed[each.name])) if each.name in fixed else each for each in space]
    smaller = [each for each in smaller if each.name in kept]
    reachable, plain = _reachable(smaller), list[Hyperparameter]()
    for each in smaller:
        if each.name in reachable:
            when = {other: values for other, values in each.when.items() if not _always(plain, other, values)}
            plain.append(replace(each, when=when))
    return plain


def _always(space: Space, name: str, values: Sequence[Any]) -> bool:
    """Whether a hyperparameter of the space has one of these values, come what may."""
    each = next(each for each in space if each.name == name)
    choices = each.values.choices if isinstance(each.values, CategoricalDistribution) else [None]
    return not each.when and set(choices) <= set(values)


def arguments_to_check(space: Space) -> list[tuple[str, dict[str, Any]]]:
    """Networks and arguments that together have every argument of every network in which it matters, at its ends."""
    return [
        (network, {each.name: value})
        for network in network_names(space)
        for each in space
        if each.name not in _TYPES and network in each.when.get("network", [network])
        for value in _points(each.values)
    ]
