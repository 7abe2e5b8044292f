"""A search as an Optuna study: what to try next, and whom to stop.

The study is made of what the record holds, and nothing else: made again from it, after whatever has been killed, it is
the same, rungs and all. For that each trial's sampler derives from (seed, number of the trial).
"""

import importlib.util
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from data_prep.errors import InputError
from sweeps.searching.space import Space, Values, draw, grid

#: How the next trial is chosen, and when a trial is stopped.
METHODS = ("tpe", "random", "grid", "cmaes", "gp")
STOPPING = ("asha", "hyperband", "median", "none")

_NEEDED = {"cmaes": "cmaes", "gp": "torch"}
_REDUCTION = 3  # of the trials that reach a rung, one in so many goes on, for so many times the epochs
_RANDOM_TRIALS = 5  # before TPE has an opinion; on recorded curves, sooner reached the best than Optuna's ten
_STOPPED_FIRST = 1  # at each rung, so many go no further: being best of one says nothing
_MEDIAN_TRIALS = 5  # so many must be over before the median rule stops one
_MOST_REPEATED = 3
_MOST_KNOWN = 1_000  # suggestions in a row that were made before: then the space holds nothing new

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Search:
    """What is searched and how: `trials` trials of at most `epochs` epochs, the values of `first` before any other.

    `against` is a column of the record that is to be small where validation accuracy is high: then nobody is stopped,
    and there is no best trial but a front.
    """

    space: Space
    trials: int
    epochs: int
    method: str = "tpe"
    stopping: str = "asha"
    seed: int = 0
    first: Sequence[Values] = ()
    against: str | None = None

    def check(self) -> None:
        """Raises InputError for a method that cannot search this space."""
        needed = _NEEDED.get(self.method)
        if needed and not importlib.util.find_spec(needed):
            raise InputError(f"--method {self.method} needs the package {needed}: pip install {needed}")
        if self.method == "cmaes" and any(
            isinstance(hyperparameter.values, CategoricalDistribution) for hyperparameter in self.turned
        ):
            raise InputError("CMA-ES searches numbers only; name one of --networks, and --tune that are ranges.")
        if self.method in ("cmaes", "gp") and any(hyperparameter.when for hyperparameter in self.turned):
            raise InputError(
                f"{self.method} searches no hyperparameters that matter only sometimes; name others with --tune."
            )
        if self.against and self.stopping != "none":
            raise InputError("A search for two objectives stops nobody; give --stopping none.")
        if self.against and self.method == "cmaes":
            raise InputError("CMA-ES searches for one objective; give --method tpe.")
        if self.method == "grid":
            grid(self.space)

    def describe(self) -> dict[str, Any]:
        """What must be the same for results to be of one search, as JSON has it."""
        space = [
            {
                "name": hyperparameter.name,
                "values": json.loads(distribution_to_json(hyperparameter.values)),
                "when": _listed(hyperparameter.when),
            }
            for hyperparameter in self.space
        ]
        names = ("epochs", "method", "stopping", "seed", "against")
        return {name: getattr(self, name) for name in names} | {"space": space}

    @property
    def turned(self) -> Space:
        """The hyperparameters with more than one value."""
        return [hyperparameter for hyperparameter in self.space if not hyperparameter.values.single()]


