"""Results → data frames of a search: how it progressed, and which hyperparameters matter. Empty for other sweeps."""

import contextlib
import json
import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution

from analysis.results.trials import FLAGGED, Results
from sweeps.searching.space import Hyperparameter, Space, Values, holds, valued
from trainables import Recipe
from trainables.record import UNFINISHED

_RESAMPLES = 10
_FEWEST_TRIALS = 10
_MOST_TRIALS = 200  # from which an importance is computed: its forests take longer than linearly
_HYPERPARAMETERS = Recipe("").hyperparameters().keys()
# Of a space that is read: hyperparameters, choices of each, letters of a name, and of all as JSON; and the largest end.
_MOST_VARIED, _MOST_CHOICES, _LONGEST, _MOST_LETTERS, _LARGEST = 64, 100, 100, 2**15, 2**53


def searched(results: Results) -> pd.DataFrame:
    """The trials that a search chose, by number, with a column for each hyperparameter that it varied.

    A hyperparameter is empty where it has no effect. Added are `best_so_far`, of the metric that the search maximizes,
    and `image_passes`, the images that all trials so far have trained on.
    """
    frame, _, values = _varied(results)
    return frame.drop(columns=[name for name in values if name in frame]).join(values)


def hyperparameters(results: Results) -> dict[str, BaseDistribution]:
    """The hyperparameters that the search varied, each with the distribution of its values."""
    return _varied(results)[1]


def _varied(results: Results) -> tuple[pd.DataFrame, dict[str, BaseDistribution], pd.DataFrame]:
    """The trials that a search chose; hyperparameter → distribution; the values of each, none where it has no effect.

    Left out are an argument of the name of another column, and a distribution that does not hold the value of a trial.
    """
    frame = results.trials[results.trials["number"].notna() & ~results.trials["status"].isin(UNFINISHED)]
    frame, space = frame.sort_values("number").reset_index(drop=True), _space(results)
    frame["best_so_far"] = frame[results.provenance.metric].where(frame["rank"].notna()).cummax().ffill()
    frame["image_passes"] = (frame["epochs_done"] * frame["train_images"]).fillna(0).cumsum()
    rows, names = frame.to_dict("records"), dict.fromkeys(each.name for each in space)
    values = pd.DataFrame([_values(row, space) for row in rows], frame.index, list(names), object)
    distributions = {
        each.name: each.values
        for each in space
        if not each.values.single()
        and (each.name in _HYPERPARAMETERS or each.name not in frame)
        and all(holds(each.values, value) for value in values[each.name].dropna())
    }
    return frame, distributions, values[list(distributions)]


def _values(row: dict[str, Any], space: Space) -> Values:
    known = row | (json.loads(row["arguments"]) if isinstance(row["arguments"], str) else {})
    return valued(space, lambda each: known.get(each.name))


def _space(results: Results) -> Space:
    """The space in the manifest; none if it is such as no sweep writes, for its figures may have any size."""
    entries = results.provenance.search.get("space", [])
    is_small = len(entries) <= _MOST_VARIED and len(json.dumps(entries)) <= _MOST_LETTERS
    with contextlib.suppress(ValueError, KeyError, TypeError, ArithmeticError, AssertionError):  # which Optuna raises
        space = [
            Hyperparameter(entry["name"], json_to_distribution(json.dumps(entry["values"])), entry["when"])
            for entry in entries * is_small
        ]
        return space if all(len(each.name) <= _LONGEST and _is_drawable(each.values) for each in space) else []
    return []


def _is_drawable(values: Any) -> bool:
    """Whether a figure has room for the choices of a distribution, or numbers for its ends."""
    if isinstance(values, CategoricalDistribution):
        return len(values.choices) <= _MOST_CHOICES and all(
            isinstance(value, str | int | float | None) and len(str(value)) <= _LONGEST for value in values.choices
        )
    return bool(-_LARGEST <= values.low <= values.high <= _LARGEST)


def importance(results: Results) -> pd.DataFrame:
    """One row a hyperparameter that every trial has, most important first: its share of the metric's variance.

    `mean` and `std`, 0–1, are over forests grown on resampled trials (fANOVA, Hutter et al. 2014), of `n` trials.
    Stopped trials count with the metric they had reached. Empty with fewer than ten trials, or if none differ.
    """
    metric, space = results.provenance.metric, hyperparameters(results)
    frame = searched(results).dropna(subset=[metric]).head(_MOST_TRIALS)
    always = {name: values for name, values in space.items() if name in frame and frame[name].notna().all()}
    if len(frame) < _FEWEST_TRIALS or not always or frame[metric].nunique() < 2:
        return pd.DataFrame(columns=["hyperparameter", "mean", "std", "n"])
    generator = np.random.default_rng(0)
    resamples = (frame.iloc[generator.integers(0, len(frame), len(frame))] for _ in range(_RESAMPLES))
    shares = [_shares(resample, metric, always, seed) for seed, resample in enumerate(resamples)]
    table = pd.DataFrame([share for share in shares if share], columns=list(always)).fillna(0.0)
    return pd.DataFrame(
        {
            "hyperparameter": table.columns,
            "mean": table.mean().to_numpy(),
            "std": table.std().to_numpy(),
            "n": len(frame),
        }
    ).sort_values("mean", ascending=False, ignore_index=True)


def _shares(frame: pd.DataFrame, metric: str, space: dict[str, BaseDistribution], seed: int) -> dict[str, float]:
    """Hyperparameter → its share of the variance; empty where the forest finds none, as among trials all at chance."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    with warnings.catch_warnings(), contextlib.suppress(RuntimeError, ValueError):  # ValueError: off a range's steps
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=seed)
        for row in frame.to_dict("records"):
            params = {name: row[name] for name in space}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=row[metric]))
        return optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(space))
    return {}


def front(results: Results) -> pd.DataFrame:
    """The Pareto front of a search for two objectives, most accurate first: no other trial is better in both."""
    metric, against = results.provenance.metric, results.provenance.search.get("against")
    frame = searched(results).loc[lambda trials: ~trials["status"].isin(FLAGGED)]
    if against is None or not len(frame):
        return frame.iloc[:0]
    frame = frame.sort_values([metric, against], ascending=[False, True])
    return frame[frame[against] < frame[against].cummin().shift(fill_value=np.inf)]
