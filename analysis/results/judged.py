"""Scores → metrics with intervals, and what test says of the configurations.

Thresholds come from validation and are carried to test, which had no part in any choice.
"""

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.compared import Compared, compared
from analysis.results.components import spread
from analysis.results.decisions import calibration
from analysis.results.mistakes import mistakes, networks_wrong
from analysis.results.processes import side_by_side
from analysis.results.trials import Results
from sweeps.stats.intervals import intervals, wilson
from sweeps.stats.resampling import comes_first, luck
from trainables.training.metrics import THRESHOLD, confusion, judge, right_of

_MOST_WITH_INTERVALS = 12
_RESAMPLES = 200  # enough for an interval from their spread, and twelve trials are judged in a second


@dataclass(frozen=True)
class Findings:
    """What is costly to compute from the raw scores of a record, computed once.

    `metrics` has a row for each scored trial and part (validation, test, test_clean), best trial first: trial,
    configuration, seed, training_set (where there are several), part, images, threshold (a logit), and each of
    `metrics.METRICS`, with its interval, `_low` to `_high`, on test and clean test for the first twelve trials; these
    have the `slope` of the calibration on validation, `calibrated_log_loss` and `calibrated_ece` with its interval.
    `compared` is what test says of the configurations, `classes` is `by_class` of the first trial and below it
    `by_class_of_majority`, `mistakes` is what the function of that name gives, `optimism` and `comes_first` are what
    `winners_luck` gives, and `spread` is what `components.spread` gives.
    """

    metrics: pd.DataFrame
    compared: Compared
    classes: pd.DataFrame
    mistakes: pd.DataFrame
    optimism: float
    comes_first: "pd.Series[float]"
    spread: pd.DataFrame


def findings(results: Results, margin: float | None = None) -> Findings:
    """Judge the trials of a record by their raw scores, on all cores. `margin`, 0–1, is that of verdicts."""
    scored, _ = _scored_trials(results), results.scores.thresholds  # computed once, before processes are forked
    rows = scored.to_dict("records") if "validation" in results.scores.parts else []
    calls = [
        partial(compared, results, margin),
        partial(by_class, results, scored["trial"].iloc[0]) if len(scored) else pd.DataFrame,
        partial(by_class_of_majority, results),
        partial(mistakes, results),
        partial(winners_luck, results),
        partial(spread, results),
        *(partial(_judgment, results, row, rank < _MOST_WITH_INTERVALS) for rank, row in enumerate(rows)),
    ]
    on_test, of_first, of_majority, wrong, (optimism, first), spread_of_accuracy, *judged = side_by_side(calls)
    classes = pd.concat([of_first, of_majority], ignore_index=True)
    return Findings(
        pd.DataFrame(itertools.chain(*judged)), on_test, classes, wrong, optimism, first, spread_of_accuracy
    )


def _judgment(results: Results, trial: dict[str, Any], has_intervals: bool) -> list[dict[str, Any]]:
    """The rows of `Findings.metrics` of one trial, a part each."""
    threshold = results.scores.thresholds[trial["trial"]]
    rows = []
    for part in results.scores.parts:
        labels, logits = results.scores.of(trial["trial"], part)
        has_spans, clusters = has_intervals and part != "validation", results.scores.parts[part].clusters
        spans = intervals(labels, logits, threshold, clusters, _RESAMPLES) if has_spans else {}
        rows.append(
            {name: trial[name] for name in ("trial", "configuration", "seed")}
            | ({"training_set": trial["training_subset"]} if results.has_training_sets else {})
            | {"part": part, "images": len(labels), "threshold": threshold}
            | judge(labels, logits, threshold)
            | _ends(spans)
            | (_calibrated(results, trial["trial"], labels, logits, clusters) if has_spans else {})
        )
    return rows


def _calibrated(
    results: Results, trial: str, labels: np.ndarray, logits: np.ndarray, clusters: np.ndarray | None
) -> dict[str, float]:
    """What calibration on validation makes of a trial's probabilities: its slope, and log loss and error after it."""
    slope, offset = calibration(*results.scores.of(trial, "validation"))
    changed = slope * logits.astype(float) + offset
    values, spans = judge(labels, changed), intervals(labels, changed, 0.0, clusters, _RESAMPLES)
    names = {"log_loss": values["log_loss"], "ece": values["ece"]}
    return (
        {"slope": slope}
        | {f"calibrated_{name}": value for name, value in names.items()}
        | _ends({"calibrated_ece": spans["ece"]})
    )


