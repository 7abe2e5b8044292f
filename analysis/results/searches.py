"""Results → data frames of a search: how it got on, and what its hyperparameters matter. Empty for a sweep that is no search."""

import json
import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, json_to_distribution

from analysis.results.trials import FLAGGED, Results
from sweeps.stats.intervals import share_interval

_RESAMPLES = 10
_FEWEST_TRIALS = 10
_MOST_TRIALS = 200  # of which an importance is computed: its forests take longer than linearly


def searched(results: Results) -> pd.DataFrame:
    """The trials that a search chose, by number, with a column for each hyperparameter that it turned, empty where it had no say.

    Added are `best_so_far`, of the trials up to there in validation accuracy, and `image_passes`, of all of them.
    """
    frame = results.trials[results.trials["number"].notna() & ~results.trials["status"].isin(["running", "pending"])]
    frame = frame.sort_values("number").reset_index(drop=True)
    values = pd.DataFrame([_values(row, results) for row in frame.to_dict("records")], index=frame.index, dtype=object)
    frame["best_so_far"] = frame["validation_accuracy"].where(frame["rank"].notna()).cummax().ffill()
    frame["image_passes"] = (frame["epochs_done"] * frame["train_images"]).fillna(0).cumsum()
    return frame.drop(columns=[name for name in values if name in frame]).join(values)


def hyperparameters(results: Results) -> dict[str, BaseDistribution]:
    """The hyperparameters that were turned, and what values they had to choose from."""
    space = results.provenance.search.get("space", [])
    found = {
        hyperparameter["name"]: json_to_distribution(json.dumps(hyperparameter["values"])) for hyperparameter in space
    }
    return {name: values for name, values in found.items() if not values.single()}


def _values(row: dict[str, Any], results: Results) -> dict[str, Any]:
    options = json.loads(row["arguments"]) if isinstance(row["arguments"], str) else {}
    known, drawn = {**row, **options}, dict[str, Any]()
    for hyperparameter in results.provenance.search.get("space", []):
        if all(drawn.get(other) in values for other, values in hyperparameter["when"].items()):
            drawn[hyperparameter["name"]] = known.get(hyperparameter["name"])
    return {name: drawn.get(name) for name in hyperparameters(results)}


def importance(results: Results) -> pd.DataFrame:
    """One row a hyperparameter that always matters, most important first: its share of the variance of validation accuracy.

    `mean` and `std`, 0–1, are over forests grown on resampled trials (fANOVA, Hutter et al. 2014), of `n` trials.
    Stopped trials count with the accuracy they had. Empty with fewer than ten trials, or if none differ.
    """
    frame = searched(results).dropna(subset=["validation_accuracy"]).head(_MOST_TRIALS)
    space = hyperparameters(results)
    always = [name for name in space if name in frame and frame[name].notna().all()]
    if len(frame) < _FEWEST_TRIALS or not always or frame["validation_accuracy"].nunique() < 2:
        return pd.DataFrame(columns=["hyperparameter", "mean", "std", "n"])
    generator = np.random.default_rng(0)
    shares = [
        _shares(frame.iloc[generator.integers(0, len(frame), len(frame))], {name: space[name] for name in always}, seed)
        for seed in range(_RESAMPLES)
    ]
    table = pd.DataFrame([each for each in shares if each], columns=always).fillna(0.0)
    found = pd.DataFrame(
        {"hyperparameter": table.columns, "mean": table.mean().to_numpy(), "std": table.std().to_numpy()}
    )
    return found.assign(n=len(frame)).sort_values("mean", ascending=False, ignore_index=True)


def _shares(frame: pd.DataFrame, space: dict[str, BaseDistribution], seed: int) -> dict[str, float]:
    """Hyperparameter → its share of the variance; empty where the forest sees none, as among trials that are all at chance."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for row in frame.to_dict("records"):
        params = {name: row[name] for name in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=row["validation_accuracy"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=seed)
        try:
            return optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(space))
        except RuntimeError:
            return {}


def front(results: Results) -> pd.DataFrame:
    """The trials of a search for two objectives that no other is better than in both, most accurate first."""
    against = results.provenance.search.get("against")
    frame = searched(results)
    frame = frame[~frame["status"].isin(FLAGGED)] if against else frame.iloc[:0]
    if against is None or not len(frame):
        return frame
    frame = frame.sort_values(["validation_accuracy", against], ascending=[False, True])
    least = frame[against].cummin().shift(fill_value=np.inf)
    return frame[frame[against] < least]


def repeats(results: Results) -> pd.DataFrame:
    """One row a configuration of a search that was trained again with new seeds; the seed that chose it does not enter.

    Mean and 95 % interval (Student's t, over n seeds) of the accuracies: `test_clean_accuracy_low` and so on.
    """
    is_repeat = results.trials["number"].isna() if results.provenance.search else np.zeros(len(results.trials), bool)
    again = results.trials[is_repeat & results.trials["rank"].notna()]
    rows = []
    for configuration, trials in again.groupby("configuration", sort=False):
        row: dict[str, Any] = {"configuration": configuration, "n": len(trials)}
        for name in ("validation_accuracy", "test_accuracy", "test_clean_accuracy"):
            row |= dict(
                zip([f"{name}_{how}" for how in ("mean", "low", "high")], share_interval(trials[name]), strict=True)
            )
        rows.append(row)
    return pd.DataFrame(rows)
