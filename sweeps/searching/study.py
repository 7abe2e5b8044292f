"""A search as an Optuna study: which values to try next, and which trials to stop.

The study is a function of the record: made again from it after a kill, it is the same study, rungs included. For that,
each trial's sampler derives from (seed, number of the trial).
"""

import functools
import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.trial import TrialState

from data_prep import InputError
from sweeps.searching.space import Space, Values, draw, grid

#: How the next trial is chosen, and when a trial is stopped.
METHODS = ("tpe", "random", "grid", "cmaes", "gp")
STOPPING = ("asha", "hyperband", "median", "none")

_PACKAGES = {"cmaes": "cmaes", "gp": "torch"}  # method → the package that it needs
_REDUCTION = 3  # at each rung, one trial in three goes on, for three times the epochs
_RANDOM_TRIALS = 5  # before TPE takes over; on recorded curves this finds the best sooner than Optuna's ten
_STOPPED_FIRST = 1  # the first trial to reach a rung ends there: it has none to be compared with
_MEDIAN_TRIALS = 5  # this many trials end before the median rule stops one
_MOST_DUPLICATES = 3  # after so many suggestions of known values in a row, values are drawn at random
_MOST_ATTEMPTS = 1_000  # after so many draws of known values, the space is taken to hold no others

# Of those that suggest; a grid's points are planned beforehand.
_SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "tpe": functools.partial(
        optuna.samplers.TPESampler,
        n_startup_trials=_RANDOM_TRIALS,
        multivariate=True,
        group=True,
        constant_liar=True,
    ),
    "cmaes": optuna.samplers.CmaEsSampler,
    "gp": optuna.samplers.GPSampler,
}

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


