"""Trials → what their configurations reach over several seeds."""

from typing import Any

import pandas as pd

from analysis.results.trials import RESULT_METRICS, Results
from trainables.record import replicate
from trainables.training.metrics import SELECTION_METRIC


def has_seeds(trials: pd.DataFrame) -> bool:
    """Whether the trials have more than one seed."""
    return bool(trials["seed"].nunique() > 1)


def trial_name(row: "pd.Series[Any]", results: Results) -> str:
    """A trial's configuration, and its seed where the record has several."""
    return f"{row['configuration']} ({replicate(row)})" if has_seeds(results.trials) else str(row["configuration"])


def replicates(trials: pd.DataFrame) -> list[list[str]]:
    """The trials of a configuration in groups: each alone, or together those of one training set."""
    is_of_set = trials["training_subset"] > 0
    keys = trials["training_subset"].where(is_of_set, -trials.reset_index().index.to_series(trials.index))
    return [group.tolist() for _, group in trials.groupby(keys, sort=False)["trial"]]


def has_spread(results: Results) -> bool:
    """Whether a configuration has more than one ranked trial."""
    return bool(results.ranked["configuration"].duplicated().any())


def in_order(results: Results) -> list[str]:
    """Every configuration: those that trained to the end, then stopped ones, best mean first; last those unranked."""
    groups = results.ranked.groupby("configuration", sort=False)
    order = pd.DataFrame(
        {
            "is_stopped": ~groups["status"].agg(lambda statuses: (statuses == "finished").any()).astype(bool),
            "mean": groups[results.provenance.metric].mean(),
        }
    ).sort_values(["is_stopped", "mean"], ascending=[True, results.provenance.direction == "min"], kind="stable")
    return list(dict.fromkeys([*order.index, *results.trials["configuration"]]))


def without_choosers(trials: pd.DataFrame) -> pd.DataFrame:
    """Drop the search trial of every configuration that was retrained with new seeds: its score is selection-biased."""
    is_retrained = trials["number"].isna().groupby(trials["configuration"]).transform("any")
    return trials[~is_retrained | trials["number"].isna()]


def networks(results: Results) -> pd.DataFrame:
    """One row a configuration, best mean first: each metric's mean and standard deviation over its seeds.

    `n` counts the ranked trials, which alone enter, and `flagged` the others. A deviation (of n - 1) needs two trials.
    """
    ranked, trials = (frame.groupby("configuration") for frame in (results.ranked, results.trials))
    n = ranked.size().reindex(trials.size().index, fill_value=0)
    table = pd.DataFrame(
        {
            "network": trials["network"].first(),
            "parameters": trials["parameters"].max(),
            "n": n,
            "flagged": trials.size() - n,
        }
    )
    spread = {f"{name}_{how}": ranked[name].agg(how) for name in RESULT_METRICS for how in ("mean", "std")}
    table = table.join(pd.DataFrame(spread))
    metric, is_loss = results.provenance.metric, results.provenance.direction == "min"
    return table.sort_values(f"{metric}_mean", ascending=is_loss, kind="stable").reset_index()


def best_trials(results: Results) -> pd.DataFrame:
    """The ranked trials, a seed each and best first, of the configuration with the best mean of the metric that ranks.

    Trials that trained to the end come before those that were stopped. Of a search whose best configurations were
    trained again with new seeds, only these count, without the trials that chose them.
    """
    ranked = results.ranked
    is_again = ranked["number"].isna() & bool(results.provenance.search)
    for mask in (is_again, ranked["status"] == "finished"):
        ranked = ranked[mask.reindex(ranked.index)] if mask.any() else ranked
    means = ranked.groupby("configuration", sort=False)[results.provenance.metric].mean()
    best = means.index[means == (means.min() if results.provenance.direction == "min" else means.max())]
    return ranked[ranked["configuration"].isin(best[:1])]


def trunk_by_head(trials: pd.DataFrame) -> pd.DataFrame:
    """The networks named `age-TRUNK-HEAD`, one row each: trunk, head, mean, std, n, flagged and states of its seeds.

    `mean` and `std` are of the validation accuracy of the n ranked trials. Empty if there are fewer than two such
    networks, if none has a ranked trial, or if a network's trials differ in more than the seed: a mean over them means
    nothing.
    """
    named = trials.join(trials["network"].str.extract(r"^age-(?P<trunk>c\d+)-(?P<head>f\d+)$")).dropna(subset="trunk")
    is_ranked = named["rank"].notna()
    if named["network"].nunique() < 2 or not is_ranked.any() or (named["configuration"] != named["network"]).any():
        return named.iloc[:0]
    columns = {"accuracy": named[SELECTION_METRIC].where(is_ranked), "state": named["status"].mask(is_ranked)}
    cells = named.assign(**columns).groupby(["trunk", "head"])
    table = cells["accuracy"].agg(["mean", "std", "count", "size"])
    states = cells["state"].agg(lambda states: ", ".join(states.dropna().unique()))
    table = table.assign(states=states, flagged=table["size"] - table["count"])
    return table.rename(columns={"count": "n"}).reset_index()


def first_of_each(results: Results, most: int) -> dict[str, str]:
    """Trial → its configuration: the best trial of each of the first configurations that have test scores.

    Configurations are in the order of their means over seeds.
    """
    if "test" not in results.scores.parts:
        return {}
    scored = results.ranked[results.ranked["trial"].isin(results.scores.trials)]
    means = scored.groupby("configuration", sort=False)[results.provenance.metric].mean()
    names = means.sort_values(ascending=results.provenance.direction == "min", kind="stable").index[:most]
    best = scored.drop_duplicates("configuration").set_index("configuration").loc[names, "trial"]
    return {str(trial): str(name) for name, trial in best.items()}
