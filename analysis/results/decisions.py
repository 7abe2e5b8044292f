"""What the analysis decides from scores: a calibration, and the curves that show how good they are.

Labels are 0 REAL and 1 FAKE; FAKE is the positive class; scores are logits, positive for FAKE.
"""

import math

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from data_prep import InputError
from sweeps.stats.intervals import wilson
from trainables.training.weighted_metrics import BINS, sortable


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


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """How often images of about equal probability are FAKE: one row a bin, of equal counts, from the lowest up.

    Columns: the mean `probability` of its images, the `share` of FAKE among them, `n`, and the share's 95 % interval
    (Wilson), `low` and `high`. Fewer bins where there are fewer images. `labels` and `probabilities` of
    FAKE, 0–1, are (n,).
    """
    places, is_fake = np.argsort(probabilities, kind="stable"), np.asarray(labels) == 1
    parts = np.array_split(places, min(bins, len(places))) if len(places) else []
    shares = [(probabilities[part].mean(), is_fake[part].mean(), len(part)) for part in parts]
    rows = [(probability, share, n, *wilson(share, n)) for probability, share, n in shares]
    return pd.DataFrame(rows, columns=["probability", "share", "n", "low", "high"])


def roc(labels: np.ndarray, logits: np.ndarray, points: int = 200) -> pd.DataFrame:
    """The ROC curve of labels (n,) and logits (n,) from one false alarm on, with a 95 % interval at each rate.

    Columns: `false_alarms` and `recall`, rates of the REAL and of the FAKE images, 0–1, at `points` rates or fewer, and
    the recall's `low` and `high`. The threshold of a rate lies between two REAL images, whose places follow from the
    binomial distribution; the recalls there, and Wilson's interval of the recall, are added in squares, since REAL and
    FAKE images are drawn apart (Zou & Donner 2008). Empty where a class is missing.
    """
    is_fake, scores = np.asarray(labels) == 1, sortable(logits)
    reals, fakes = np.sort(scores[~is_fake])[::-1], np.sort(scores[is_fake])
    count, rows = len(reals), []
    # With so many false alarms, from 0, the threshold is the next REAL image, which is called REAL.
    recalls = np.append(1 - np.searchsorted(fakes, reals, "right") / max(1, len(fakes)), 1.0)
    alarms = np.unique(np.geomspace(1, count, points).round().astype(int)) if count and len(fakes) else ()
    for number in alarms:
        fewest, most = binom.ppf((0.025, 0.975), count, number / count).astype(int)
        recall, below = float(recalls[number]), float(recalls[fewest - 1]) if fewest else 0.0
        low, high = wilson(recall, len(fakes))
        low, high = math.hypot(recall - below, recall - low), math.hypot(recalls[most] - recall, high - recall)
        rows.append((number / count, recall, max(0.0, recall - low), min(1.0, recall + high)))
    return pd.DataFrame(rows, columns=["false_alarms", "recall", "low", "high"])