@dataclass(frozen=True)
class Search:
    """What is searched and how: `trials` trials of at most `epochs` epochs, the values of `first` before any other.

    `against` is a column of the record, to be minimized while validation accuracy is maximized: then no trial is
    stopped, and the answer is a Pareto front.
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
        """Raise InputError for a method that cannot search this space."""
        package, method = _PACKAGES.get(self.method), self.method
        has_names = any(isinstance(each.values, CategoricalDistribution) for each in self.turned)
        has_conditions = any(each.when for each in self.turned)
        refusals = {
            f"--method {method} needs the package {package}: pip install {package}": (
                package and not importlib.util.find_spec(package)
            ),
            "CMA-ES searches numbers only; name one of --networks, and in --tune only ranges.": (
                method == "cmaes" and has_names
            ),
            f"{method} searches no conditional hyperparameters; name others with --tune.": (
                method in ("cmaes", "gp") and has_conditions
            ),
            "A search for two objectives stops no trial; give --stopping none.": (
                self.against and self.stopping != "none"
            ),
            "CMA-ES searches for one objective; give --method tpe.": self.against and method == "cmaes",
        }
        for refusal, applies in refusals.items():
            if applies:
                raise InputError(refusal)
        if self.method == "grid":
            grid(self.space)

    def describe(self) -> dict[str, Any]:
        """What must be the same for results to be of one search, as JSON has it."""
        space = [
            {
                "name": hyperparameter.name,
                "values": json.loads(distribution_to_json(hyperparameter.values)),
                "when": {name: list(values) for name, values in hyperparameter.when.items()},
            }
            for hyperparameter in self.space
        ]
        values = {name: getattr(self, name) for name in ("epochs", "method", "stopping", "seed", "against")}
        return values | {"space": space}

    @property
    def turned(self) -> Space:
        """The hyperparameters with more than one value."""
        return [hyperparameter for hyperparameter in self.space if not hyperparameter.values.single()]


class SearchStudy:
    """A study that suggests values, and is told epochs and ends. Trials are known by their number, from 0."""

    def __init__(self, search: Search, storage: optuna.storages.BaseStorage | None = None) -> None:
        self.search = search
        objectives: dict[str, Any] = {"validation accuracy": "maximize"} | (
            {search.against: "minimize"} if search.against else {}
        )
        self.study = optuna.create_study(
            storage=storage, study_name="search", directions=list(objectives.values()), pruner=_pruner(search)
        )
        self.study.set_metric_names(list(objectives))
        self._open: dict[int, optuna.Trial] = {}
        self._suggested: set[frozenset[tuple[str, Any]]] = set()  # in which 0 equals 0.0
        self._planned = list(search.first)
        if search.method == "grid":
            points = grid(search.space)
            self._planned += [points[place] for place in np.random.default_rng(search.seed).permutation(len(points))]

    def ask(self) -> tuple[int, Values] | None:
        """Number and values of the next trial; None if the space holds none that was not tried.

        Duplicate suggestions are told to Optuna as FAIL, which samplers ignore; after three in a row, values are drawn
        at random.
        """
        for attempt in range(_MOST_ATTEMPTS):
            number = self._next
            if number < len(self._planned):
                self.study.enqueue_trial(self._planned[number])
            elif self.search.method == "grid":
                return None
            method = self.search.method if attempt < _MOST_DUPLICATES else "random"
            self.study.sampler = _sampler(method, self.search.seed, number)
            values = self._begin(number)
            if frozenset(values.items()) not in self._suggested:
                self._suggested.add(frozenset(values.items()))
                return number, values
            self._fail(number)
        return None

    def replay(self, number: int, values: Values, curve: Mapping[int, float]) -> None:
        """Enter a trial of the record as it stood after its last epoch in `curve`. Call it in the order of numbers."""
        while self._next < number:  # those numbers were duplicate suggestions
            self.study.enqueue_trial(values)
            self._begin(self._next)
            self._fail(self._next - 1)
        self.study.sampler = _sampler(self.search.method, self.search.seed, number)
        self.study.enqueue_trial(values)
        self._begin(number)
        if self.search.method == "cmaes" and number >= len(self._planned):
            _ = self._open[number].relative_params  # suggests again, for its distribution follows from its suggestions
        self._suggested.add(frozenset(values.items()))
        for epoch, accuracy in curve.items():
            self.report(number, epoch, accuracy)

    def report(self, number: int, epoch: int, accuracy: float) -> bool:
        """Tell a trial's validation accuracy after an epoch. Returns whether the trial is to be stopped.

        The first of the planned trials is trained to its end: the others are measured by it.
        """
        if self.search.against:
            return False
        trial = self._open[number]
        trial.report(accuracy, epoch)
        is_behind = trial.should_prune()  # asked of the first trial too, for the pruner keeps what it hears
        return is_behind and epoch < self.search.epochs and not (number == 0 and self.search.first)

    def reported(self, number: int) -> int:
        """How many epochs of a trial the study has heard of."""
        return len(self.study.get_trials(deepcopy=False)[number].intermediate_values)

    def is_open(self, number: int) -> bool:
        """Whether a trial's end is still to be told."""
        return number in self._open

    def tell(self, number: int, status: str, values: Sequence[float]) -> None:
        """Tell a trial's end: its status in the record, and validation accuracy and, if searched for, `against`.

        To Optuna stopped, collapsed and diverged trials are PRUNED, with the accuracy of their last epoch, and failed
        ones FAIL. With `against`, collapsed trials keep their values, and the other three FAIL.
        """
        trial = self._open.pop(number)
        if status == "finished" or (status == "collapsed" and self.search.against):
            self.study.tell(trial, list(values))
        else:
            is_no_result = status == "failed" or self.search.against or not self.reported(number)
            self.study.tell(trial, state=TrialState.FAIL if is_no_result else TrialState.PRUNED)

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


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    pruners: dict[str, optuna.pruners.BasePruner] = {
        "asha": optuna.pruners.SuccessiveHalvingPruner(1, _REDUCTION, bootstrap_count=_STOPPED_FIRST),
        "hyperband": optuna.pruners.HyperbandPruner(1, search.epochs, _REDUCTION),
        "median": optuna.pruners.MedianPruner(n_startup_trials=_MEDIAN_TRIALS),
        "none": optuna.pruners.NopPruner(),
    }
    return pruners[search.stopping]


def _sampler(method: str, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """The sampler that suggests a trial: it remembers only what the study holds."""
    sampler = _SAMPLERS.get(method, optuna.samplers.RandomSampler)
    return sampler(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
