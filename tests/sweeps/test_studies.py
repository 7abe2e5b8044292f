"""Studies: made again from a record they ask and judge as before."""

from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from data_prep.errors import InputError
from support.searches import NETWORK, RATE, rungs
from sweeps.searching.space import Hyperparameter, one_of
from sweeps.searching.study import Search, SearchStudy


def curve(values: dict[str, Any], epoch: int) -> float:
    """A made-up accuracy: best at a rate of 1e-3."""
    return 0.9 - 0.1 * abs(np.log10(values["learning_rate"]) + 3) - 0.2 / epoch


def run_study(study: SearchStudy, trials: int) -> None:
    for _ in range(trials):
        number, values = study.ask()  # type: ignore[misc]
        stopped = any(study.report(number, epoch, curve(values, epoch)) for epoch in range(1, 10))
        study.tell(number, "stopped" if stopped else "finished", [curve(values, 9)])


@pytest.mark.parametrize("method", ["tpe", "random", "cmaes"])
@pytest.mark.parametrize("stopping", ["asha", "hyperband", "median"])
def test_a_study_made_again_asks_and_judges_as_the_first(method: str, stopping: str) -> None:
    pytest.importorskip("cmaes") if method == "cmaes" else None
    asked = Search([RATE], 40, 9, method, stopping, first=[{"learning_rate": 3e-3}])
    one = SearchStudy(asked)
    run_study(one, 30)
    other = SearchStudy(asked)
    for trial in one.study.get_trials():
        other.replay(trial.number, trial.params, trial.intermediate_values)
        other.tell(trial.number, "stopped" if trial.state == TrialState.PRUNED else "finished", [trial.value or 0])
    assert rungs(one.study) == rungs(other.study)
    assert [trial.state for trial in one.study.trials] == [trial.state for trial in other.study.trials]
    assert {trial.state for trial in one.study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert one.ask() == other.ask()


def test_stopped_trials_are_pruned_ones_with_their_last_value() -> None:
    study = SearchStudy(Search([RATE], 40, 9, "random", "asha"))
    run_study(study, 30)
    pruned = study.study.get_trials(states=[TrialState.PRUNED])
    assert len(pruned) > 10
    for trial in pruned:
        assert trial.last_step in (1, 3)
        assert trial.value == trial.intermediate_values[trial.last_step]


def test_the_first_that_was_given_is_trained_to_the_end_and_judges_the_others() -> None:
    bad, good = {"learning_rate": 1e-2}, {"learning_rate": 1e-3}
    study = SearchStudy(Search([RATE], 5, 9, "random", first=[good, bad]))
    assert study.ask() == (0, good)
    assert not any(study.report(0, epoch, curve(good, epoch)) for epoch in range(1, 10))
    assert rungs(study.study)[0] == {rung: curve(good, epoch) for rung, epoch in enumerate((1, 3, 9))}
    assert study.ask() == (1, bad)
    assert study.report(1, 1, curve(bad, 1))


def test_nobody_goes_on_for_being_the_best_of_one() -> None:
    study = SearchStudy(Search([RATE], 5, 9, "random"))
    for number, (accuracy, is_stopped) in enumerate([(0.6, True), (0.5, True), (0.7, False)]):
        assert study.ask()[0] == number  # type: ignore[index]
        assert study.report(number, 1, accuracy) == is_stopped


def test_no_configuration_is_suggested_twice_and_a_space_ends() -> None:
    study = SearchStudy(Search([Hyperparameter("batch_size", one_of(16, 32, 64))], 10, 1, "random"))
    assert sorted(study.ask()[1]["batch_size"] for _ in range(3)) == [16, 32, 64]  # type: ignore[index]
    assert study.ask() is None
    states = [trial.state for trial in study.study.trials]
    assert states.count(TrialState.RUNNING) == 3
    assert set(states) == {TrialState.RUNNING, TrialState.FAIL}


def test_two_objectives_have_a_front_and_stop_nobody() -> None:
    asked = Search([RATE], 10, 3, stopping="none", against="flops")
    study = SearchStudy(asked)
    for _ in range(10):
        number, values = study.ask()  # type: ignore[misc]
        assert not any(study.report(number, epoch, 0.5) for epoch in (1, 2, 3))
        study.tell(number, "finished", [curve(values, 3), 1 / values["learning_rate"]])
    assert 1 <= len(study.study.best_trials) <= 10
    with pytest.raises(InputError, match="stops no trial"):
        Search([RATE], 10, 3, against="flops").check()


def test_a_method_that_cannot_search_a_space_says_so() -> None:
    with pytest.raises(InputError, match="numbers only"):
        Search([NETWORK, RATE], 10, 3, "cmaes").check()
