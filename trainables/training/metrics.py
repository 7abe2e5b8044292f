"""The metrics of a network: their names, and how each is computed.

A trial computes EPOCH_METRICS after each epoch and, at its end, TRIAL_METRICS; the analysis computes METRICS from the
stored scores. Labels are 0 REAL and 1 FAKE; FAKE is the positive class; scores are logits, positive for FAKE.

The driver and every trial import this module, so scikit-learn is imported only where it is used.
"""

import math
from dataclasses import dataclass

import numpy as np

from trainables.training.weighted_metrics import auc, order, sortable, weighted

#: What a trial is measured on; `test_clean` is test without copies, exact or near, of train or validation.
SCORED_SPLITS = ("validation", "test", "test_clean")
#: What `epoch_metrics` gives, in this order.
EPOCH_METRICS = ("loss", "accuracy", "auc")
#: What a trial's row has, of its best epoch: `validation_loss`, `validation_accuracy` and so on.
TRIAL_METRICS = tuple(f"{split}_{metric}" for split in SCORED_SPLITS for metric in EPOCH_METRICS)
#: The metric by which epochs, and the trials of a sweep, are chosen.
SELECTION_METRIC = "validation_accuracy"

#: Share of accuracy within which networks are as good as each other, if nothing else is asked for.
MARGIN = 0.01
#: The logit above which an image is called FAKE in training: probability 0.5. Test is judged at `best_threshold`.
THRESHOLD = 0.0


@dataclass(frozen=True)
class Metric:
    """A metric's name for people, and whether more of it is better."""

    title: str
    more_is_better: bool = True


#: What `judge` gives, in this order; the analysis judges at the threshold that is best on validation.
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


def epoch_metrics(labels: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> dict[str, float]:
    """Loss (binary cross-entropy in nats), accuracy and AUC of labels (n,) and logits (n,).

    Loss and accuracy are NaN without images, the AUC where a label is missing or a score is not finite.
    """
    from sklearn.metrics import roc_auc_score

    signs = 2.0 * labels - 1
    has_auc = 0 < labels.sum() < len(labels) and bool(np.isfinite(scores).all())
    return {
        "loss": float(np.logaddexp(0, -signs * scores.astype(np.float64)).mean()) if len(labels) else math.nan,
        "accuracy": float(((scores > threshold) == (labels == 1)).mean()) if len(labels) else math.nan,
        "auc": float(roc_auc_score(labels, scores)) if has_auc else math.nan,
    }


def chance(labels: np.ndarray) -> float:
    """The accuracy, 0–1, of the best constant answer to labels (n,): the commoner label's share. NaN without images."""
    share = float(np.mean(labels)) if len(labels) else math.nan
    return max(share, 1 - share)


def best_threshold(labels: np.ndarray, logits: np.ndarray) -> float:
    """The logit above which to say FAKE for the best balanced accuracy, and so Youden's J (1950), on these images.

    It lies midway between two neighbouring scores; of equally good ones it is the one nearest 0. It is 0.0 where a
    class is missing, or all scores are equal. `labels` and `logits` are (n,).
    """
    images, scores = order(labels, logits), np.unique(sortable(logits))
    if not (len(images.fake) and len(images.real)) or len(scores) < 2:
        return THRESHOLD
    misses, rejections = (
        np.searchsorted(of_label[::-1], scores[:-1], "right") / len(of_label) for of_label in (images.fake, images.real)
    )
    with np.errstate(invalid="ignore"):  # between minus and plus infinity
        between = np.nan_to_num(scores[:-1] / 2 + scores[1:] / 2)
    gains = rejections - misses
    best = between[gains >= gains.max() - 1e-12]
    return float(best[np.argmin(np.abs(best))])


def right_bits(labels: np.ndarray, scores: np.ndarray) -> bytes:
    """One bit an image: whether labels (n,) and logits (n,) agree at probability 0.5. `right_of` reads them."""
    return np.packbits((scores > THRESHOLD) == (labels == 1)).tobytes()


def right_of(bits: bytes, images: int) -> np.ndarray:
    """What `right_bits` wrote of n images, (n,) bool."""
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=images).astype(bool)


def confusion(labels: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Counts (2, 2) int: rows are the truth, columns the prediction, each REAL then FAKE.

    `labels` is (n,) of 0 and 1, `scores` (n,) logits. A score at the threshold, or NaN, is called REAL, as in training.
    """
    cells = 2 * (np.asarray(labels) == 1) + (np.asarray(scores) > threshold)
    return np.bincount(cells, minlength=4).reshape(2, 2)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Each cell of a confusion matrix as a share of its row, 0–1: of the REAL, or of the FAKE. NaN in an empty row."""
    rows = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0))


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
    """The harmonic mean of precision and recall of FAKE, 0–1; NaN if no image is FAKE or called FAKE."""
    either = counts.sum() - counts[0, 0]
    return float(2 * counts[1, 1] / (either + counts[1, 1])) if either else math.nan


def judge(labels: np.ndarray, logits: np.ndarray, threshold: float = THRESHOLD) -> dict[str, float]:
    """Every metric of METRICS, of labels (n,) and logits (n,); NaN where it is undefined, as without a class.

    Accuracies, precision, recall and F1 call an image FAKE if its logit is above `threshold`. AUC, average precision,
    equal error rate and recall at a rate of false alarms depend only on the order of the logits, where NaN is the
    lowest. Log loss (in nats), Brier score and calibration error are of the probability of FAKE, sigmoid(logit); the
    calibration error has 15 bins of equal width.
    """
    counts = confusion(labels, logits, threshold)
    of_labels = {
        f"{metric.__name__}_{name}": metric(of_label)
        for name, of_label in (("fake", counts), ("real", counts[::-1, ::-1]))
        for metric in (precision, recall, f1)
    }
    images = order(labels, logits)
    once = weighted(images, np.ones((1, len(images.fake))), np.ones((1, len(images.real))))
    return {
        "accuracy": accuracy(counts),
        "balanced_accuracy": (of_labels["recall_fake"] + of_labels["recall_real"]) / 2,
        **of_labels,
        "auc": auc(labels, logits),
        **{name: float(values[0]) for name, values in once.items()},
    }
