"""Metrics and their uncertainty, against hand-worked cases, other libraries, and simulations of known truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm, t
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from analysis.results.decisions import best_threshold, calibrated, calibration, reliability, roc
from sweeps.stats.comparisons import holm, mcnemar, mean_difference, shares_difference
from sweeps.stats.delong import auc_difference, auc_interval
from sweeps.stats.intervals import intervals, mean_interval, wilson
from sweeps.stats.resampling import luck
from trainables.training.metrics import METRICS, confusion, judge
from trainables.training.ordering import WEIGHTED, order, placements, weighted

pytestmark = pytest.mark.filterwarnings("error")

Images = tuple[np.ndarray, np.ndarray]
CASES = 2000
NEEDS_BOTH = {"balanced_accuracy", "auc", "average_precision", "eer", "tpr_at_1_fpr", "tpr_at_5_fpr"}
# Called FAKE above 1: 4 of 4 REAL and 2 of 4 FAKE rightly. -1 and 1 are scores of both.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
LOGITS = np.array([-2, -1, 0, 1, -1, 1, 2, 3], np.float32)
BY_HAND = {
    "accuracy": 6 / 8,
    "balanced_accuracy": 3 / 4,
    "precision_fake": 1,
    "recall_fake": 1 / 2,
    "f1_fake": 2 / 3,
    "precision_real": 4 / 6,
    "recall_real": 1,
    "f1_real": 4 / 5,
    "auc": 13 / 16,
    "average_precision": (1 + 1 + 3 / 4 + 4 / 7) / 4,
    "eer": 1 / 4,
    "tpr_at_1_fpr": 1 / 2,
    "tpr_at_5_fpr": 1 / 2,
    "log_loss": 0.531080,
    "brier": 0.186777,
    "ece": 0.213758,
}


def scored(seed: int, fakes: int = 150, reals: int = 250, digits: int = 1) -> Images:
    """Images in random order whose scores overlap, rounded so that many are equal."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([1, 0], [fakes, reals]))
    return labels, np.round(1.5 * (2 * labels - 1) + 2 * generator.normal(size=len(labels)), digits)


# ── metrics ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_metric_of_a_case_worked_by_hand() -> None:
    assert judge(LABELS, LOGITS, 1.0) == pytest.approx(BY_HAND, abs=1e-6)
    assert list(judge(LABELS, LOGITS)) == list(METRICS) == list(intervals(LABELS, LOGITS))


@pytest.mark.parametrize("digits", [0, 1, 9])
@pytest.mark.parametrize("fakes", [30, 150, 400])
def test_metrics_are_those_of_scikit_learn(fakes: int, digits: int) -> None:
    labels, logits = scored(fakes, fakes, digits=digits)
    values, called, probabilities = judge(labels, logits, 0.5), logits > 0.5, expit(logits)
    false, true, _ = sklearn_metrics.roc_curve(labels, logits, drop_intermediate=False)
    shares, means = calibration_curve(labels, probabilities, n_bins=15)
    sizes = np.histogram(probabilities, 15, (0, 1))[0]
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, called),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, called),
        "auc": sklearn_metrics.roc_auc_score(labels, logits),
        "average_precision": sklearn_metrics.average_precision_score(labels, logits),
        "eer": brentq(lambda rate: 1 - rate - np.interp(rate, false, true), 0, 1),
        "tpr_at_1_fpr": true[false <= 0.01].max(),
        "tpr_at_5_fpr": true[false <= 0.05].max(),
        "log_loss": sklearn_metrics.log_loss(labels, probabilities),
        "brier": sklearn_metrics.brier_score_loss(labels, probabilities),
        "ece": np.abs(shares - means) @ sizes[sizes > 0] / len(labels),
    }
    for name, label in (("fake", 1), ("real", 0)):
        expected[f"precision_{name}"] = sklearn_metrics.precision_score(labels, called, pos_label=label)
        expected[f"recall_{name}"] = sklearn_metrics.recall_score(labels, called, pos_label=label)
        expected[f"f1_{name}"] = sklearn_metrics.f1_score(labels, called, pos_label=label)
    assert values == pytest.approx(expected, abs=1e-9)


def test_more_is_better_where_the_metric_says_so() -> None:
    labels = np.repeat([0, 1], 200)
    noise = np.random.default_rng(0).normal(size=400)
    good, bad = (judge(labels, 2 * spread * (spread * (2 * labels - 1) + noise)) for spread in (2.0, 0.5))
    bad["ece"] = judge(labels, 6 * noise)["ece"]
    assert {name: good[name] > bad[name] for name in METRICS} == {
        name: metric.more_is_better for name, metric in METRICS.items()
    }


