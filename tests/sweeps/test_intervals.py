"""Intervals against other libraries and simulations of known truth."""

import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from support.scores import CASES, CUT, DISTANCE, binormal, coverage, mean_over, scored
from sweeps.stats.families import auc_values, estimate, listed_pairs
from sweeps.stats.intervals import auc_interval, intervals, wilson
from trainables.training.metrics import METRICS, judge
from trainables.training.weighted_metrics import placements

pytestmark = pytest.mark.filterwarnings("error")


# ── intervals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def truth() -> dict[str, float]:
    """The metrics of infinitely many such images, but for the calibration error."""
    cut = CUT / (2 * DISTANCE)
    recall, false = norm.sf(cut - DISTANCE), norm.sf(cut + DISTANCE)
    rest = 1 - false + 1 - recall
    both = (recall + 1 - false) / 2
    rates = {f"tpr_at_{percent}_fpr": norm.sf(norm.isf(percent / 100) - 2 * DISTANCE) for percent in (1, 5)}
    precision = {"precision_fake": recall / (recall + false), "precision_real": (1 - false) / rest}
    f1 = {"f1_fake": 2 * recall / (1 + recall + false), "f1_real": 2 * (1 - false) / (rest + 1)}
    recalls = {"recall_fake": recall, "recall_real": 1 - false}
    of_order = {"auc": norm.cdf(math.sqrt(2) * DISTANCE), "eer": norm.sf(DISTANCE)}
    losses = {"log_loss": mean_over(lambda z: np.logaddexp(0, -z)), "brier": mean_over(lambda z: expit(-z) ** 2)}

    def precision_at(logit: float) -> float:
        x = logit / (2 * DISTANCE)
        return float(norm.sf(x - DISTANCE) / (norm.sf(x - DISTANCE) + norm.sf(x + DISTANCE)))

    average = {"average_precision": mean_over(precision_at)}
    both_accuracies = {"accuracy": both, "balanced_accuracy": both}
    return both_accuracies | precision | f1 | recalls | of_order | losses | rates | average


@pytest.fixture(scope="module")
def simulated() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every metric (CASES,) of as many sets of images, and its interval (CASES, 2)."""
    generator = np.random.default_rng(0)
    cases = [binormal(generator) for _ in range(CASES)]
    values = [judge(*case, CUT) for case in cases]
    ends = [intervals(*case, CUT) for case in cases]
    return (
        {name: np.array([each[name] for each in values]) for name in METRICS},
        {name: np.array([each[name] for each in ends]) for name in METRICS},
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.slow
def test_intervals_hold_the_truth_95_times_in_100(
    simulated: tuple[dict[str, np.ndarray], dict[str, np.ndarray]], metric: str
) -> None:
    values, ends = simulated
    true = truth().get(metric, values[metric].mean())  # the calibration error's is that of samples of this size
    assert 0.92 < coverage(ends[metric], true) < 0.99
    assert ((ends[metric][:, 0] <= values[metric]) & (values[metric] <= ends[metric][:, 1])).all()


def test_wilsons_interval_is_newcombes_and_of_a_share() -> None:
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert wilson(0, 20) == (0, pytest.approx(0.1611, abs=5e-5))
    assert wilson(1, 20) == (pytest.approx(0.8389, abs=5e-5), 1)


def test_wilson_interval_of_a_published_case() -> None:
    low, high = wilson(0.95, 20_000)  # ± 0.30 points, as in FACTS
    assert (high - low) / 2 == pytest.approx(0.0030, abs=5e-5)
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert np.isnan(wilson(float("nan"), 10)).all()
    assert np.isnan(wilson(0.5, float("nan"))).all()


def test_intervals_of_perfect_scores_have_a_width() -> None:
    labels = np.repeat([0, 1], 100)
    ends = intervals(labels, 8.0 * labels - 4)
    perfect = {name: pair for name, pair in ends.items() if name not in ("eer", "log_loss", "brier", "ece")}
    assert all(0.9 < low < 0.999 and high == pytest.approx(1) for low, high in perfect.values())
    assert ends["eer"] == (0, pytest.approx(wilson(0, 200)[1]))


def test_intervals_are_the_same_every_time_but_for_the_seed() -> None:
    images = scored(8)
    assert intervals(*images) == intervals(*images)
    assert intervals(*images)["brier"] != intervals(*images, seed=1)["brier"]


# ── the area under the ROC curve ──────────────────────────────────────────────────────────────────────────────────────


def placed_by_hand(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components, one pair of images at a time."""
    fake, real = logits[labels == 1], logits[labels == 0]
    wins = np.array([[1.0 if one > other else 0.5 if one == other else 0.0 for other in real] for one in fake])
    return wins.mean(axis=1), wins.mean(axis=0)


