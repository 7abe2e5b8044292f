"""Metrics of a trial, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, roc_auc_score
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from analysis.results.decisions import (
    calibrated,
    calibration,
    false_alarm_threshold,
    platt,
    reliability,
    roc,
    share_right,
)
from data_prep.errors import InputError
from support.scores import scored
from sweeps.stats.intervals import intervals, wilson
from trainables.training import metrics
from trainables.training.metrics import METRICS, best_threshold, confusion, epoch_metrics, judge
from trainables.training.weighted_metrics import WEIGHTED, order, weighted

pytestmark = pytest.mark.filterwarnings("error")


def test_metrics_equal_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500)
    scores = generator.normal(labels, 1).round(1).astype(np.float32)  # rounded: ties
    probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
    found = epoch_metrics(labels, scores)
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities))
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, scores > 0))
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores))


def test_metrics_by_hand() -> None:
    found = epoch_metrics(np.array([0, 0, 1, 1]), np.array([-1.0, 1.0, 1.0, 2.0]))
    assert found["accuracy"] == 0.75
    assert found["auc"] == (1 + 1 + 0.5 + 1) / 4
    assert np.isnan(epoch_metrics(np.array([1, 1]), np.array([1.0, 2.0]))["auc"])


def test_confusion_of_a_case_worked_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    logits = np.array([-1.0, 0.0, 3.0, 2.0, -0.5, 0.1, np.nan])  # 0 and NaN are called REAL
    counts = metrics.confusion(labels, logits)
    assert counts.tolist() == [[2, 1], [2, 2]]
    assert metrics.accuracy(counts) == 4 / 7
    assert metrics.recall(counts) == 2 / 4
    assert metrics.precision(counts) == 2 / 3
    assert metrics.confusion(labels, logits, threshold=2.5).tolist() == [[2, 1], [4, 0]]


def test_confusion_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 2, 1000), random.normal(size=1000)
    counts = metrics.confusion(labels, logits)
    assert (counts == confusion_matrix(labels, logits > 0)).all()
    assert metrics.accuracy(counts) == accuracy_score(labels, logits > 0)


def test_confusion_without_images_or_without_one_label() -> None:
    assert metrics.confusion(np.array([], int), np.array([])).tolist() == [[0, 0], [0, 0]]
    only_real = metrics.confusion(np.array([0, 0]), np.array([1.0, -1.0]))
    assert only_real.tolist() == [[1, 1], [0, 0]]
    assert np.isnan(metrics.recall(only_real))
    assert np.isnan(metrics.accuracy(np.zeros((2, 2), int)))


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
    assert not len(roc(labels, logits))


def test_no_images_have_no_metrics() -> None:
    nothing = np.array([], int), np.array([])
    assert np.isnan(list(judge(*nothing).values())).all()
    assert np.isnan(list(intervals(*nothing).values())).all()
    assert not len(reliability(*nothing))
    assert not len(roc(*nothing))


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
    slope, offset = platt(labels, logits)
    assert (slope, expit(offset)) == pytest.approx((0, (3 * 4 / 5 + 1 / 3) / 4), abs=1e-6)
    assert calibration(labels, logits) == (1, 0), "four images are no evidence"


def test_reliability_by_hand() -> None:
    table = reliability(np.array([0, 1, 1, 0, 1]), np.array([0.0, 0.5, 0.52, 0.1, 1.0]), bins=2)
    assert table["n"].tolist() == [3, 2], "as many images in each bin as can be"
    assert table["share"].tolist() == [1 / 3, 1]
    assert table["probability"].tolist() == pytest.approx([0.2, 0.76])
    assert tuple(table.loc[0, ["low", "high"]]) == wilson(1 / 3, 3)
    assert reliability(np.array([0, 1]), np.array([0.3, 0.4]))["n"].tolist() == [1, 1]


@pytest.mark.parametrize("digits", [0, 9])
def test_the_roc_curve_is_that_of_scikit_learn(digits: int) -> None:
    labels, logits = scored(5, 2000, 2000, digits)
    table = roc(labels, logits)
    false, true, _ = sklearn_metrics.roc_curve(labels, logits, drop_intermediate=False)
    reached = [true[false <= rate + 1e-9].max() for rate in table["false_alarms"]]
    assert table["recall"].tolist() == pytest.approx(reached)
    assert (table["false_alarms"].iloc[0], table["recall"].iloc[-1]) == (1 / 2000, 1)
    assert (table["low"] <= table["recall"]).all()
    assert (table["recall"] <= table["high"]).all()


@pytest.mark.parametrize(("images", "distance"), [(200, 1.5), (2000, 2.5)])
def test_the_band_of_the_roc_curve_covers(images: int, distance: float) -> None:
    generator, covered = np.random.default_rng(1), []
    labels = np.repeat([0, 1], images // 2)
    for _ in range(200):
        table = roc(labels, generator.normal(size=images) + distance * labels, points=12)
        true = norm.sf(norm.isf(table["false_alarms"]) - distance)
        covered.append((table["low"] <= true) & (true <= table["high"]))
    assert np.mean(covered, axis=0).min() > 0.93


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


def test_platts_scaling_is_a_regression_on_his_targets() -> None:
    labels, logits = scored(6, digits=3)
    targets = np.where(labels == 1, 151 / 152, 1 / 252)
    peer = GLM(targets, np.stack([logits, np.ones(len(logits))], 1), family=Binomial()).fit(tol=1e-12)
    assert platt(labels, logits) == pytest.approx(peer.params, abs=1e-4)
    kept = (calibration(labels, logits)[0] - 1) / (peer.params[0] - 1)
    assert 0 < kept < 1
    assert calibration(labels, logits)[1] == pytest.approx(kept * peer.params[1], abs=1e-4)


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
    assert calibrated(np.array([-1e4, 1e4]), slope, offset) == pytest.approx([1 / 52, 51 / 52], abs=0.02)


@pytest.mark.parametrize("slope", [0.5, 0.7, 1.0, 1.5])
def test_calibration_gains_where_it_is_needed_and_costs_nothing_where_it_is_not(slope: float) -> None:
    """On 400 images, whose logits are the true ones by `slope`: Platt's scaling loses .002 nat where that is 1."""
    generator = np.random.default_rng(int(10 * slope))

    def drawn(images: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(images) % 2
        return labels, ((2 * labels - 1) * 2.5 + 5**0.5 * generator.normal(size=images)) / slope

    def loss(labels: np.ndarray, logits: np.ndarray) -> float:
        return float(np.logaddexp(0, -(2 * labels - 1) * logits).mean())

    labels, logits = drawn(100_000)
    found = [calibration(*drawn(400)) for _ in range(50)]
    gain = loss(labels, logits) - np.mean([loss(labels, a * logits + b) for a, b in found])
    attainable = loss(labels, logits) - loss(labels, slope * logits)
    assert gain >= 0.8 * attainable if slope != 1 else gain >= -0.0015
    assert slope == 1 or attainable > 0.01


def test_the_interval_of_the_false_alarm_rate_holds() -> None:
    """The threshold is from 1,000 validation images, the rate from 2,000 test images."""
    generator, holds, rates = np.random.default_rng(3), [], []
    validation, test = np.arange(1_000) % 2, np.arange(2_000) % 2
    for _ in range(1_000):
        threshold = false_alarm_threshold(validation, generator.normal(2 * validation), 0.05)
        logits = generator.normal(2 * test)
        low, high = wilson(float((logits[test == 0] > threshold).mean()), 1_000)
        holds.append(low <= norm.sf(threshold) <= high)
        rates.append(norm.sf(threshold))
    assert 0.93 <= np.mean(holds) <= 0.97
    assert np.mean(rates) == pytest.approx(0.05, abs=0.003)


def test_a_false_alarm_rate_takes_images_enough() -> None:
    labels, logits = np.array([0] * 100 + [1]), np.arange(101.0)
    assert false_alarm_threshold(labels, logits, 0.05) == 94
    assert false_alarm_threshold(labels, logits, 0.01) == 98
    with pytest.raises(InputError, match="takes 1,000 REAL validation images, and the record has 100"):
        false_alarm_threshold(labels, logits, 0.001)


def test_how_often_fake_is_right_depends_on_how_many_are_fake() -> None:
    assert share_right(0.9, 0.1, 0.5) == pytest.approx(0.9)
    assert share_right(0.9, 0.1, 0.01) == pytest.approx(0.009 / (0.009 + 0.099))
    assert np.isnan(share_right(0.0, 0.0, 0.5))


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


@pytest.mark.parametrize(
    ("labels", "share"), [([0, 1], 0.5), ([0, 1, 1, 1], 0.75), ([0, 0, 0, 1], 0.75), ([1, 1], 1.0), ([], math.nan)]
)
def test_chance_is_the_share_of_the_commoner_label(labels: list[int], share: float) -> None:
    assert metrics.chance(np.array(labels)) == pytest.approx(share, nan_ok=True)