class SearchStudy:
    """A study that is asked, told epochs, and told ends. Trials are named by their number, from 0."""

    def __init__(self, search: Search, storage: BaseStorage | None = None) -> None:
        self.search = search
        directions: list[Literal["maximize", "minimize"]] = ["maximize", "minimize"] if search.against else ["maximize"]
        self.study = optuna.create_study(
            storage=storage, study_name="search", directions=directions, pruner=_pruner(search)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names(["validation accuracy", *([search.against] if search.against else [])])
        self._open: dict[int, optuna.Trial] = {}
        self._known: set[frozenset[tuple[str, Any]]] = set()
        self._planned = [
            *search.first,
            *(_shuffled(grid(search.space), search.seed) if search.method == "grid" else ()),
        ]

    def ask(self) -> tuple[int, Values] | None:
        """The number and the values of the next trial; None if the space holds none that was not tried.

        A suggestion that was made before is told as failed, which teaches the sampler nothing. One that repeats itself
        is helped out by chance.
        """
        for attempt in range(_MOST_KNOWN):
            number = self._next
            if number >= len(self._planned) and self.search.method == "grid":
                return None
            if number < len(self._planned):
                self.study.enqueue_trial(self._planned[number])
            method = self.search.method if attempt < _MOST_REPEATED else "random"
            self.study.sampler = _sampler(method, self.search.seed, number)
            drawn = self._begin(number)
            if _key(drawn) not in self._known:
                self._known.add(_key(drawn))
                return number, drawn
            self._fail(number)
        return None

    @property
    def asked(self) -> int:
        """How many different trials it has suggested or was told of."""
        return len(self._known)

    def replay(self, number: int, drawn: Values, curve: Mapping[int, float]) -> None:
        """Enter a trial of the record, in the order of the numbers, as it stood after the last of these epochs."""
        while self._next < number:  # which were suggestions made before
            self.study.enqueue_trial(drawn)
            self._begin(self._next)
            self._fail(self._next - 1)
        self.study.sampler = _sampler(self.search.method, self.search.seed, number)
        self.study.enqueue_trial(drawn)
        self._begin(number)
        if self.search.method == "cmaes" and number >= len(self._planned):
            _ = self._open[number].relative_params  # ask it again, for its distribution follows from what it was asked
        self._known.add(_key(drawn))
        for epoch, value in curve.items():
            self.report(number, epoch, value)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Tell a trial's validation accuracy after an epoch. Returns whether it is to be stopped.

        The very first of those that were given is not: it is what the others are measured by.
        """
        if self.search.against:
            return False
        trial = self._open[number]
        trial.report(value, epoch)
        is_behind = trial.should_prune()  # asked of the first as well, for the pruner keeps what it hears
        return is_behind and epoch < self.search.epochs and not self._is_yardstick(number)

    def reported(self, number: int) -> int:
        """How many epochs of a trial the study has heard of."""
        return len(self.study.get_trials(deepcopy=False)[number].intermediate_values)

    def is_open(self, number: int) -> bool:
        """Whether a trial's end is still to be told."""
        return number in self._open

    def tell(self, number: int, status: str, values: Sequence[float]) -> None:
        """Tell a trial's end: its status in the record, and validation accuracy and, if searched for, `against`.

        Stopped, collapsed and diverged trials are pruned ones to Optuna, which takes their last epoch's value.
        """
        trial = self._open.pop(number)
        if status == "finished" or (status == "collapsed" and self.search.against):
            self.study.tell(trial, list(values))
        elif status == "failed" or self.search.against or not self.reported(number):
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)

    def _is_yardstick(self, number: int) -> bool:
        return number == 0 and bool(self.search.first)

    def _begin(self, number: int) -> Values:
        trial = self.study.ask()
        assert trial.number == number
        self._open[number] = trial
        return draw(self.search.space, trial)

    def _fail(self, number: int) -> None:
        self.study.tell(self._open.pop(number), state=TrialState.FAIL)

    @property
    def _next(self) -> int:
        return len(self.study.get_trials(deepcopy=False))


def rungs(study: optuna.Study) -> list[dict[int, float]]:
    """Of each trial: rung, from 0 → the value with which it reached that rung."""
    prefix = "completed_rung_"
    return [
        {int(name.removeprefix(prefix)): value for name, value in trial.system_attrs.items() if name.startswith(prefix)}
        for trial in study.get_trials(deepcopy=False)
    ]


def rung_epochs(search: Search) -> Iterator[int]:
    """The epochs after which trials are compared under successive halving: 1, 3, 9 … below the last one."""
    epoch = 1
    while epoch < search.epochs:
        yield epoch
        epoch *= _REDUCTION


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    if search.stopping == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(1, _REDUCTION, bootstrap_count=_STOPPED_FIRST)
    if search.stopping == "hyperband":
        return optuna.pruners.HyperbandPruner(1, search.epochs, _REDUCTION)
    if search.stopping == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=_MEDIAN_TRIALS)
    return optuna.pruners.NopPruner()


def _sampler(method: str, seed: int, number: int) -> BaseSampler:
    """The sampler that suggests a trial: it remembers nothing that the study does not hold."""
    seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if method == "tpe":
            return optuna.samplers.TPESampler(
                n_startup_trials=_RANDOM_TRIALS, seed=seed, multivariate=True, group=True, constant_liar=True
            )
        if method == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed)
        if method == "gp":
            return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.RandomSampler(seed)


def _shuffled(points: list[Values], seed: int) -> list[Values]:
    order = np.random.default_rng(seed).permutation(len(points))
    return [points[place] for place in order]


def _listed(when: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in when.items()}


def _key(drawn: Values) -> frozenset[tuple[str, Any]]:
    return frozenset(drawn.items())  # in which 0 equals 0.0