@pytest.mark.parametrize("label", [0, 1])
def test_a_slice_of_one_class_has_the_metrics_that_need_no_other(label: int) -> None:
    labels, logits = np.full(40, label), np.linspace(-1, 3, 40)
    values, ends = judge(labels, logits), intervals(labels, logits)
    own, other = ("fake", "real") if label else ("real", "fake")
    assert {name for name, value in values.items() if np.isnan(value)} == NEEDS_BOTH | {f"recall_{other}"}
    assert {name for name, pair in ends.items() if np.isnan(pair).all()} == NEEDS_BOTH | {f"recall_{other}"}
    assert values["accuracy"] == values[f"recall_{own}"] == (0.75 if label else 0.25)
    assert values["log_loss"] == pytest.approx(sklearn_metrics.log_loss(labels, expit(logits), labels=[0, 1]))
    assert best_threshold(labels, logits) == 0
    assert calibration(labels, logits) == (1, 0)
    assert [len(rates) for rates in roc(labels, logits)] == [0, 0]
    assert np.isnan(auc_difference(labels, logits, logits)).all()


def test_no_images_have_no_metrics() -> None:
    nothing = np.array([], int), np.array([])
    assert np.isnan(list(judge(*nothing).values())).all()
    assert np.isnan(list(intervals(*nothing).values())).all()
    assert reliability(*nothing)["n"].tolist() == [0] * 15
    assert np.isnan(mean_difference(np.ones((2, 0), bool), np.ones((1, 0), bool))).all()
    assert np.isnan(luck(np.ones((3, 0), bool))[0])
    assert np.isnan(mean_interval([])).all()


def test_a_score_that_is_no_number_is_the_lowest_and_called_real() -> None:
    labels, logits = np.array([0, 0, 1, 1]), np.array([np.nan, -np.inf, np.inf, 2.0])
    values = judge(labels, logits)
    assert (values["accuracy"], values["auc"], values["log_loss"]) == (1, 1, pytest.approx(np.log1p(np.exp(-2)) / 4))
    assert confusion(labels, logits, best_threshold(labels, logits)).tolist() == [[2, 0], [0, 2]]
    assert calibration(labels, logits) == (1, 0), "no REAL image has a score to go by"
    wrong = judge(labels, -logits)
    assert (wrong["auc"], wrong["log_loss"], wrong["recall_fake"]) == (0.375, math.inf, 0)
    assert np.isnan(intervals(labels, -logits)["log_loss"]).all()


def test_scores_that_are_all_equal_say_nothing() -> None:
    labels, logits = np.array([0, 1, 1, 1]), np.full(4, 0.7)
    values = judge(labels, logits)
    assert (values["auc"], values["average_precision"], values["eer"]) == (0.5, 0.75, 0.5)
    assert (values["tpr_at_1_fpr"], values["tpr_at_5_fpr"]) == (0, 0)
    assert best_threshold(labels, logits) == 0
    slope, offset = calibration(labels, logits)
    assert (slope, expit(offset)) == pytest.approx((0, (3 * 4 / 5 + 1 / 3) / 4), abs=1e-6)


def test_reliability_by_hand() -> None:
    table = reliability(np.array([0, 1, 1, 0, 1]), np.array([-40, 0.0, 0.1, 0.0, 40]), bins=4)
    assert table[["left", "right"]].to_numpy().tolist() == [[0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1]]
    assert table["n"].tolist() == [1, 0, 3, 1]
    assert table["share"].fillna(-1).tolist() == [0, -1, 2 / 3, 1]
    assert table["probability"].tolist() == pytest.approx([0, np.nan, (1 + expit(0.1)) / 3, 1], nan_ok=True)
    assert tuple(table.loc[2, ["low", "high"]]) == wilson(2 / 3, 3)


def test_the_reliability_table_holds_the_calibration_error() -> None:
    labels, logits = scored(4)
    table = reliability(labels, logits)
    error = (table["n"] * (table["share"] - table["probability"]).abs()).sum() / len(labels)
    assert error == pytest.approx(judge(labels, logits)["ece"])


@pytest.mark.parametrize("digits", [0, 9])
def test_the_roc_curve_is_thin_and_has_the_area(digits: int) -> None:
    labels, logits = scored(5, 2000, 2000, digits)
    false, true = roc(labels, logits)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(judge(labels, logits)["auc"])
    assert len(false) < 2000


def test_the_best_threshold_by_hand() -> None:
    assert best_threshold(LABELS, LOGITS) == 0.5
    assert best_threshold(np.array([0, 0, 1]), np.array([-3.0, 1.0, 4.0])) == 2.5
    assert best_threshold(np.array([0, 1, 0, 1]), np.array([-4.0, -2.0, 1.0, 3.0])) == 2
    assert best_threshold(np.array([0, 1, 0, 1]), np.array([-4.0, -1.0, 2.0, 5.0])) == -2.5, "the nearer one to 0"


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_is_better_than_the_best(seed: int) -> None:
    labels, logits = scored(seed, 20, 35)
    scores = np.unique(logits)
    middles = (scores[1:] + scores[:-1]) / 2
    values = np.array([judge(labels, logits, middle)["balanced_accuracy"] for middle in middles])
    best = best_threshold(labels, logits)
    equals = middles[np.isclose(values, values.max())]
    assert best == equals[np.abs(equals).argmin()]


