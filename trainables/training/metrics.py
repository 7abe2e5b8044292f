"""Pure numbers. Labels are 0 REAL and 1 FAKE; FAKE is the positive class; scores are logits, positive for FAKE."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, roc_curve
from statsmodels.stats.proportion import proportion_confint

from sweeps.stats.delong import auc
from trainables.training.ordering import BINS, bins_of, order, ranked, weighted

#: Parts of the data that a trial is scored on. The clean test leaves out what also stands in train.
SPLITS = ("validation", "test", "test_clean")
#: Metrics of an epoch, and of a trial's best epoch.
TRIAL_METRICS = ("loss", "accuracy", "auc")
#: The metric by which epochs and trials are chosen.
SELECTION_METRIC = "validation_accuracy"

#: The logit above which an image is called FAKE: probability 0.5, as in training.
THRESHOLD = 0.0
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metric:
    """A metric's name for people, and whether more of it is better."""

    title: str
    more_is_better: bool = True


#: What `judge` gives, in this order.
METRICS = {
    "accuracy": Metric("accuracy"),
    "balanced_accuracy": Metric("balanced accuracy"),
    "precision_fake": Metric("precision of FAKE"),
    "recall_fake": Metric("recall of FAKE"),
    "f1_fake": Metric("F1 of FAKE"),
    "precision_real": Metric("precision of REAL"),
    "recall_real": Metric("recall of REAL"),
    "f1_real": Metric("F1 of REAL"),
    "auc": Metric("AUC"),
    "average_precision": Metric("average precision"),
    "eer": Metric("equal error rate", more_is_better=False),
    "tpr_at_1_fpr": Metric("recall of FAKE at 1 % false alarms"),
    "tpr_at_5_fpr": Metric("recall of FAKE at 5 % false alarms"),
    "log_loss": Metric("log loss", more_is_better=False),
    "brier": Metric("Brier score", more_is_better=False),
    "ece": Metric("expected calibration error", more_is_better=False),
}


