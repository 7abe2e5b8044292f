"""Results → data frames of a search: how it progressed, and which hyperparameters matter. Empty for other sweeps."""

import json
import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, json_to_distribution

from analysis.results.trials import FLAGGED, Results

_RESAMPLES = 10
_FEWEST_TRIALS = 10
_MOST_TRIALS = 200  # from which an importance is computed: its forests take longer than linearly


def searched(results: Results) -> pd.DataFrame:
    """The trials that a search chose, by number, with a column for each hyperparameter that it varied.

    A hyperparameter is empty where it has no effect. Added are `best_so_far`, of the metric that the search maximizes,
    and `image_passes`, the images that all trials so far have trained on.
    """
    frame = results.trials[results.trials["number"].notna() & ~results.trials["status"].isin(["running", "pending"])]
    frame = frame.sort_values("number").reset_index(drop=True)
    values = pd.DataFrame([_values(row, results) for row in frame.to_dict("records")], index=frame.index, dtype=object)
    frame["best_so_far"] = frame[results.provenance.metric].where(frame["rank"].notna()).cummax().ffill()
    frame["image_passes"] = (frame["epochs_done"] * frame["train_images"]).fillna(0).cumsum()
    return frame.drop(columns=[name for name in values if name in frame]).join(values)


def hyperparameters(results: Results) -> dict[str, BaseDistribution]:
    """The hyperparameters that the search varied, each with the distribution of its values."""
    space = results.provenance.search.get("space", [])
    try:
        distributions = {entry["name"]: json_to_distribution(json.dumps(entry["values"])) for entry in space}
    except (ValueError, KeyError, TypeError):  # in a manifest that no sweep has written
        return {}
    return {name: distribution for name, distribution in distributions.items() if not distribution.single()}


def _values(row: dict[str, Any], results: Results) -> dict[str, Any]:
    """The value of each varied hyperparameter in a trial; None where its conditions are not met."""
    known = row | (json.loads(row["arguments"]) if isinstance(row["arguments"], str) else {})
    sampled = dict[str, Any]()
    for entry in results.provenance.search.get("space", []):
        if all(sampled.get(other) in values for other, values in entry["when"].items()):
            sampled[entry["name"]] = known.get(entry["name"])
    return {name: sampled.get(name) for name in hyperparameters(results)}


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
    for row in frame.to_dict("records"):
        params = {name: row[name] for name in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=row[metric]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=seed)
        try:
            return optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(space))
        except RuntimeError:
            return {}


def front(results: Results) -> pd.DataFrame:
    """The Pareto front of a search for two objectives, most accurate first: no other trial is better in both."""
    metric, against = results.provenance.metric, results.provenance.search.get("against")
    frame = searched(results).loc[lambda trials: ~trials["status"].isin(FLAGGED)]
    if against is None or not len(frame):
        return frame.iloc[:0]
    frame = frame.sort_values([metric, against], ascending=[False, True])
    return frame[frame[against] < frame[against].cummin().shift(fill_value=np.inf)]
