"""The luck of the winner: how much of its validation accuracy it owes to having been chosen."""

import numpy as np
import pytest
from scipy.stats import norm

from sweeps.stats.resampling import comes_first, leave_one_out, luck

pytestmark = pytest.mark.filterwarnings("error")


def test_a_clear_winner_has_no_luck() -> None:
    generator = np.random.default_rng(0)
    right = generator.random((6, 2000)) < np.array([0.7, 0.95, 0.7, 0.6, 0.7, 0.5])[:, None]
    assert abs(luck(right)) < 2e-3
    assert comes_first(right).tolist() == [0, 1, 0, 0, 0, 0]


def test_trials_that_are_right_about_the_same_images_share_the_first_place() -> None:
    right = np.tile(np.random.default_rng(2).random(300) < 0.8, (4, 1))
    assert abs(luck(right)) < 5e-3
    assert comes_first(right) == pytest.approx([0.25] * 4)


def test_without_images_there_is_no_luck_to_tell() -> None:
    assert np.isnan(luck(np.ones((3, 0), bool)))
    assert np.isnan(luck(np.ones((0, 9), bool)))


@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("epochs", [1, 6])
def test_the_luck_is_about_what_a_new_sample_of_images_takes_away(spread: float, epochs: int) -> None:
    """`spread` of the true accuracies, by the standard error of an accuracy beside another."""
    generator, trials, images = np.random.default_rng(1), 12, 1_000
    noise, told, true = np.sqrt(0.09 * 0.45 / images), [], []
    for _ in range(60):
        truth = (
            0.9
            + spread * noise * generator.normal(size=(trials, 1))
            + 0.3 * noise * generator.normal(size=(trials, epochs))
        )
        truth = np.clip(truth, 0.5, 0.99).ravel()
        shared = generator.normal(0, np.sqrt(0.6), images)
        own = np.repeat(generator.normal(0, np.sqrt(0.25), (trials, images)), epochs, axis=0)
        margins = shared + own + generator.normal(0, np.sqrt(0.15), (trials * epochs, images))
        right = margins + norm.ppf(truth)[:, None] > 0
        best = right.mean(axis=1).argmax()
        told.append(luck(right, splits=50))
        true.append(right[best].mean() - truth[best])
    error = 2 * np.std(np.array(told) - true) / np.sqrt(60)  # of this simulation
    assert np.mean(told) == pytest.approx(np.mean(true), abs=max(0.15 * np.mean(true), 0.0005) + error)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_the_number_to_quote_is_that_of_another_training(spread: float) -> None:
    """Seeds vary by .56 points, validation's images by .7, test's by .2, and networks by `spread` times .56."""
    generator, told, flattering, true = np.random.default_rng(8), [], [], []
    for _ in range(4_000):
        truth = 90 + spread * 0.56 * generator.normal(size=(12, 1))
        of_seeds = truth + 0.56 * generator.normal(size=(12, 3))
        validation = of_seeds + 0.7 * generator.normal(size=(12, 3))
        test = of_seeds + 0.2 * generator.normal(size=(12, 1))
        best = validation.mean(axis=1).argmax()
        told.append(leave_one_out(validation, test))
        flattering.append(test[best].mean())
        true.append(truth[best, 0])
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.1)
    assert spread > 1 or np.mean(flattering) - np.mean(true) > 0.15
