"""How far the numbers of `metrics` can be trusted: 95 % intervals, tests of differences, and the luck of a winner."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, sem, t
from statsmodels.stats.multitest import multipletests

from sweeps.stats.comparisons import mcnemar, mean_difference, shares_difference
from sweeps.stats.delong import auc_difference, auc_interval
from sweeps.stats.resampling import luck, resampled
from trainables.training.metrics import METRICS, THRESHOLD, accuracy, confusion, judge, precision, recall, wilson

__all__ = [
    "auc_difference",
    "auc_interval",
    "holm",
    "intervals",
    "luck",
    "mcnemar",
    "mean_difference",
    "mean_interval",
    "shares_difference",
    "wilson",
]

Interval = tuple[float, float]

_ENDS = (0.025, 0.975)
_Z = float(norm.ppf(_ENDS[1]))


def intervals(
    labels: np.ndarray, logits: np.ndarray, threshold: float = THRESHOLD, resamples: int = 500, seed: int = 0
) -> dict[str, Interval]:
    """The 95 % interval, low and high, of every metric that `judge` gives of the same: the chance of the images alone.

    Shares of images have Wilson's, or what follows from it; the area has DeLong's (`auc_interval`); the others come
    from a bootstrap of the images. `threshold` is taken as given, not as chosen on these images. An interval is NaN
    where its metric is.
    """
    counts = confusion(labels, logits, threshold)
    of_real = counts[::-1, ::-1]
    found = {"accuracy": wilson(accuracy(counts), counts.sum()), "balanced_accuracy": _balanced(counts)}
    for name, each in (("fake", counts), ("real", of_real)):
        found[f"precision_{name}"] = wilson(precision(each), each[:, 1].sum())
        found[f"recall_{name}"] = wilson(recall(each), each[1].sum())
        found[f"f1_{name}"] = _f1(each)
    found |= {"auc": auc_interval(labels, logits)} | _bootstrap(labels, logits, resamples, seed)
    return {name: found[name] for name in METRICS}


def _balanced(counts: np.ndarray) -> Interval:
    """Of the mean of two recalls, by squaring and adding the distances of their limits (Zou & Donner 2008)."""
    recalls = [recall(counts), recall(counts[::-1, ::-1])]
    ends = [wilson(share, images) for share, images in zip(recalls, (counts[1].sum(), counts[0].sum()), strict=True)]
    below, above = (
        math.hypot(*(end[side] - share for end, share in zip(ends, recalls, strict=True))) / 2 for side in (0, 1)
    )
    middle = sum(recalls) / 2
    return middle - below, middle + above


def _f1(counts: np.ndarray) -> Interval:
    """F1 is 2 J / (1 + J), where J is the share of right calls among the images that are FAKE or called so.

    So its ends follow from Wilson's of J (the indirect method of Lam, Gopal & Qian 2024).
    """
    either = counts.sum() - counts[0, 0]
    low, high = wilson(counts[1, 1] / either if either else math.nan, either)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _bootstrap(labels: np.ndarray, logits: np.ndarray, resamples: int, seed: int) -> dict[str, Interval]:
    """The metrics of _WAYS, from resamples of the images (Efron & Tibshirani 1993).

    The recall at 1 % false alarms is itself too high with fewer than some 500 REAL images, which no interval mends.
    """
    values, fakes = judge(labels, logits), int((np.asarray(labels) == 1).sum())
    found = dict.fromkeys(_WAYS, (math.nan, math.nan))
    for name, draws in resampled(labels, logits, resamples, seed).items():
        if math.isfinite(values[name]):
            images = len(labels) if name in _OF_ALL_IMAGES else fakes
            found[name] = _WAYS[name](values[name], draws, images)
    return found


def _widened(share: float, draws: np.ndarray, images: int) -> Interval:
    """The percentiles of the resamples, and Wilson's interval of `images` images where that reaches further.

    Near 0 and 1, where few images decide, the resamples alone are too sure.
    """
    (low, high), (least, most) = np.quantile(draws, _ENDS), wilson(share, images)
    return min(float(low), least), max(float(high), most)


def _on_logit_scale(share: float, draws: np.ndarray, images: int) -> Interval:
    """The standard error of the resamples, on the logit scale; Wilson's interval where they do not vary."""
    error = float(draws.std(ddof=1))
    if not (error > 0 and 0 < share < 1):
        return wilson(share, images)
    half = _Z * error / (share * (1 - share))
    return float(expit(logit(share) - half)), float(expit(logit(share) + half))


def _on_log_scale(value: float, draws: np.ndarray, _: int) -> Interval:
    """The standard error of the resamples, on the logarithmic scale: of many small losses and a few large ones."""
    factor = math.exp(_Z * float(draws.std(ddof=1)) / value) if value else 1.0
    return value / factor, value * factor


def _shifted(value: float, draws: np.ndarray, _: int) -> Interval:
    """The spread of the resamples, about `value`.

    A calibration error is biased upwards by chance, in a sample, and once more in a resample of it. This interval is
    of what that many other images would show on average, the bias of a sample included; whether a network is perfectly
    calibrated it does not say.
    """
    low, high = np.quantile(draws, _ENDS) - draws.mean() + value
    return max(float(low), 0.0), float(high)


_OF_ALL_IMAGES = ("eer", "log_loss", "brier", "ece")
_WAYS = {
    "average_precision": _on_logit_scale,
    "eer": _widened,
    "tpr_at_1_fpr": _widened,
    "tpr_at_5_fpr": _widened,
    "log_loss": _on_log_scale,
    "brier": _on_logit_scale,
    "ece": _shifted,
}


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p values (m,) of m tests, each adjusted for the others, after Holm (1979). A NaN stays, and does not count."""
    found = np.array(p_values, float)
    is_test = ~np.isnan(found)
    if is_test.any():
        found[is_test] = multipletests(found[is_test], method="holm")[1]
    return found


def mean_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """The mean of values (n,), such as one a seed, and its 95 % interval after Student (1908).

    The interval is NaN of one value, all of none.
    """
    found = np.asarray(values, float)
    if len(found) < 2:
        return float(found.mean()) if len(found) else math.nan, math.nan, math.nan
    mean, half = float(found.mean()), float(t.ppf(_ENDS[1], len(found) - 1) * sem(found))
    return mean, mean - half, mean + half


def share_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """`mean_interval` of values that lie between 0 and 1, as accuracies do: it ends there, too."""
    mean, low, high = mean_interval(values)
    return mean, float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))
