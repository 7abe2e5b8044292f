"""Record → data frames. The trials that are results are ranked; those that are not stand below, with the reason."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.results.provenance import Provenance, provenance
from analysis.results.scores import Scores, scores
from data_prep.errors import InputError
from data_prep.storage import Folder
from sweeps.record.writer import TRIAL_SCHEMA, read_epochs, read_manifest, read_trials
from sweeps.stats.intervals import mean_interval, share_interval, wilson
from trainables import Recipe
from trainables.training.metrics import confusion

#: Trials in these states are results. The others are in the order in which they are listed.
RANKED = ("finished", "stopped")
FLAGGED = ("collapsed", "diverged", "failed", "running", "pending")
SPLITS = ("validation", "test", "test_clean")
METRICS = [f"{split}_{name}" for name in ("accuracy", "auc", "loss") for split in SPLITS]

_COUNTS = [
    "number",
    "parameters",
    "epochs_done",
    "best_epoch",
    "seed",
    *(f"{split}_images" for split in ("train", *SPLITS)),
]


@dataclass(frozen=True)
class Results:
    """A record, read: what `results` and `read_epochs` give, and the scores of the ranked trials."""

    provenance: Provenance
    trials: pd.DataFrame
    epochs: pd.DataFrame
    scores: Scores

    @property
    def ranked(self) -> pd.DataFrame:
        """The results that are ranked, best first."""
        return self.trials[self.trials["rank"].notna()]

    @property
    def flagged(self) -> pd.DataFrame:
        """The trials that are no results: collapsed, diverged, failed, running, pending."""
        return self.trials[self.trials["rank"].isna()]

    def images(self, split: str) -> str:
        """How many images of a split the trials used, as text; `unknown` if nothing in the record says."""
        counts = set(self.trials[f"{split}_images"].dropna()) or {self.provenance.used.get(split)} - {None}
        return " or ".join(f"{count:,}" for count in sorted(counts)) or "unknown"


def read(folder: Folder) -> Results:
    """The record in `folder`. Raises InputError."""
    results = read_without_scores(folder)
    return dataclasses.replace(results, scores=scores(folder, results.ranked["trial"]))


def read_without_scores(folder: Folder) -> Results:
    """The record in `folder`, for whoever looks at it again and again: its scores are many files. Raises InputError."""
    origin = provenance(read_manifest(folder))
    trials, epochs = read_trials(folder), read_epochs(folder)
    if not {"trial", "network", "status"} <= set(trials.columns) or not {"trial", "epoch"} <= set(epochs.columns):
        raise InputError(f"{folder} has tables of another format; make the record again with --fresh.")
    return Results(origin, ranked_trials(trials, origin.metric, origin.direction), epochs, Scores((), {}))


def ranked_trials(trials: pd.DataFrame, metric: str = "validation_accuracy", direction: str = "max") -> pd.DataFrame:
    """One row a trial: the ranked ones by `metric`, best first, then the flagged ones by state.

    Those that trained to the end come before those that a search stopped, which are not scored on test. To the record's
    columns come `rank` (from 1; equals share one; none if flagged), `configuration` (the network, and the hyperparameters in
    which trials of it differ), and the 95 % intervals of the accuracies, `validation_low` and so on.
    """
    frame = trials.reindex(columns=TRIAL_SCHEMA.names)
    counts = frame[_COUNTS].astype("Int64")
    frame = frame.drop(columns=_COUNTS).astype(dict.fromkeys(METRICS, float)).join(counts)
    is_paused = frame["pause_epoch"].fillna(0) > 0  # and went on as another trial
    is_result = frame["status"].isin(RANKED) & np.isfinite(frame[metric]) & ~is_paused
    frame["rank"] = _ranks(frame[metric].where(is_result), frame["status"] == "finished", direction)
    frame["reason"] = [_reason(row) for _, row in frame.iterrows()]
    frame["configuration"] = _configurations(frame)
    for split in SPLITS:
        frame[[f"{split}_low", f"{split}_high"]] = _intervals(frame[f"{split}_accuracy"], frame[f"{split}_images"])
    states = frame["status"].map({state: place for place, state in enumerate([*FLAGGED, *RANKED])})
    order = np.lexsort((states.to_numpy(float), frame["rank"].to_numpy(float, na_value=np.inf)))
    return frame.iloc[order].reset_index(drop=True)


def _ranks(values: "pd.Series[float]", is_finished: "pd.Series[bool]", direction: str) -> "pd.Series[int]":
    parts = [
        values.where(part).rank(ascending=direction == "min", method="min") for part in (is_finished, ~is_finished)
    ]
    return parts[0].fillna(parts[1] + parts[0].count()).astype("Int64")


def _reason(row: "pd.Series[object]") -> str:
    """Why a trial stands where it stands, in words, on one line."""
    if isinstance(row["reason"], str) and row["reason"]:
        return " ".join(row["reason"].split())
    if pd.notna(row["rank"]):
        return ""
    known = {"pending": "not started or not resumed yet", "running": "under way"}
    known |= dict.fromkeys(RANKED, "the metric that ranks was not recorded")
    return known.get(str(row["status"]), "no reason was recorded")


def _intervals(shares: "pd.Series[float]", images: "pd.Series[int]") -> np.ndarray:
    sizes = images.to_numpy(float, na_value=np.nan)
    return np.array([wilson(*pair) for pair in zip(shares.to_numpy(float), sizes, strict=True)]).reshape(-1, 2)


def varied_hyperparameters(frame: pd.DataFrame) -> list[str]:
    """The hyperparameters of the recipe, besides network and seed, in which the trials differ."""
    hyperparameters = [
        hyperparameter.name
        for hyperparameter in dataclasses.fields(Recipe)
        if hyperparameter.name not in ("network", "seed", "parent", "pause_epoch")
    ]
    return [hyperparameter for hyperparameter in hyperparameters if frame[hyperparameter].nunique() > 1]


def _configurations(frame: pd.DataFrame) -> list[str]:
    """Per trial, the network and the hyperparameters in which trials of one network differ: what the seeds have in common.

    In a search, where nearly all differ, it is the number of the trial that had these hyperparameters first.
    """
    if frame["number"].notna().any():
        hyperparameters = [
            hyperparameter.name for hyperparameter in dataclasses.fields(Recipe) if hyperparameter.name != "seed"
        ]
        numbers = frame.groupby(hyperparameters, dropna=False)["number"].transform("min")
        return [f"#{number} {network}" for number, network in zip(numbers, frame["network"], strict=True)]
    per_network = frame.groupby("network")[varied_hyperparameters(frame)].nunique().max()
    hyperparameters = [str(hyperparameter) for hyperparameter, most in per_network.items() if most > 1]
    told = [
        [row["network"], *(_told(hyperparameter, row[hyperparameter]) for hyperparameter in hyperparameters)]
        for _, row in frame.iterrows()
    ]
    return [", ".join(part for part in parts if part) for parts in told]


def _told(hyperparameter: str, value: object) -> str:
    """`learning_rate 0.001`; of a network's options, each by its name: `padding same, units 64`."""
    if hyperparameter == "arguments" and isinstance(value, str):
        return ", ".join(_told(name, option) for name, option in json.loads(value).items())
    return f"{hyperparameter} {value:.3g}" if isinstance(value, float) else f"{hyperparameter} {value}"


