"""A sweep as plain data, and how it chooses its trials."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.record.writer import Record
from trainables.training.recipe import Recipe


class Strategy:
    """Answers, from the record: which recipes are to be run next, and does a trial go on?

    The engine does not know which strategy it runs. `representatives` are recipes by which the time and resources of
    trials are estimated; `planned` is how many trials are planned, `concurrency` how many may run at once. `follow_ups`
    are the most demanding recipes of trials that results may add. `stops_early` says that trials may be stopped.
    """

    representatives: Sequence[Recipe]
    planned: int
    concurrency: int
    follow_ups: Sequence[Recipe] = ()
    stops_early: bool = False

    def open(self, record: Record, scratch: Path) -> None:
        """Prepare for a record, before any other question. `scratch` is a local folder."""

    def next_recipes(self, record: Record) -> Sequence[Recipe]:
        """Recipes that can be run now. Those that are complete or running may be among them."""
        raise NotImplementedError

    def stop_reason(self, record: Record, trial: str) -> str | None:
        """Why a running trial ends after its last recorded epoch, in words; None while it goes on."""
        return None

    def close(self, record: Record) -> None:
        """Leave a record, at the end of the sweep."""

    def describe(self) -> dict[str, Any] | None:
        """What must be the same for results to join a record, as JSON has it."""
        return None

    def network_arguments(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Networks and arguments that they must take, to be checked before anything starts."""
        return ()


class FixedList(Strategy):
    """All recipes from the start."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self.representatives = recipes
        self.planned = self.concurrency = len(recipes)

    def next_recipes(self, record: Record) -> Sequence[Recipe]:
        """All of them."""
        return self.representatives


class Stages(FixedList):
    """Recipes from the start; once all are complete, those that follow from the record, again and again."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        then: Callable[[Record], Sequence[Recipe]],
        follow_ups: Sequence[Recipe] | None = None,
    ) -> None:
        super().__init__(recipes)
        self._then, self.follow_ups = then, follow_ups or recipes[:1]

    def next_recipes(self, record: Record) -> Sequence[Recipe]:
        """The first stage, or what follows from it."""
        first = self.representatives
        is_over = all(record.is_complete(record.identity(recipe)) for recipe in first)
        return self._then(record) if is_over else first


@dataclass(frozen=True)
class Sweep:
    """A question, and the strategy whose trials answer it.

    `settings` are options of the sweep's own that decide what a result means. The sweep ends after `time_budget`
    seconds, report included. Its trials are ranked by SELECTION_METRIC, as their epochs are.
    """

    name: str
    question: str
    strategy: Strategy
    settings: Mapping[str, Any] = field(default_factory=dict)
    time_budget: float | None = None
