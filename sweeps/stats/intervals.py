"""95 % intervals of the metrics of one network, over a set of images.

DeLong's, of the area under the ROC curve, is by hand: neither SciPy, scikit-learn nor statsmodels has it.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, t
from statsmodels.stats.proportion import proportion_confint

from sweeps.stats.families import freedom_of_mean
from sweeps.stats.resampling import resampled
from trainables.training.metrics import METRICS, THRESHOLD, accuracy, confusion, judge, precision, recall
from trainables.training.weighted_metrics import placements

Interval = tuple[float, float]

#: Standard errors from the middle of a 95 % interval to its ends.
Z = float(norm.ppf(0.975))
_ENDS = (0.025, 0.975)
_MOST_GROUPS = 100  # of clusters, for each of which all metrics are computed


def wilson(share: float, images: float) -> Interval:
    """The 95 % interval, 0–1, of a `share` of `images` images, such as an accuracy, after Wilson (1927).

    It covers the chance of which images were drawn, not of the seed. NaN where either number is missing.
    """
    if not (math.isfinite(share) and images > 0):
        return math.nan, math.nan
    low, high = proportion_confint(round(share * images), round(images), 1 - 0.95, method="wilson")
    return float(low), float(high)


def intervals(
    labels: np.ndarray,
    logits: np.ndarray,
    threshold: float = THRESHOLD,
    clusters: np.ndarray | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, Interval]:
    """The 95 % interval, low and high, of every metric of METRICS, for labels (n,) and logits (n,): over images alone.

    Shares of images have Wilson's, or what follows from it; the area has DeLong's (`auc_interval`); the others come
    from a bootstrap of the images. `threshold` is taken as given, not as chosen on these images. An interval is NaN
    where its metric is. `clusters` (n,) are numbers of images that are not independent: the intervals are then a
    jackknife's, which leaves out one cluster at a time.
    """
    if clusters is not None:
        return _jackknife(labels, logits, threshold, clusters)
    counts = confusion(labels, logits, threshold)
    ends = {"accuracy": wilson(accuracy(counts), counts.sum()), "balanced_accuracy": _balanced(counts)}
    for name, of_label in (("fake", counts), ("real", counts[::-1, ::-1])):
        ends[f"precision_{name}"] = wilson(precision(of_label), of_label[:, 1].sum())
        ends[f"recall_{name}"] = wilson(recall(of_label), of_label[1].sum())
        ends[f"f1_{name}"] = _f1(of_label)
    ends |= {"auc": auc_interval(labels, logits)} | _bootstrap(labels, logits, resamples, seed)
    return {name: ends[name] for name in METRICS}


def _jackknife(labels: np.ndarray, logits: np.ndarray, threshold: float, clusters: np.ndarray) -> dict[str, Interval]:
    """Of every metric, by Student's t with the degrees of freedom of a mean (CR3: Bell & McCaffrey 2002).

    Shares are on the logit scale, the loss on the logarithmic one. More than a hundred clusters are left out in a
    hundred groups. NaN where one cluster's absence leaves no such metric, or no error to tell.
    """
    groups = np.unique(clusters, return_inverse=True)[1] % _MOST_GROUPS
    values, count, ends = judge(labels, logits, threshold), int(groups.max()) + 1, {}
    if count < 2:
        return dict.fromkeys(METRICS, (math.nan, math.nan))
    without = [judge(labels[groups != group], logits[groups != group], threshold) for group in range(count)]
    errors = float(t.ppf(0.975, freedom_of_mean(groups))) / Z  # how many times as wide as normal ones
    for name, value in values.items():
        squares = np.square(np.array([metrics[name] for metrics in without]) - value)
        error = errors * math.sqrt((count - 1) / count * squares.sum())
        ends[name] = (math.nan, math.nan)
        if error > 0 and name == "log_loss":
            ends[name] = (value * math.exp(-Z * error / value), value * math.exp(Z * error / value))
        elif error > 0 and 0 < value < 1:
            ends[name] = logit_interval(value, error)
    return ends


def _balanced(counts: np.ndarray) -> Interval:
    """Of the mean of two recalls, by squaring and adding the distances of their limits (Zou & Donner 2008)."""
    recalls = [recall(counts), recall(counts[::-1, ::-1])]
    ends = [wilson(share, images) for share, images in zip(recalls, (counts[1].sum(), counts[0].sum()), strict=True)]
    below, above = (
        math.hypot(*(end[side] - share for end, share in zip(ends, recalls, strict=True))) / 2 for side in (0, 1)
    )
    return sum(recalls) / 2 - below, sum(recalls) / 2 + above


def _f1(counts: np.ndarray) -> Interval:
    """Of F1 = 2 J / (1 + J), where J is the share of right calls among the images that are FAKE or called FAKE.

    Its ends follow from Wilson's of J (the indirect method of Lam, Gopal & Qian 2024).
    """
    either = counts.sum() - counts[0, 0]
    low, high = wilson(counts[1, 1] / either if either else math.nan, either)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _bootstrap(labels: np.ndarray, logits: np.ndarray, resamples: int, seed: int) -> dict[str, Interval]:
    """Of the metrics of _METHODS, from resamples of the images (Efron & Tibshirani 1993).

    The recall at 1 % false alarms is itself too high with fewer than some 500 REAL images, which no interval mends.
    """
    values, fakes = judge(labels, logits), int((np.asarray(labels) == 1).sum())
    return dict.fromkeys(_METHODS, (math.nan, math.nan)) | {
        name: _METHODS[name](values[name], draws, len(labels) if name in _OF_ALL_IMAGES else fakes)
        for name, draws in resampled(labels, logits, resamples, seed).items()
        if math.isfinite(values[name])
    }


def _widened(share: float, draws: np.ndarray, images: int) -> Interval:
    """The percentiles of the resamples, and Wilson's interval of `images` images where that reaches further.

    Near 0 and 1, where few images decide, the resamples alone are too sure.
    """
    (low, high), (lowest, highest) = np.quantile(draws, _ENDS), wilson(share, images)
    return min(float(low), lowest), max(float(high), highest)


def _on_logit_scale(share: float, draws: np.ndarray, images: int) -> Interval:
    """The standard error of the resamples, on the logit scale; Wilson's interval where they do not vary."""
    error = float(draws.std(ddof=1))
    return logit_interval(share, error) if error > 0 and 0 < share < 1 else wilson(share, images)