def test_calibration_is_a_regression_on_platts_targets() -> None:
    labels, logits = scored(6, digits=3)
    targets = np.where(labels == 1, 151 / 152, 1 / 252)
    peer = GLM(targets, np.stack([logits, np.ones(len(logits))], 1), family=Binomial()).fit(tol=1e-12)
    assert calibration(labels, logits) == pytest.approx(peer.params, abs=1e-4)


def test_calibration_undoes_a_distortion() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 2, 20_000)
    labels = (generator.random(20_000) < expit(truth)).astype(int)
    logits = (5 * truth + 3).astype(np.float32)
    slope, offset = calibration(labels, logits)
    assert (slope, offset) == pytest.approx((1 / 5, -3 / 5), abs=0.05)
    probabilities = calibrated(logits, slope, offset)
    assert np.abs(probabilities - expit(truth)).max() < 0.02
    assert judge(labels, logits)["ece"] > 0.1 > 10 * judge(labels, np.log(probabilities / (1 - probabilities)))["ece"]


def test_calibration_of_separated_scores_is_finite() -> None:
    labels = np.repeat([0, 1], 50)
    slope, offset = calibration(labels, 1e4 * (2.0 * labels - 1))
    assert calibrated(np.array([-1e4, 1e4]), slope, offset) == pytest.approx([1 / 52, 51 / 52], abs=1e-6)


# ── weights ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("digits", [0, 9])
def test_an_image_that_counts_twice_is_as_good_as_two(digits: int) -> None:
    labels, logits = scored(7, 25, 40, digits)
    images, generator = order(labels, logits), np.random.default_rng(1)
    counts = [generator.multinomial(n, np.full(n, 1 / n), 50).astype(float) for n in (25, 40)]
    many = weighted(images, *counts)
    for place, (fakes, reals) in enumerate(zip(*(each.astype(int) for each in counts), strict=True)):
        scores = np.concatenate([np.repeat(images.fake, fakes), np.repeat(images.real, reals)])
        again = judge(np.repeat([1, 0], [25, 40]), scores)
        assert {name: many[name][place] for name in WEIGHTED} == pytest.approx({name: again[name] for name in WEIGHTED})


# ── intervals ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DISTANCE, SIZE, CUT = 1.0, 250, 0.5  # of the means, over 2; images of each label; the threshold


def binormal(generator: np.random.Generator, size: int = SIZE) -> Images:
    """Scores that are normal in each class, and the logits of their true probabilities."""
    labels = np.repeat([0, 1], size)
    return labels, 2 * DISTANCE * (DISTANCE * (2 * labels - 1) + generator.normal(size=2 * size))


def mean_over(function: Callable[[float], float]) -> float:
    """The mean of a function of the logit of a FAKE image."""
    low, high = DISTANCE - 9, DISTANCE + 9
    return float(quad(lambda x: function(2 * DISTANCE * x) * norm.pdf(x - DISTANCE), low, high)[0])


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


def coverage(ends: np.ndarray, true: float) -> float:
    return float(((ends[:, 0] <= true) & (true <= ends[:, 1])).mean())


@pytest.mark.parametrize("metric", METRICS)
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
    difference = areas[0] - areas[1]
    ends = difference - 1.959964 * error, difference + 1.959964 * error
    p = 2 * norm.sf(abs(difference) / error)
    assert auc_difference(labels, first, second) == pytest.approx((difference, *ends, p), abs=1e-6)
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


def test_perfect_areas_cannot_be_told_apart() -> None:
    labels = np.repeat([0, 1], 20)
    difference, low, high, p = auc_difference(labels, 2.0 * labels, 5.0 * labels)
    assert (difference, p) == (0, 1)
    assert np.isnan([low, high]).all()


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
        differences.append(auc_difference(labels, first, second))
    frame = np.array(differences)
    assert 0.935 < coverage(frame[:, 1:3], true) < 0.965
    assert (frame[:, 3] < 0.05).mean() == pytest.approx(1 - coverage(frame[:, 1:3], 0.0), abs=0.002)
    assert distance or 0.035 < (frame[:, 3] < 0.05).mean() < 0.065


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


def expected_accuracy(skill: float, spread: float) -> float:
    return float(norm.cdf(skill / math.sqrt(1 + 0.5**2 + spread**2 + 0.5**2)))


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
