"""Verdicts: what collapsed or diverged, and where training stops because nothing is learnt."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import binom

from support.networks import losses, split_of
from trainables import Recipe
from trainables.training.loop import Run, score_best, start, train
from trainables.training.outcome import area_level, chance_level, verdict
from trainables.training.selection import Data


def judged(data: Data, scores: np.ndarray, loss: float = 0.1) -> tuple[str, str]:
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


def test_few_images_judge_nobody_and_enough_do(data: Data) -> None:
    """A perfect network on 4 images may be lucky, on 42 it is not."""
    for images, says in ((4, "too few to tell learning from chance"), (42, "all epochs are trained")):
        few = dataclasses.replace(data, validation=split_of(images, 3))
        status, reason = judged(few, np.where(few.validation.labels == 1, 1.0, -1.0))
        assert status == "finished"
        assert says in reason
        assert judged(few, np.random.default_rng(0).normal(size=images))[0] == (
            "finished" if images == 4 else "collapsed"
        )


def test_a_network_that_ranks_has_learnt_something_wherever_its_scores_lie(data: Data) -> None:
    scores = np.where(data.validation.labels == 1, 2.0, 1.0)
    reason = "all epochs are trained; at probability 0.5 it says FAKE for every validation image"
    assert judged(data, scores) == ("finished", reason)


def rows(train_accuracies: Sequence[float], validation_accuracies: Sequence[float]) -> list[dict[str, float]]:
    return [
        {"train_loss": 0.5, "validation_loss": 0.5, "train_accuracy": train, "validation_accuracy": validation}
        | {"validation_auc": validation}
        for train, validation in zip(train_accuracies, validation_accuracies, strict=True)
    ]


@pytest.mark.parametrize("peak", [0.7, 0.95])
@pytest.mark.parametrize("epochs", [2, 5, 10])
def test_a_run_at_chance_in_its_last_half_has_collapsed(data: Data, peak: float, epochs: int) -> None:
    good, lost = epochs // 2, epochs - epochs // 2
    accuracies = [peak] * good + [0.5] * lost
    best = np.where(data.validation.labels == 1, 1.0, -1.0)  # of the peak, whose weights were kept
    status, reason = verdict(rows(accuracies, accuracies), data, best, "all epochs are trained")
    assert status == "collapsed"
    assert f"from epoch {good + 1} on, after {peak:.3f} on validation at epoch 1" in reason
    accuracies[-1] = peak
    assert verdict(rows(accuracies, accuracies), data, best, "")[0] == "finished"


@pytest.mark.parametrize("seed", range(12))
def test_overfitting_is_no_collapse(data: Data, seed: int) -> None:
    validation = np.linspace(0.8, 0.5, 10) + np.random.default_rng(seed).normal(0, 0.03, 10)
    history = rows(np.linspace(0.7, 1.0, 10).tolist(), validation.tolist())
    assert verdict(history, data, np.where(data.validation.labels == 1, 1.0, -1.0), "")[0] == "finished"


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
        row |= {"train_accuracy": train_accuracy, "validation_accuracy": validation_accuracy, "validation_auc": 0.5}
        run.history = [row] * 5
        assert (run.stop_reason == "accuracy within noise of chance for 5 epochs") == is_stopped


def test_the_level_of_chance_by_hand() -> None:
    """Of 100 fair coins, 60 or more show heads in 2.8 % of cases, 61 or more in 1.8 %."""
    assert chance_level(np.array([0, 1] * 50)) == 0.60
    assert [chance_level(np.array([0, 1] * pairs)) for pairs in (2, 21)] == [1.0, 27 / 42]
    level = round(100 * chance_level(np.array([0] * 20 + [1] * 80)))
    assert binom.sf(level - 1, 100, 0.8) > 0.025 >= binom.sf(level, 100, 0.8)
    assert area_level(np.array([0, 1] * 50)) == pytest.approx(0.5 + 1.96 * (101 / (12 * 2500)) ** 0.5, abs=1e-4)
    assert area_level(np.zeros(5, int)) == 1.0


def test_training_stops_at_a_loss_that_is_no_number(data: Data) -> None:
    def poison(run: Run) -> None:
        run.model.set_weights([np.full_like(weight, np.nan) for weight in run.model.get_weights()])

    run = train(start(Recipe("age-c2-f1", epochs=5), data), data, [poison])
    assert len(run.history) == 2
    assert run.best_epoch == 1
    scores = score_best(run, data)["validation"]
    assert verdict(run.history, data, scores, run.stop_reason or "")[0] == "diverged"