def confusion(labels: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Counts (2, 2) int: rows are the truth, columns the prediction, each REAL then FAKE.

    `labels` is (n,) of 0 and 1, `scores` (n,) logits. A score at the threshold, or NaN, is called REAL, as in training.
    """
    if len(labels) == 0:
        return np.zeros((2, 2), int)
    return np.asarray(confusion_matrix(labels, np.asarray(scores) > threshold, labels=[0, 1]), int)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Each cell of a confusion matrix as a share of its row, 0–1: of the REAL, or of the FAKE. NaN in an empty row."""
    rows = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    return shares


def accuracy(counts: np.ndarray) -> float:
    """The share of a confusion matrix on its diagonal, 0–1; NaN without images."""
    return float(np.trace(counts) / counts.sum()) if counts.sum() else math.nan


def recall(counts: np.ndarray) -> float:
    """The share of the FAKE images that are called FAKE, 0–1; NaN without FAKE images."""
    return float(row_shares(counts)[1, 1])


def precision(counts: np.ndarray) -> float:
    """The share of the images called FAKE that are FAKE, 0–1; NaN if none is called FAKE."""
    return float(row_shares(counts.T)[1, 1])


def f1(counts: np.ndarray) -> float:
    """The harmonic mean of precision and recall of FAKE, 0–1; NaN if no image is FAKE, or called so."""
    either = counts.sum() - counts[0, 0]
    return float(2 * counts[1, 1] / (either + counts[1, 1])) if either else math.nan


def judge(labels: np.ndarray, logits: np.ndarray, threshold: float = THRESHOLD) -> dict[str, float]:
    """Every metric of METRICS, of labels (n,) and logits (n,); NaN where it is undefined, as without a class.

    Those of decisions take a logit above `threshold` for FAKE. The area, average precision, the equal error rate and
    the recall at a rate of false alarms take the order of the logits alone, a NaN being the lowest. Log loss (natural
    logarithm), Brier score and calibration error are of the probability of FAKE, sigmoid(logit); the last is over 15
    bins of it, of equal width.
    """
    counts = confusion(labels, logits, threshold)
    of_real = counts[::-1, ::-1]
    found = {"accuracy": accuracy(counts), "balanced_accuracy": (recall(counts) + recall(of_real)) / 2}
    for name, each in (("fake", counts), ("real", of_real)):
        found |= {f"precision_{name}": precision(each), f"recall_{name}": recall(each), f"f1_{name}": f1(each)}
    ordered = order(labels, logits)
    once = weighted(ordered, np.ones((1, len(ordered.fake))), np.ones((1, len(ordered.real))))
    return found | {"auc": auc(labels, logits)} | {name: float(value[0]) for name, value in once.items()}


def wilson(share: float, images: float) -> tuple[float, float]:
    """The 95 % interval, 0–1, of a `share` of `images` images, such as an accuracy, after Wilson (1927).

    It covers the chance of which images were drawn, not that of the seed. NaN where either number is missing.
    """
    if not (math.isfinite(share) and images > 0):
        return math.nan, math.nan
    low, high = proportion_confint(round(share * images), round(images), 1 - CONFIDENCE, method="wilson")
    return float(low), float(high)


def reliability(labels: np.ndarray, logits: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """How often images of about equal probability are FAKE: one row a bin of the probability, of equal width.

    Columns: `left` and `right` edge, mean `probability`, `share` of FAKE, `n`, and its 95 % interval (Wilson), `low`
    and `high`. A bin holds its left edge, the last its right one too. NaN in an empty bin.
    """
    probabilities = expit(ranked(logits))
    places = bins_of(probabilities, bins)
    frame = pd.DataFrame({"probability": probabilities, "share": np.asarray(labels) == 1}).groupby(places)
    table = frame.mean().astype(float).reindex(range(bins))
    table["n"] = np.bincount(places, minlength=bins)
    edges = np.linspace(0, 1, bins + 1)
    table.insert(0, "left", edges[:-1])
    table.insert(1, "right", edges[1:])
    table[["low", "high"]] = [wilson(*pair) for pair in zip(table["share"], table["n"], strict=True)]
    return table


def roc(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates (k,), 0–1, from (0, 0) to (1, 1), without those that scikit-learn finds needless.

    Those lie midway between their neighbours. Both are empty where a class is missing.
    """
    if len(np.unique(labels)) < 2:
        return np.empty(0), np.empty(0)
    false, true, _ = roc_curve(labels, rankdata(ranked(logits), "dense"))
    return false, true


def best_threshold(labels: np.ndarray, logits: np.ndarray) -> float:
    """The logit above which to say FAKE for the best balanced accuracy, which is Youden's J (1950), on these images.

    It lies midway between two neighbouring scores; of equally good ones it is the one nearest 0. It is 0.0 where a
    class is missing, or all scores are equal.
    """
    ordered = order(labels, logits)
    scores = np.unique(ranked(logits))
    if not (len(ordered.fake) and len(ordered.real)) or len(scores) < 2:
        return THRESHOLD
    misses = np.searchsorted(ordered.fake[::-1], scores[:-1], "right") / len(ordered.fake)
    rejections = np.searchsorted(ordered.real[::-1], scores[:-1], "right") / len(ordered.real)
    with np.errstate(invalid="ignore"):  # between minus and plus infinity
        between = np.nan_to_num(scores[:-1] / 2 + scores[1:] / 2)
    gains = rejections - misses
    equals = between[gains >= gains.max() - 1e-12]
    return float(equals[np.argmin(np.abs(equals))])


def calibration(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Slope and offset for `calibrated`: Platt's scaling (1999), a logistic regression on the logit, without penalty.

    Its targets are Platt's, (n1 + 1) / (n1 + 2) for FAKE and 1 / (n0 + 2) for REAL, so that perfectly separated scores
    do not make it infinite. (1, 0) where a class is missing. Scores that are not finite do not enter.
    """
    is_finite = np.isfinite(logits)
    is_fake, scores = np.asarray(labels)[is_finite] == 1, np.asarray(logits, float)[is_finite]
    fakes, reals = is_fake.sum(), (~is_fake).sum()
    if not (fakes and reals):
        return 1.0, 0.0
    centre, scale = scores.mean(), scores.std() or 1.0
    targets = np.where(is_fake, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
    column = np.tile((scores - centre) / scale, 2)[:, None]
    both = np.repeat([True, False], len(scores))
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(column, both, np.concatenate([targets, 1 - targets]))
    slope = float(model.coef_[0, 0] / scale)
    return slope, float(model.intercept_[0] - slope * centre)


def calibrated(logits: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """The probability of FAKE (n,), 0–1, of logits (n,) by what `calibration` found."""
    return np.asarray(expit(slope * np.asarray(logits, float) + offset))


def epoch_metrics(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Loss (binary cross-entropy in nats), accuracy at probability 0.5 and AUC, FAKE positive, of (n,) logits.

    An AUC that is not defined, for want of one label or of finite scores, is NaN.
    """
    from sklearn.metrics import roc_auc_score

    signs = 2.0 * labels - 1
    defined = 0 < labels.sum() < len(labels) and bool(np.isfinite(scores).all())
    return {
        "loss": float(np.logaddexp(0, -signs * scores.astype(np.float64)).mean()) if len(labels) else math.nan,
        "accuracy": float(((scores > 0) == (labels == 1)).mean()) if len(labels) else math.nan,
        "auc": float(roc_auc_score(labels, scores)) if defined else math.nan,
    }