def _ends(spans: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {
        f"{name}_{end}": value for name, span in spans.items() for end, value in zip(("low", "high"), span, strict=True)
    }


def by_class(results: Results, trial: str) -> pd.DataFrame:
    """What `_by_class` gives of a trial at its threshold; empty without validation scores to take that from."""
    if not {"test", "validation"} <= set(results.scores.parts):
        return pd.DataFrame()
    configuration = results.trials.set_index("trial").loc[trial, "configuration"]
    return _by_class(results, configuration, results.scores.is_right([trial], "test")[0])


def by_class_of_majority(results: Results) -> pd.DataFrame:
    """What `_by_class` gives of a vote of the networks: right where more than half of them are; empty for one."""
    wrong, count = networks_wrong(results)
    return _by_class(results, f"majority of {count} networks", 2 * wrong < count) if count > 1 else pd.DataFrame()


def _by_class(results: Results, name: str, is_right: np.ndarray) -> pd.DataFrame:
    """One row an object class of the test images, and then one a generator: of what `is_right` (n,) says of them.

    Columns: configuration, which is `name`; object_class and generator, one of them ""; images, real_images and
    fake_images; accuracy, recall_real and recall_fake, with their intervals. Empty without classes and generators.
    """
    test, rows = results.scores.parts["test"], []
    logits = np.where(is_right == (test.labels == 1), 1.0, -1.0)
    for column, values in {"object_class": test.classes, "generator": test.generators}.items():
        for value in np.unique(values[values != ""]):
            mask = values == value
            labels, right = test.labels[mask], is_right[mask]
            parts = {"accuracy": right, "recall_real": right[labels == 0], "recall_fake": right[labels == 1]}
            row = {"configuration": name, "object_class": "", "generator": "", column: value}
            row |= dict(zip(("images", "real_images", "fake_images"), map(len, parts.values()), strict=True))
            spans = {} if test.clusters is None else intervals(labels, logits[mask], 0.0, test.clusters[mask])
            for metric, part in parts.items():
                share = float(part.mean()) if len(part) else math.nan
                row |= {metric: share} | _ends({metric: spans.get(metric) or wilson(share, len(part))})
            rows.append(row)
    return pd.DataFrame(rows)


def winners_luck(results: Results) -> tuple[float, "pd.Series[float]"]:
    """By how much luck raises the best validation accuracy (0–1), and how often each trial comes first.

    Luck is that of the choice of an epoch and of a trial. The second is trial → share of the resamples of the
    validation images. NaN and empty with fewer than two trials.
    """
    trials = results.scores.trials
    if "validation" not in results.scores.parts or len(trials) < 2:
        return float("nan"), pd.Series(dtype=float)
    part = results.scores.parts["validation"]
    right = (part.logits > THRESHOLD) == (part.labels == 1)  # epochs and trials are chosen at probability 0.5
    first = pd.Series(comes_first(right), index=trials)
    rows = results.epochs[results.epochs["trial"].isin(trials)]
    if "validation_right" in rows and len(rows) and rows["validation_right"].notna().all():
        right = np.stack([right_of(bits, len(part)) for bits in rows["validation_right"]])
    return luck(right), first


def confusions(results: Results) -> dict[str, np.ndarray]:
    """Trial → confusion matrix on test, of the best and the worst finished trial that have test scores."""
    finished = results.ranked.loc[results.ranked["status"] == "finished", "trial"].tolist()
    ends = dict.fromkeys(finished[:1] + finished[-1:]) if "test" in results.scores.parts else {}
    return {
        trial: confusion(*results.scores.of(trial, "test"), results.scores.thresholds[trial])
        for trial in ends
        if trial in results.scores.trials
    }


def _scored_trials(results: Results) -> pd.DataFrame:
    return results.ranked[results.ranked["trial"].isin(results.scores.trials)]