@pytest.mark.parametrize("digits", [0, 9])
def test_delongs_test_is_that_of_all_pairs(digits: int) -> None:
    labels, first = scored(9, 25, 40, digits)
    second = np.round(first + np.random.default_rng(2).normal(size=65), digits)
    pairs = [placed_by_hand(labels, logits) for logits in (first, second)]
    for shares, expected in zip(placements(labels, first), pairs[0], strict=True):
        assert shares == pytest.approx(expected)
    covariance = sum(np.cov([pair[side] for pair in pairs]) / len(pairs[0][side]) for side in (0, 1))
    areas = [pair[0].mean() for pair in pairs]
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    family = estimate([auc_values(labels, logits)[None] for logits in (first, second)])
    assert family.means == pytest.approx(areas)
    variance = family.covariance[0, 0] + family.covariance[1, 1] - 2 * family.covariance[0, 1]
    assert math.sqrt(variance) == pytest.approx(error, rel=0.03)  # of n - 1, not of n1 - 1 and n0 - 1
    half = 1.959964 * math.sqrt(covariance[0, 0]) / (areas[0] * (1 - areas[0]))
    middle = math.log(areas[0] / (1 - areas[0]))
    assert auc_interval(labels, first) == pytest.approx((expit(middle - half), expit(middle + half)), abs=1e-6)


@pytest.mark.parametrize(("fakes", "reals"), [(1, 1), (1, 30), (30, 30), (5000, 5000)])
def test_a_perfect_area_has_newcombes_interval(fakes: int, reals: int) -> None:
    low, high = auc_interval(np.repeat([1, 0], [fakes, reals]), np.repeat([1.0, 0.0], [fakes, reals]))
    assert (high, auc_interval(np.repeat([1, 0], [fakes, reals]), np.repeat([0.0, 1.0], [fakes, reals]))[0]) == (1, 0)
    first, second, more = low / (2 - low), 2 * low**2 / (1 + low), (fakes + reals) / 2 - 1  # Hanley & McNeil 1982
    spread = low * (1 - low) + more * (first - low**2) + more * (second - low**2)
    assert (1 - low) / math.sqrt(spread / (fakes * reals)) == pytest.approx(1.959964, rel=1e-4)


@pytest.mark.parametrize("distance", [0.0, 0.2])
def test_areas_differ_by_chance_5_times_in_100(distance: float) -> None:
    generator, labels = np.random.default_rng(3), np.repeat([0, 1], 80)
    true = norm.cdf((1 + distance) / math.sqrt(2)) - norm.cdf(1 / math.sqrt(2))
    differences = []
    for _ in range(CASES):
        common = 0.7 * generator.normal(size=160)
        first, second = (
            (1 + more) * labels + common + math.sqrt(0.51) * generator.normal(size=160) for more in (distance, 0)
        )
        found, halves = listed_pairs(estimate([auc_values(labels, one)[None] for one in (first, second)]), [0], [1])
        differences.append((found[0] - halves[0], found[0] + halves[0]))
    assert 0.935 < coverage(np.array(differences), true) < 0.97


def test_intervals_of_clustered_images_hold_with_seven_unequal_clusters() -> None:
    generator, families, holds = np.random.default_rng(7), 300, []
    clusters = np.repeat(np.arange(7), [180, 120, 90, 72, 60, 48, 30])
    labels = np.resize(np.array([0, 1]), len(clusters))
    spread = (0.3**2 + 0.95**2) ** 0.5
    truth = {"accuracy": 0.85, "recall_fake": 0.85, "auc": norm.cdf(2 * norm.ppf(0.85) * spread / (0.95 * 2**0.5))}
    for _ in range(families):
        hard = generator.normal(0, 0.3, 7)[clusters] + generator.normal(0, 0.95, len(clusters))
        logits = (2 * labels - 1) * (norm.ppf(0.85) * spread + hard)
        found = intervals(labels, logits, 0.0, clusters)
        holds.append([found[name][0] <= truth[name] <= found[name][1] for name in ("accuracy", "recall_fake")])
        assert all(0 <= low <= high for low, high in found.values())
    assert np.mean(holds, axis=0).min() >= 0.92
    plain = intervals(labels, logits, 0.0)
    assert found["accuracy"][1] - found["accuracy"][0] > 1.2 * (plain["accuracy"][1] - plain["accuracy"][0])
    assert np.isnan(list(intervals(labels, logits, 0.0, np.zeros(len(labels), int)).values())).all()
    many = intervals(labels, logits, 0.0, np.arange(len(labels)))
    assert many["accuracy"] == pytest.approx(plain["accuracy"], abs=0.006)
