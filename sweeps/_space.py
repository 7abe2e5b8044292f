"""A search space: the knobs that a search turns, the values they may take, and when they matter."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_type_hints

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from data_prep._command import InputError
from trainables._recipe import Recipe, checked, nearest

_MOST_POINTS = 10_000
_KINDS = get_type_hints(Recipe, include_extras=True)

#: The values of the knobs that matter, by name.
Values = dict[str, Any]


@dataclass(frozen=True)
class Knob:
    """A knob of the recipe, or, by another name, an option of the network's function.

    It matters `when` each of these knobs, which stand above it, matters and has one of these values.
    """

    name: str
    values: BaseDistribution
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def matters(self, drawn: Values) -> bool:
        """Whether it is to be given a value beside those that the knobs above it have."""
        return all(other in drawn and drawn[other] in values for other, values in self.when.items())


Space = Sequence[Knob]


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
    for knob in space:
        if knob.matters(drawn):
            drawn[knob.name] = _suggest(trial, knob.name, knob.values)
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
    known = recipe.knobs() | recipe.network_options
    drawn: Values = {}
    for knob in space:
        if knob.matters(drawn):
            drawn[knob.name] = known[knob.name]
    return drawn


def knobs_of(drawn: Values) -> dict[str, Any]:
    """What a recipe is made of: its own knobs, and under `options` those of the network's function."""
    own = {name: value for name, value in drawn.items() if name in _KINDS}
    return own | {"options": {name: value for name, value in drawn.items() if name not in own}}


def grid(space: Space) -> list[Values]:
    """All combinations, where a range is its ends and its middle. Raises InputError if there are too many."""
    found = list(itertools.islice(_walk(space, _points), _MOST_POINTS + 1))
    if len(found) > _MOST_POINTS:
        raise InputError(f"A grid over these knobs has more than {_MOST_POINTS:,} points; name fewer with --knobs.")
    return found


def _walk(space: Space, points: Callable[[BaseDistribution], Sequence[Any]]) -> Iterator[Values]:
    """All combinations of those values that `points` picks of a distribution."""
    found: Iterator[Values] = iter([{}])
    for knob in space:
        found = _branched(found, knob, points(knob.values))
    return found


def _branched(found: Iterator[Values], knob: Knob, values: Sequence[Any]) -> Iterator[Values]:
    for drawn in found:
        if knob.matters(drawn):
            yield from (drawn | {knob.name: value} for value in values)
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
    """Raises InputError for a value that a recipe would refuse, a knob that stands twice, or one that never matters.

    The options of networks are judged by `Network.check`, where Keras is at hand.
    """
    names = [knob.name for knob in space]
    for place, knob in enumerate(space):
        if knob.name in names[:place]:
            raise InputError(f"The space has the knob {knob.name!r} twice; join the two.")
        for value in _ends(knob.values) if knob.name in _KINDS else ():
            checked(knob.name, value, _KINDS[knob.name])
        for other in knob.when:
            if other not in names[:place]:
                near = f"; the nearest is {nearest(other, names[:place])!r}" if place else ""
                raise InputError(f"{knob.name} matters when {other!r} …, and no knob above it is called that{near}.")
    reached = _all_reached(space)
    for knob in space:
        if knob.name not in reached:
            raise InputError(f"The knob {knob.name!r} never matters: {_told(knob)} cannot be; mend its `when`.")


def _all_reached(space: Space) -> set[str]:
    """The knobs that can matter: of the others, only those on which it depends need be tried."""
    deciding = {other for knob in space for other in knob.when}
    tried = _walk([knob for knob in space if knob.name in deciding], _ends)
    return {knob.name for drawn in tried for knob in space if knob.matters(drawn)}


def _told(knob: Knob) -> str:
    return " and ".join(f"{other} in {list(values)}" for other, values in knob.when.items())


def narrowed(space: Space, chosen: Sequence[str] | None, fixed: Values) -> Space:
    """The space in which only the `chosen` knobs are turned, if any are named, and `fixed` ones have one value.

    With a knob come those on which it depends; knobs that then never matter are left out, and so are conditions that
    then always hold. Raises InputError for a name that the space does not have.
    """
    names = [knob.name for knob in space]
    for name in chosen or ():
        if name not in names:
            raise InputError(f"The space has no knob {name!r}; the nearest is {nearest(name, names)!r}.")
    kept = {"network", *fixed, *(chosen or names)}
    for knob in reversed(space):
        kept |= set(knob.when) if knob.name in kept else set()
    found = [replace(knob, values=one_of(fixed[knob.name])) if knob.name in fixed else knob for knob in space]
    found = [knob for knob in found if knob.name in kept]
    reached = _all_reached(found)
    plain: list[Knob] = []
    for knob in found:
        if knob.name in reached:
            when = {other: values for other, values in knob.when.items() if not _always(plain, other, values)}
            plain.append(replace(knob, when=when))
    return plain


def _always(space: Space, name: str, values: Sequence[Any]) -> bool:
    """Whether a knob of the space has one of these values, come what may."""
    knob = next(knob for knob in space if knob.name == name)
    return (
        not knob.when and isinstance(knob.values, CategoricalDistribution) and set(knob.values.choices) <= set(values)
    )


def options_to_check(space: Space) -> list[tuple[str, dict[str, Any]]]:
    """(network, options) that together have every option of every network in which it matters, at its ends."""
    networks = next(knob.values for knob in space if knob.name == "network")
    assert isinstance(networks, CategoricalDistribution)
    found = []
    for network in networks.choices:
        for knob in space:
            if knob.name not in _KINDS and network in knob.when.get("network", [network]):
                found += [(str(network), {knob.name: value}) for value in _ends(knob.values)]
    return found
