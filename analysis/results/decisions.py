"""What the analysis decides from scores: a calibration, and the curves that show how good they are.

Labels are 0 REAL and 1 FAKE; FAKE is the positive class; scores are logits, positive for FAKE.
"""

import math

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from data_prep import InputError
from sweeps.stats.intervals import wilson
from trainables.training.weighted_metrics import BINS, bins_of, sortable


def calibration(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Slope and offset for `calibrated`: those of `platt`, shrunk towards (1, 0) as far as the evidence is weak.

    Where the logits are well calibrated as they are, two fitted numbers make them worse. The evidence is the likelihood
    ratio G; the share 1 - 2 / G of the change is kept, none below 2 (James and Stein's rule, for two numbers).
    """
    (slope, offset), targets = platt(labels, logits), _targets(labels, logits)
    scores = np.asarray(logits, float)[np.isfinite(logits)]
    losses = [
        np.logaddexp(0, changed) - targets * changed for changed in (scores, slope * scores + offset) if len(targets)
    ]
    gain = 2 * float((losses[0] - losses[1]).sum()) if losses else 0.0
    kept = max(0.0, 1 - 2 / gain) if gain > 0 else 0.0
    return 1 + kept * (slope - 1), kept * offset


def platt(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Slope and offset of Platt's scaling (1999): a logistic regression on the logit, without penalty.

    Its targets are Platt's, (n1 + 1) / (n1 + 2) for FAKE and 1 / (n0 + 2) for REAL, so that it stays finite for
    perfectly separated scores. (1, 0) where a class is missing. Scores that are not finite are left out. `labels` and
    `logits` are (n,).
    """
    scores, targets = np.asarray(logits, float)[np.isfinite(logits)], _targets(labels, logits)
    if not len(targets):
        return 1.0, 0.0
    centre, scale = scores.mean(), scores.std() or 1.0
    # A target between 0 and 1 is an image of each label, weighted.
    column, is_positive = np.tile((scores - centre) / scale, 2)[:, None], np.repeat([True, False], len(scores))
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
        column, is_positive, np.concatenate([targets, 1 - targets])
    )
    slope = float(model.coef_[0, 0] / scale)
    return slope, float(model.intercept_[0] - slope * centre)


def _targets(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Platt's targets of the images whose logit is finite; none where a label is missing."""
    is_fake = np.asarray(labels)[np.isfinite(logits)] == 1
    fakes, reals = is_fake.sum(), (~is_fake).sum()
    return np.where(is_fake, (fakes + 1) / (fakes + 2), 1 / (reals + 2)) if fakes and reals else np.empty(0)


def false_alarm_threshold(labels: np.ndarray, logits: np.ndarray, rate: float) -> float:
    """The least logit above which no more than a share `rate`, 0–1, of the REAL images (n,) lies.

    Raises InputError for fewer REAL images than one alarm takes.
    """
    reals = np.sort(sortable(logits)[np.asarray(labels) == 0])
    if len(reals) * rate < 1:
        raise InputError(
            f"--false-alarms {rate:g} takes {math.ceil(1 / rate):,} REAL validation images, and the record has "
            f"{len(reals):,}; give a higher rate."
        )
    return float(reals[len(reals) - 1 - math.floor(len(reals) * rate)])


def share_right(recall: float, false_alarms: float, prior: float) -> float:
    """How often FAKE is right where a share `prior` of the images is FAKE, 0–1; NaN if nothing is called FAKE."""
    right, wrong = prior * recall, (1 - prior) * false_alarms
    return right / (right + wrong) if right + wrong > 0 else math.nan


def calibrated(logits: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """The probability of FAKE (n,), 0–1, of logits (n,) by the slope and offset of `calibration`."""
    return np.asarray(expit(slope * np.asarray(logits, float) + offset))


def reliability(labels: np.ndarray, logits: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """How often images of about equal probability are FAKE: one row a bin of the probability, of equal width.

    Columns: `left` and `right` edge, mean `probability`, `share` of FAKE, `n`, and its 95 % interval (Wilson), `low`
    and `high`. A bin holds its left edge, the last its right one too. NaN in an empty bin. `labels` and `logits` are
    (n,).
    """
    probabilities = expit(sortable(logits))
    places = bins_of(probabilities, bins)
    images = pd.DataFrame({"probability": probabilities, "share": np.asarray(labels) == 1}).groupby(places)
    edges, counts = np.linspace(0, 1, bins + 1), np.bincount(places, minlength=bins)
    table = pd.DataFrame({"left": edges[:-1], "right": edges[1:]}).join(images.mean().astype(float)).assign(n=counts)
    table[["low", "high"]] = [wilson(*pair) for pair in zip(table["share"], table["n"], strict=True)]
    return table


def roc(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates (k,), 0–1, from (0, 0) to (1, 1), of labels (n,) and logits (n,).

    Points midway between their neighbours are left out, as scikit-learn does. Both are empty where a class is missing.
    """
    if len(np.unique(labels)) < 2:
        return np.empty(0), np.empty(0)
    false, true, _ = roc_curve(labels, rankdata(sortable(logits), "dense"))
    return false, true