def _on_log_scale(value: float, draws: np.ndarray, _: int) -> Interval:
    """The standard error of the resamples, on the logarithmic scale: for many small losses and a few large ones."""
    factor = math.exp(Z * float(draws.std(ddof=1)) / value) if value else 1.0
    return value / factor, value * factor


def _shifted(value: float, draws: np.ndarray, _: int) -> Interval:
    """The spread of the resamples, about `value`.

    Chance biases a calibration error upwards in a sample, and once more in a resample of it. This interval is of the
    average error of that many other images, the bias of a sample included; it does not say whether a network is
    perfectly calibrated.
    """
    low, high = np.quantile(draws, _ENDS) - draws.mean() + value
    return max(float(low), 0.0), float(high)


_OF_ALL_IMAGES = ("eer", "log_loss", "brier", "ece")
_METHODS = {
    "average_precision": _on_logit_scale,
    "eer": _widened,
    "tpr_at_1_fpr": _widened,
    "tpr_at_5_fpr": _widened,
    "log_loss": _on_log_scale,
    "brier": _on_logit_scale,
    "ece": _shifted,
}


def auc_interval(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """The 95 % interval, within 0–1, of the area for labels (n,) and logits (n,).

    DeLong's variance, on the logit scale (Pepe 2003, section 5.2.4). Where that variance is 0, as with perfectly
    separated scores, or undefined, as with a single image of a label, the interval is Newcombe's (2006, method 5),
    whose variance follows from the area. NaN where a class is missing.
    """
    fakes, reals = placements(labels, logits)
    if not len(fakes):
        return math.nan, math.nan
    area, error = float(fakes.mean()), auc_error(fakes, reals)
    if error > 0 and 0 < area < 1:
        return logit_interval(area, error)
    return _newcombe(area, len(fakes), len(reals))


def logit_interval(share: float, error: float) -> tuple[float, float]:
    """The 95 % interval of a share above 0 and below 1, from its standard error: normal on the logit scale."""
    half = Z * error / (share * (1 - share))
    return float(expit(logit(share) - half)), float(expit(logit(share) + half))


def auc_error(fakes: np.ndarray, reals: np.ndarray) -> float:
    """DeLong's standard error of the mean of placements or of their differences; NaN for a single image of a label."""
    if min(len(fakes), len(reals)) < 2:
        return math.nan
    return math.sqrt(fakes.var(ddof=1) / len(fakes) + reals.var(ddof=1) / len(reals))


def _newcombe(area: float, n1: int, n0: int) -> tuple[float, float]:
    """The lowest and the highest true area θ for which `area` is within 1.96 standard errors of θ.

    The error is Hanley and McNeil's (1982) at θ, with n1 - 1 and n0 - 1 both replaced by their mean.
    """
    more, nearly = (n1 + n0) / 2 - 1, 1 - 1e-12

    def distance(true: float) -> float:
        spread = true * (1 - true) * (1 + more * (1 - true) / (2 - true) + more * true / (1 + true)) / (n1 * n0)
        return (area - true) ** 2 - Z**2 * spread

    low = brentq(distance, 0, area * nearly) if area > 0 else 0.0
    high = brentq(distance, 1 - (1 - area) * nearly, 1) if area < 1 else 1.0
    return float(low), float(high)
