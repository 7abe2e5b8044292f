"""Scores → metrics with intervals, and paired comparisons of the first configurations.

Thresholds come from validation and are carried to test. Comparisons are made on test, which had no part in any choice.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.decisions import best_threshold
from analysis.results.processes import side_by_side
from analysis.results.seeds import without_choosers
from analysis.results.trials import Results
from sweeps.stats.comparisons import auc_difference, holm, mean_difference
from sweeps.stats.intervals import intervals, wilson
from sweeps.stats.resampling import luck
from trainables.training.metrics import confusion, judge

_MOST_WITH_INTERVALS = 12
_RESAMPLES = 200  # enough for an interval from their spread, and twelve trials are judged in a second
_MOST_COMPARED = 16
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Findings:
    """What is costly to compute from the raw scores of a record, computed once.

    `metrics` has a row for each scored trial and part (validation, test, test_clean), best trial first: trial,
    configuration, seed, part, images, threshold (a logit), and each of `metrics.METRICS`, with its interval, `_low` to
    `_high`, on test and clean test for the first twelve trials. `comparisons` is what the function `comparisons` gives,
    `classes` is `by_class` of the first trial, and `optimism` and `comes_first` are what `winners_luck` gives.
    """

    metrics: pd.DataFrame
    comparisons: pd.DataFrame
    classes: pd.DataFrame
    optimism: float
    comes_first: "pd.Series[float]"

    def with_first(self) -> pd.DataFrame:
        """The comparisons of the first configuration with each other one."""
        frame = self.comparisons
        return frame[frame["configuration"] == frame["configuration"].iloc[0]] if len(frame) else frame

    def level_with_first(self) -> list[str]:
        """The configurations whose difference from the first on test is within noise."""
        frame = self.with_first()
        return [str(name) for name in frame.loc[~frame["told_apart"], "other"]] if len(frame) else []


def findings(results: Results) -> Findings:
    """Judge the trials of a record by their raw scores, on all cores."""
    scored = _scored_trials(results)
    rows = scored.to_dict("records") if "validation" in results.scores.parts else []
    calls = [
        partial(comparisons, results),
        partial(by_class, results, scored["trial"].iloc[0]) if len(scored) else pd.DataFrame,
        partial(winners_luck, results),
        *(partial(_judgment, results, row, rank < _MOST_WITH_INTERVALS) for rank, row in enumerate(rows)),
    ]
    compared, classes, luck_of_first, *judged = side_by_side(calls)
    return Findings(pd.DataFrame(itertools.chain(*judged)), compared, classes, *luck_of_first)


def _judgment(results: Results, trial: dict[str, Any], has_intervals: bool) -> list[dict[str, Any]]:
    """The rows of `Findings.metrics` of one trial, a part each."""
    threshold = best_threshold(*results.scores.of(trial["trial"], "validation"))
    rows = []
    for part in results.scores.parts:
        labels, logits = results.scores.of(trial["trial"], part)
        spans = intervals(labels, logits, threshold, _RESAMPLES) if has_intervals and part != "validation" else {}
        rows.append(
            {name: trial[name] for name in ("trial", "configuration", "seed")}
            | {"part": part, "images": len(labels), "threshold": threshold}
            | judge(labels, logits, threshold)
            | _ends(spans)
        )
    return rows


def _ends(spans: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {
        f"{name}_{end}": value for name, span in spans.items() for end, value in zip(("low", "high"), span, strict=True)
    }


def by_class(results: Results, trial: str) -> pd.DataFrame:
    """One row an object class of the test images: images, accuracy, recalls of REAL and of FAKE, with intervals.

    Empty if the images have no object classes, or if there are no validation scores to take the threshold from.
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
        values = judge(labels[mask], logits[mask], threshold)
        real, fake = np.bincount(labels[mask], minlength=2)
        row = {"configuration": configuration, "object_class": name or "none", "images": mask.sum()}
        for metric, images in {"accuracy": mask.sum(), "recall_real": real, "recall_fake": fake}.items():
            row |= {metric: values[metric]} | _ends({metric: wilson(values[metric], images)})
        rows.append(row)
    return pd.DataFrame(rows)


def comparisons(results: Results) -> pd.DataFrame:
    """One row a pair of the first configurations, in the order of the ranking: whether they differ on test.

    `difference`, `low`, `high` are of the mean accuracy of `configuration` less that of `other`, as shares; `p` is of
    the paired test over images (and seeds, where there are several), `p_holm` of all pairs together. `told_apart` is
    whether `p_holm` is below 0.05. Where all have one seed, there are `auc_difference` and `auc_p_holm` (DeLong) too.
    """
    part = results.scores.parts.get("test")
    if part is None:
        return pd.DataFrame()
    trials = _compared_trials(results)
    has_one_seed = all(len(names) == 1 for names in trials.values())
    rows: list[dict[str, Any]] = []
    for pair in itertools.combinations(trials, 2):
        one, other = (results.scores.is_right(trials[name], "test") for name in pair)
        row: dict[str, Any] = {
            "configuration": pair[0],
            "other": pair[1],
            "images": len(part),
            "seeds": len(one),
            "other_seeds": len(other),
            **dict(zip(("difference", "low", "high", "p"), mean_difference(one, other), strict=True)),
        }
        if has_one_seed:
            first, second = (results.scores.of(trials[name][0], "test")[1] for name in pair)
            row["auc_difference"], _, _, row["auc_p"] = auc_difference(part.labels, first, second)
        rows.append(row)
    frame = pd.DataFrame(rows)
    for p in [name for name in ("p", "auc_p") if name in frame]:
        frame[f"{p}_holm"] = holm(frame[p])
    return frame.assign(told_apart=frame["p_holm"] < SIGNIFICANT) if rows else frame


def winners_luck(results: Results) -> tuple[float, "pd.Series[float]"]:
    """By how much luck raises the first trial's validation accuracy (0–1), and how often each trial comes first.

    Both are over resamples of the validation images; the second is trial → share of the resamples. NaN and empty with
    fewer than two trials.
    """
    trials = results.scores.trials
    if "validation" not in results.scores.parts or len(trials) < 2:
        return float("nan"), pd.Series(dtype=float)
    optimism, first = luck(results.scores.is_right(trials, "validation"))
    return optimism, pd.Series(first, index=trials)


def confusions(results: Results) -> dict[str, np.ndarray]:
    """Trial → confusion matrix on test, of the best and the worst finished trial that have test scores."""
    finished = results.ranked.loc[results.ranked["status"] == "finished", "trial"].tolist()
    ends = dict.fromkeys(finished[:1] + finished[-1:]) if "test" in results.scores.parts else {}
    return {trial: confusion(*results.scores.of(trial, "test")) for trial in ends if trial in results.scores.trials}


def _scored_trials(results: Results) -> pd.DataFrame:
    return results.ranked[results.ranked["trial"].isin(results.scores.trials)]


def _compared_trials(results: Results) -> dict[str, list[str]]:
    """Configuration → its trials, best first; the first configurations by the mean over their seeds."""
    groups = without_choosers(_scored_trials(results)).groupby("configuration")
    means = groups[results.provenance.metric].mean().sort_values(ascending=results.provenance.direction == "min")
    return {str(name): groups.get_group(name)["trial"].tolist() for name in means.index[:_MOST_COMPARED]}
