"""Comparisons of networks: tests by hand, their errors by simulation, and the luck of the winner."""

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from support.scores import CASES, coverage, expected_accuracy
from sweeps.stats.comparisons import holm, mcnemar, mean_difference, shares_difference
from sweeps.stats.intervals import mean_interval
from sweeps.stats.resampling import luck

pytestmark = pytest.mark.filterwarnings("error")


# ── differences of accuracy ───────────────────────────────────────────────────────────────────────────────────────────


def disagreeing(only_a: int, only_b: int, both: int = 100) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([True, False, True], [only_a, only_b, both]), np.repeat(
        [False, True, True], [only_a, only_b, both]
    )


def test_mcnemars_test_by_hand() -> None:
    assert mcnemar(*disagreeing(5, 15)) == pytest.approx(2 * 21_700 / 2**20)  # exact: 20 tosses, at most 5 heads
    assert mcnemar(*disagreeing(20, 40)) == pytest.approx(math.erfc(math.sqrt(20**2 / 60 / 2)))
    assert mcnemar(*disagreeing(0, 0)) == 1


def test_holms_correction_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, np.nan, 0.6]) == pytest.approx([0.02, np.nan, 0.6], nan_ok=True)
    assert holm([]).tolist() == []


def test_a_mean_interval_by_hand() -> None:
    assert mean_interval([1, 2, 3]) == pytest.approx((2, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    assert mean_interval([0.5])[0] == 0.5
    assert np.isnan(mean_interval([0.5])[1:]).all()


def test_one_seed_each_is_the_paired_comparison() -> None:
    first, second = disagreeing(12, 30, 158)
    error = math.sqrt((13 + 31 - 18**2 / 202) / 202**2)  # Bonett & Price 2012
    difference, low, high, p = mean_difference(first[None], second[None])
    assert (difference, p) == (-18 / 200, mcnemar(first, second))
    assert (low, high) == pytest.approx((-18 / 202 - 1.96 * error, -18 / 202 + 1.96 * error), abs=1e-3)


def test_the_variance_over_images_and_seeds_is_that_of_the_analysis_of_variance() -> None:
    generator = np.random.default_rng(0)
    easy = generator.normal(1, 1, 50)
    rights = [generator.normal(size=(seeds, 50)) + easy + generator.normal(size=(seeds, 1)) > 0 for seeds in (3, 4)]
    variances, freedoms = [], []
    for right in rights:
        residuals = right - right.mean(1, keepdims=True) - right.mean(0) + right.mean()
        interaction = (residuals**2).sum() / ((len(right) - 1) * 49)
        raw = right.mean(axis=1).var(ddof=1)
        assert raw > interaction / 50, "a seed effect to be seen"
        variances.append((raw - interaction / 50) / len(right))
        freedoms.append((raw / len(right)) ** 2 / (len(right) - 1))
    pairs = np.append(rights[0].mean(0) - rights[1].mean(0), [1, -1])
    variance = sum(variances) + pairs.var() / 52
    freedom = variance**2 / (sum(freedoms) + (pairs.var() / 52) ** 2 / 51)
    half = t.ppf(0.975, freedom) * math.sqrt(variance)
    difference, low, high, p = mean_difference(*rights)
    assert difference == pytest.approx(rights[0].mean() - rights[1].mean())
    assert (low, high) == pytest.approx((pairs.mean() - half, pairs.mean() + half))
    assert p == pytest.approx(2 * t.sf(abs(pairs.mean()) / math.sqrt(variance), freedom))


def trained(generator: np.random.Generator, seeds: int, easy: np.ndarray, skill: float, spread: float) -> np.ndarray:
    """Which images the seeds of a network are right about: by image, network and image, seed, and seed and image."""
    own = easy + 0.5 * generator.normal(size=len(easy))
    margins = skill + own + generator.normal(0, spread, (seeds, 1)) + 0.5 * generator.normal(size=(seeds, len(easy)))
    return margins > 0


@pytest.mark.parametrize("ahead", [0.0, 0.2])
@pytest.mark.parametrize(
    ("seeds", "other", "spread", "least"),
    [(1, 1, 0, 0.935), (3, 3, 0, 0.935), (3, 3, 0.2, 0.935), (5, 5, 0.1, 0.935), (1, 4, 0.1, 0.92), (2, 5, 0.2, 0.91)],
)
def test_networks_differ_by_chance_5_times_in_100(
    seeds: int, other: int, spread: float, least: float, ahead: float
) -> None:
    generator, differences = np.random.default_rng(4), []
    for _ in range(CASES):
        easy = generator.normal(size=400)
        first, second = (trained(generator, n, easy, s, spread) for n, s in ((seeds, 1 + ahead), (other, 1)))
        differences.append(mean_difference(first, second))
    frame = np.array(differences)
    true = expected_accuracy(1 + ahead, spread) - expected_accuracy(1, spread)
    assert least < coverage(frame[:, 1:3], true) < 0.985
    assert ahead or 0.015 < (frame[:, 3] < 0.05).mean() < 1 - least


@pytest.mark.parametrize(("seeds", "other", "spread"), [(1, 1, 0.0), (4, 4, 0.2), (1, 4, 0.2)])
def test_networks_on_different_images_differ_by_chance_5_times_in_100(seeds: int, other: int, spread: float) -> None:
    generator, differences = np.random.default_rng(5), []
    for _ in range(CASES):
        sides: list[tuple[np.ndarray, int]] = []
        for n, images in ((seeds, 300), (other, 500)):
            sides.append((trained(generator, n, generator.normal(size=images), 1, spread).mean(axis=1), images))
        differences.append(shares_difference(*sides[0], *sides[1]))
    frame = np.array(differences)
    assert 0.935 < coverage(frame[:, 1:3], 0.0) < 0.985
    assert 0.015 < (frame[:, 3] < 0.05).mean() < 0.065


def test_shares_of_different_images_by_hand() -> None:
    difference, low, high, p = shares_difference(np.array([0.9]), 98, np.array([0.8]), 198)
    shares = (0.9 * 98 + 1) / 100, (0.8 * 198 + 1) / 200  # Agresti & Caffo 2000
    error = math.sqrt(shares[0] * (1 - shares[0]) / 100 + shares[1] * (1 - shares[1]) / 200)
    middle = shares[0] - shares[1]
    assert difference == pytest.approx(0.1)
    assert (low, high) == pytest.approx((middle - 1.96 * error, middle + 1.96 * error), abs=2e-3)
    assert p == pytest.approx(2 * norm.sf(middle / error), abs=2e-3)


def test_a_mean_over_seeds_holds_the_truth_95_times_in_100() -> None:
    values = np.random.default_rng(6).normal(0.9, 0.01, (CASES, 4))
    ends = np.array([mean_interval(each)[1:] for each in values])
    assert 0.935 < coverage(ends, 0.9) < 0.965


# ── the luck of the winner ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_clear_winner_has_no_luck() -> None:
    generator = np.random.default_rng(0)
    right = generator.random((6, 2000)) < np.array([0.7, 0.95, 0.7, 0.6, 0.7, 0.5])[:, None]
    optimism, first = luck(right)
    assert abs(optimism) < 5e-4
    assert first.tolist() == [0, 1, 0, 0, 0, 0]


def test_the_best_of_equals_is_lucky_by_about_as_much_as_estimated() -> None:
    generator, estimates, true = np.random.default_rng(1), [], []
    for _ in range(40):
        right = generator.random((20, 500)) < 0.9
        optimism, first = luck(right, resamples=300)
        assert first.sum() == pytest.approx(1)
        estimates.append(optimism)
        true.append(right.mean(axis=1).max() - 0.9)
    assert np.mean(estimates) * math.sqrt(2) == pytest.approx(np.mean(true), rel=0.1)


def test_trials_that_are_right_about_the_same_images_share_the_first_place() -> None:
    right = np.tile(np.random.default_rng(2).random(300) < 0.8, (4, 1))
    optimism, first = luck(right)
    assert abs(optimism) < 2e-3
    assert first == pytest.approx([0.25] * 4)
