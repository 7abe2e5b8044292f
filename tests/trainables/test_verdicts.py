"""Verdicts: what collapsed or diverged, and where training stops because nothing is learnt."""

import numpy as np
import pytest

from support.networks import losses
from trainables import Recipe
from trainables.training.loop import Run, score_best, start, train
from trainables.training.outcome import chance_level, verdict
from trainables.training.selection import Data


def judged(data: Data, scores: np.ndarray, loss: float = 0.5) -> tuple[str, str]:
    return verdict(losses(0.6, loss), data, scores, "all epochs are trained")


def test_constant_predictions_are_a_collapse(data: Data) -> None:
    assert judged(data, np.full(50, 3.0)) == ("collapsed", "it says FAKE for every validation image")
    assert judged(data, np.full(50, -3.0)) == ("collapsed", "it says REAL for every validation image")


def test_chance_is_a_collapse_and_clearly_more_is_not(data: Data) -> None:
    labels = data.validation.labels  # 50 of them: two standard errors are 0.141
    right = np.where(labels == 1, 1.0, -1.0)
    for wrong, status in ((18, "collapsed"), (17, "finished")):
        scores = right * np.where(np.arange(50) < wrong, -1, 1)
        assert judged(data, scores)[0] == status


def test_an_infinite_loss_is_a_divergence(data: Data) -> None:
    assert judged(data, np.ones(50), loss=float("inf"))[0] == "diverged"


def test_training_stops_where_nothing_is_learnt(data: Data) -> None:
    """A rate of zero: after three epochs, and a thousand steps, for a network may start slowly."""
    for batch_size, epochs in ((1, 5), (200, 8)):  # 200 steps an epoch, and one
        recipe = Recipe("age-c2-f1", epochs=8, learning_rate=0.0, batch_size=batch_size)
        run = train(start(recipe, data), data)
        assert len(run.history) == epochs, run.history
        assert verdict(run.history, data, score_best(run, data)["validation"], run.stop_reason or "")[0] == "collapsed"
    assert run.stop_reason == "all epochs are trained"


def test_an_epoch_is_at_chance_by_both_its_accuracies(data: Data) -> None:
    run = start(Recipe("age-c2-f1", epochs=100, batch_size=1), data)
    for train_accuracy, validation_accuracy, is_stopped in ((0.5, 0.5, True), (0.6, 0.5, False), (0.5, 0.7, False)):
        row = {"train_loss": 0.7, "validation_loss": 0.7}
        row |= {"train_accuracy": train_accuracy, "validation_accuracy": validation_accuracy}
        run.history = [row] * 5
        assert (run.stop_reason == "accuracy within noise of chance for 5 epochs") == is_stopped


def test_the_level_of_chance_by_hand() -> None:
    assert chance_level(np.array([0, 1] * 50)) == pytest.approx(0.5 + 2 * 0.05)
    assert chance_level(np.array([0] * 20 + [1] * 80)) == pytest.approx(0.8 + 2 * 0.04)


def test_training_stops_at_a_loss_that_is_no_number(data: Data) -> None:
    def poison(run: Run) -> None:
        run.model.set_weights([np.full_like(weight, np.nan) for weight in run.model.get_weights()])

    run = train(start(Recipe("age-c2-f1", epochs=5), data), data, [poison])
    assert len(run.history) == 2
    assert run.best_epoch == 1
    scores = score_best(run, data)["validation"]
    assert verdict(run.history, data, scores, run.stop_reason or "")[0] == "diverged"
