"""Scores → data frames of what can be defended: metrics with intervals, and which networks cannot be told apart.

Thresholds come from validation and are carried to test. Comparisons are made on test, which had no part in any choice.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.decisions import best_threshold
from analysis.results.parallel import side_by_side
from analysis.results.trials import Results, without_choosers
from sweeps.stats.comparisons import holm, mean_difference
from sweeps.stats.delong import auc_difference
from sweeps.stats.intervals import intervals, wilson
from sweeps.stats.resampling import luck
from trainables.training.metrics import accuracy, confusion, judge, recall

_MOST_WITH_INTERVALS = 12
_RESAMPLES = 200  # which an interval from their spread needs, and 12 trials are judged in a second
_MOST_COMPARED = 16
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Findings:
    """What `judged`, `comparisons`, `by_class` of the first trial, and `winners_luck` give, computed once."""

    metrics: pd.DataFrame
    comparisons: pd.DataFrame
    classes: pd.DataFrame
    optimism: float
    comes_first: "pd.Series[float]"

    def level_with_first(self) -> list[str]:
        """The configurations that cannot be told apart from the first on test."""
        if not len(self.comparisons):
            return []
        with_first = self.comparisons[self.comparisons["configuration"] == self.comparisons["configuration"].iloc[0]]
        return [str(name) for name in with_first.loc[~with_first["told_apart"], "other"]]


def findings(results: Results) -> Findings:
    """Everything about a results that takes its raw scores."""
    others = [partial(comparisons, results), partial(_classes_of_first, results), partial(winners_luck, results)]
    compared, classes, luck_of_first, *judgments = side_by_side([*others, *_judgments(results)])
    return Findings(pd.DataFrame(itertools.chain(*judgments)), compared, classes, *luck_of_first)


def judged(results: Results) -> pd.DataFrame:
    """One row a ranked trial and part (validation, test, test_clean), best trial first: every metric with its interval.

    Columns: trial, configuration, seed, part, images, threshold (a logit), and for each of `metrics.METRICS` its value,
    `_low` and `_high`. There are intervals on test, of the first twelve trials.
    """
    return pd.DataFrame(itertools.chain(*(judgment() for judgment in _judgments(results))))


def _judgments(results: Results) -> list[Callable[[], list[dict[str, Any]]]]:
    """A function a trial, which gives its rows of `judged`."""
    rows = _scored(results).to_dict("records") if "validation" in results.scores.parts else []
    return [partial(_judgment, results, row, place < _MOST_WITH_INTERVALS) for place, row in enumerate(rows)]


def _judgment(results: Results, row: dict[str, Any], has_intervals: bool) -> list[dict[str, Any]]:
    threshold = best_threshold(*results.scores.of(row["trial"], "validation"))
    rows = []
    for part in results.scores.parts:
        labels, logits = results.scores.of(row["trial"], part)
        told = {name: row[name] for name in ("trial", "configuration", "seed")}
        told |= {"part": part, "images": len(labels), "threshold": threshold}
        told |= judge(labels, logits, threshold)
        if has_intervals and part != "validation":
            told |= _ends(intervals(labels, logits, threshold, _RESAMPLES))
        rows.append(told)
    return rows


def _ends(found: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {f"{name}_{end}": pair[place] for name, pair in found.items() for place, end in enumerate(("low", "high"))}


def _classes_of_first(results: Results) -> pd.DataFrame:
    first = _scored(results)["trial"].head(1)
    return by_class(results, first.item()) if len(first) else pd.DataFrame()


def by_class(results: Results, trial: str) -> pd.DataFrame:
    """A trial on test, one row an object class: n, accuracy, recall of REAL and of FAKE, with intervals (Wilson).

    Empty if the images have no object classes, or if there is no threshold, for want of validation scores.
    """
    test = results.scores.parts.get("test")
    if test is None or "validation" not in results.scores.parts or not (test.classes != "").any():
        return pd.DataFrame()
    threshold = best_threshold(*results.scores.of(trial, "validation"))
    labels, logits = results.scores.of(trial, "test")
    configuration = results.trials.set_index("trial").loc[trial, "configuration"]
    rows = []
    for name in np.unique(test.classes):
        mask = test.classes == name
        told = {"configuration": configuration, "object_class": name or "none", "images": mask.sum()}
        rows.append(told | _shares(confusion(labels[mask], logits[mask], threshold)))
    return pd.DataFrame(rows)


def _shares(counts: np.ndarray) -> dict[str, float]:
    """Of a confusion matrix: accuracy and both recalls, each with its interval."""
    real, fake = counts.sum(axis=1)
    found = {"accuracy": (accuracy(counts), counts.sum())}
    found |= {"recall_real": (recall(counts[::-1, ::-1]), real), "recall_fake": (recall(counts), fake)}
    told: dict[str, float] = {}
    for name, (share, size) in found.items():
        told |= {name: share} | _ends({name: wilson(share, size)})
    return told


def comparisons(results: Results) -> pd.DataFrame:
    """One row a pair of the first configurations, in the order of the ranking: which can be told apart on test.

    `difference`, `low`, `high` are of the mean accuracy of `configuration` less that of `other`, as shares; `p` is of
    the paired test over images (and seeds, where there are several), `p_holm` of all pairs together. `told_apart` is
    whether that is below 0.05. Where all have one seed, there are `auc_difference` and `auc_p_holm` (DeLong) too.
    """
    right = _right_answers(results, "test")
    seeds = _seeds(results)
    rows: list[dict[str, Any]] = []
    for one, other in itertools.combinations(right, 2):
        told = {"configuration": one, "other": other, "images": right[one].shape[1]}
        told |= {"seeds": len(right[one]), "other_seeds": len(right[other])}
        told |= dict(zip(("difference", "low", "high", "p"), mean_difference(right[one], right[other]), strict=True))
        if all(len(trials) == 1 for trials in seeds.values()):
            told |= _auc_difference(results, seeds[one][0], seeds[other][0])
        rows.append(told)
    frame = pd.DataFrame(rows)
    for p in [name for name in ("p", "auc_p") if name in frame]:
        frame[f"{p}_holm"] = holm(frame[p])
    return frame.assign(told_apart=frame["p_holm"] < SIGNIFICANT) if rows else frame


def _auc_difference(results: Results, one: str, other: str) -> dict[str, float]:
    labels, logits = results.scores.of(one, "test")
    difference, _, _, p = auc_difference(labels, logits, results.scores.of(other, "test")[1])
    return {"auc_difference": difference, "auc_p": p}


def winners_luck(results: Results) -> tuple[float, "pd.Series[float]"]:
    """How much of the first trial's validation accuracy is luck, as a share, and how often each trial comes first.

    Both over resamples of the validation images: trial → share of the resamples. NaN with fewer than two trials.
    """
    part = results.scores.parts.get("validation")
    if part is None or len(results.scores.trials) < 2:
        return float("nan"), pd.Series(dtype=float)
    optimism, first = luck((part.logits > 0) == (part.labels == 1))
    return optimism, pd.Series(first, index=results.scores.trials)


def _scored(results: Results) -> pd.DataFrame:
    """The ranked trials that have scores."""
    return results.ranked[results.ranked["trial"].isin(results.scores.trials)]


def _seeds(results: Results) -> dict[str, list[str]]:
    """Configuration → its trials, best first; the first configurations by the mean over their seeds."""
    frame = without_choosers(_scored(results))
    ascending = results.provenance.direction == "min"
    means = frame.groupby("configuration")[results.provenance.metric].mean().sort_values(ascending=ascending)
    return {
        str(name): frame.loc[frame["configuration"] == name, "trial"].tolist() for name in means.index[:_MOST_COMPARED]
    }


def _right_answers(results: Results, part: str) -> dict[str, np.ndarray]:
    """Configuration → (seeds, n) bool: which images it is right about, at the threshold of training."""
    if part not in results.scores.parts:
        return {}
    found = results.scores.parts[part]
    is_fake = found.labels == 1
    places = {trial: place for place, trial in enumerate(results.scores.trials)}
    return {
        name: (found.logits[[places[trial] for trial in trials]] > 0) == is_fake
        for name, trials in _seeds(results).items()
    }