def has_seeds(frame: pd.DataFrame) -> bool:
    """Whether the trials have more than one seed."""
    return bool(frame["seed"].nunique() > 1)


def has_spread(results: Results) -> bool:
    """Whether a configuration has more than one ranked trial."""
    return bool(results.ranked["configuration"].duplicated().any())


def without_choosers(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials, but of a configuration that a search trained again only those: the one that chose it was lucky."""
    is_again = frame["number"].isna().groupby(frame["configuration"]).transform("any")
    return frame[~is_again | frame["number"].isna()]


def networks(frame: pd.DataFrame, metric: str = "validation_accuracy", direction: str = "max") -> pd.DataFrame:
    """One row a configuration, best mean of `metric` first: over its seeds, each metric's mean and standard deviation.

    `_low` and `_high` are the 95 % interval of the mean (Student's t). `n` counts the ranked trials, which alone enter,
    `flagged` the others. A deviation (of n - 1) needs two trials.
    """
    ranked = frame[frame["rank"].notna()].groupby("configuration")
    spread = {f"{name}_{how}": ranked[name].agg(how) for name in METRICS for how in ("mean", "std")}
    for name in METRICS:
        interval = mean_interval if name.endswith("loss") else share_interval
        spread[f"{name}_low"] = ranked[name].agg(lambda values, interval=interval: interval(values)[1])
        spread[f"{name}_high"] = ranked[name].agg(lambda values, interval=interval: interval(values)[2])
    trials = frame.groupby("configuration")
    table = pd.DataFrame({"network": trials["network"].first(), "parameters": trials["parameters"].max()})
    table["n"] = ranked.size().reindex(table.index, fill_value=0)
    table["flagged"] = trials.size() - table["n"]
    table = table.join(pd.DataFrame(spread))
    return table.sort_values(f"{metric}_mean", ascending=direction == "min", kind="stable").reset_index()


def confusions(results: Results) -> dict[str, np.ndarray]:
    """Trial → confusion matrix on the test split, of the best and the worst finished trial that have test scores."""
    finished = results.ranked[results.ranked["status"] == "finished"]
    ends = dict.fromkeys(finished["trial"].iloc[[0, -1]]) if len(finished) else {}
    has_test = "test" in results.scores.parts
    return {
        trial: confusion(*results.scores.of(trial, "test")) for trial in ends if has_test and trial in results.scores
    }


def grid(frame: pd.DataFrame) -> pd.DataFrame:
    """The networks named `age-TRUNK-HEAD`, one row each: trunk, head, mean, std, n, flagged and states of its seeds.

    `mean` and `std` are of the validation accuracy of the n ranked trials. Empty if there are fewer than two such
    networks, if none has a ranked trial, or if a network's trials differ in more than the seed: a mean over them means
    nothing.
    """
    named = frame.join(frame["network"].str.extract(r"^age-(?P<trunk>c\d+)-(?P<head>f\d+)$")).dropna(subset="trunk")
    is_ranked = named["rank"].notna()
    if named["network"].nunique() < 2 or not is_ranked.any() or (named["configuration"] != named["network"]).any():
        return named.iloc[:0]
    cells = named.assign(
        accuracy=named["validation_accuracy"].where(is_ranked), state=named["status"].mask(is_ranked)
    ).groupby(["trunk", "head"])
    table = cells["accuracy"].agg(["mean", "std", "count", "size"])
    table["states"] = cells["state"].agg(lambda states: ", ".join(states.dropna().unique()))
    table["flagged"] = table["size"] - table["count"]
    return table.rename(columns={"count": "n"}).reset_index()
