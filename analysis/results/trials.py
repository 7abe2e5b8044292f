"""Record → results, one row a trial: the ranked ones, best first; below them the flagged ones, with their reasons."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.results.provenance import Provenance, provenance
from analysis.results.scores import Scores, scores
from data_prep import Folder, InputError
from sweeps.stats.families import estimate, single
from sweeps.stats.intervals import wilson
from trainables import Recipe
from trainables.record import SCHEMAS, TRIALS, UNFINISHED, read_epochs, read_manifest, read_table, read_trials
from trainables.training.metrics import SCORED_SPLITS

#: Trials of these statuses are ranked if their metric is finite and they are not paused. The others are flagged, and
#: listed in the order of their status.
RANKED = ("finished", "stopped")
FAILED = ("collapsed", "diverged", "failed")
FLAGGED = (*FAILED, *UNFINISHED)
RESULT_METRICS = [f"{split}_{name}" for name in ("accuracy", "auc", "loss") for split in SCORED_SPLITS]

_REPLICATE = ("seed", "training_subset")  # what tells the trials of a configuration apart
_COUNTS = [
    *("number", "parameters", "epochs_done", "best_epoch", *_REPLICATE),
    *(f"{split}_images" for split in ("train", *SCORED_SPLITS)),
]
_HYPERPARAMETERS = [field.name for field in dataclasses.fields(Recipe) if field.name not in _REPLICATE]
#: Status → the reason of a trial for which the record gives none.
_REASONS = {
    "pending": "not started or not resumed yet",
    "running": "under way",
    **dict.fromkeys(RANKED, "the metric that ranks was not recorded"),
}


@dataclass(frozen=True)
class Results:
    """A record, loaded: `trials` as `ranked_trials` gives them, `epochs` as recorded, the `scores` of ranked trials."""

    provenance: Provenance
    trials: pd.DataFrame
    epochs: pd.DataFrame
    scores: Scores

    @property
    def ranked(self) -> pd.DataFrame:
        """The trials that have a rank, best first."""
        return self.trials[self.trials["rank"].notna()]

    @property
    def flagged(self) -> pd.DataFrame:
        """The trials without a rank: of a status in FLAGGED, paused, or without the metric that ranks."""
        return self.trials[self.trials["rank"].isna()]

    @property
    def has_training_sets(self) -> bool:
        """Whether trials were trained on several training sets."""
        return bool((self.trials["training_subset"] > 0).any())

    @property
    def unit(self) -> str:
        """What a configuration was trained with again and again, over which its mean is: seed or training set.

        With several training sets, each counts as the mean of its seeds.
        """
        return "training set" if self.has_training_sets else "seed"

    @property
    def scope(self) -> str:
        """What intervals of means over several seeds are over, in words."""
        if self.has_training_sets:
            return f"images, seeds and training sets of {self.images('train')} images"
        return "images and seeds, for this training set"

    @property
    def is_unfinished(self) -> bool:
        """Whether a trial has not ended."""
        return bool(self.trials["status"].isin(UNFINISHED).any())

    def images(self, split: str) -> str:
        """The number of images of a split that the trials used, as text; `unknown` if the record does not say."""
        counts = set(self.trials[f"{split}_images"].dropna()) or {self.provenance.manifest.data.used.get(split)} - {
            None
        }
        return " or ".join(f"{count:,}" for count in sorted(counts)) or "unknown"


def read(folder: Folder) -> Results:
    """Load the record in `folder`. Raises InputError."""
    results = read_without_scores(folder)
    # A search may stop a trial while the trial's process trains its last epoch and is scored: that is not its result.
    finished = results.ranked.loc[results.ranked["status"] == "finished", "trial"]
    return _at_thresholds(dataclasses.replace(results, scores=scores(folder, finished)))


def _at_thresholds(results: Results) -> Results:
    """The same, with accuracies on test at the threshold that is best on validation, also of older records.

    Where images are not independent, their intervals allow for it.
    """
    trials, scores = results.trials.copy(), results.scores
    for place in trials.index[trials["trial"].isin(scores.trials)] if "validation" in scores.parts else ():
        name = trials.loc[place, "trial"]
        for part, images in scores.parts.items():
            right = scores.is_right([name], part)
            if pd.isna(trials.loc[place, "threshold"]) and part != "validation":
                share = float(right.mean())
                trials.loc[place, [f"{part}_accuracy", f"{part}_low", f"{part}_high"]] = (
                    share,
                    *wilson(share, len(images)),
                )
            if images.clusters is not None:
                low, high = single(estimate([right], images.clusters))
                trials.loc[place, [f"{part}_low", f"{part}_high"]] = low[0], high[0]
        trials.loc[place, "threshold"] = scores.thresholds[name]
    return dataclasses.replace(results, trials=trials)


def read_without_scores(folder: Folder) -> Results:
    """Load the record in `folder` without its scores, which are many files: cheap to repeat. Raises InputError."""
    origin = provenance(read_manifest(folder))
    trials, epochs = read_trials(folder), read_epochs(folder)
    # A kill may leave epochs of a trial that is not written yet.
    return Results(origin, ranked_trials(trials, origin), epochs[epochs["trial"].isin(trials["trial"])], Scores((), {}))


def read_extra(folder: Folder, file: str, schema: pa.Schema, command: str) -> pd.DataFrame:
    """Load a table that a `command` of the analysis adds to the record, with the columns of `schema`.

    It has no rows if there is no such file. Raises InputError if the file cannot be read.
    """
    try:
        return pd.DataFrame(read_table(folder, file, schema).to_pandas())
    except FileNotFoundError:
        return pd.DataFrame(schema.empty_table().to_pandas())
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{folder}/{file} cannot be read ({reason}); delete it and run `{command}` again.")


def ranked_trials(trials: pd.DataFrame, origin: Provenance) -> pd.DataFrame:
    """One row a trial: the ranked ones, best first, then the flagged ones by status.

    Trials that trained to the end come before those that a search stopped, which are not scored on test. Added to the
    record's columns are `rank` (from 1; equals share one; none if flagged), `configuration` (the network, and the
    hyperparameters in which its trials differ), and the 95 % intervals of the accuracies, `validation_low` and so on.
    """
    frame = trials.reindex(columns=SCHEMAS[TRIALS].names)
    frame = (
        frame.drop(columns=_COUNTS).astype(dict.fromkeys(RESULT_METRICS, float)).join(frame[_COUNTS].astype("Int64"))
    )
    is_paused = frame["pause_epoch"].fillna(0) > 0  # and may be continued as another trial
    is_result = frame["status"].isin(RANKED) & np.isfinite(frame[origin.metric]) & ~is_paused
    values, is_finished = frame[origin.metric].where(is_result), frame["status"] == "finished"
    finished, stopped = (
        values.where(mask).rank(ascending=origin.direction == "min", method="min")
        for mask in (is_finished, ~is_finished)
    )
    frame["training_subset"] = frame["training_subset"].fillna(0)
    frame["rank"] = finished.fillna(stopped + finished.count()).astype("Int64")
    frame["reason"] = [_reason(row) for row in frame.to_dict("records")]
    frame["configuration"] = _configurations(frame)
    for split in SCORED_SPLITS:
        shares = frame[[f"{split}_accuracy", f"{split}_images"]].astype(float).to_numpy()
        frame[[f"{split}_low", f"{split}_high"]] = np.array([wilson(*pair) for pair in shares]).reshape(-1, 2)
    places = frame["status"].map({status: place for place, status in enumerate([*FLAGGED, *RANKED])})
    order = np.lexsort((places.to_numpy(float), frame["rank"].to_numpy(float, na_value=np.inf)))
    return frame.iloc[order].reset_index(drop=True)


def _reason(row: dict[str, object]) -> str:
    """Why a trial has no rank, or what the record says of it, on one line."""
    if isinstance(row["reason"], str) and row["reason"]:
        return " ".join(row["reason"].split())
    return "" if pd.notna(row["rank"]) else _REASONS.get(str(row["status"]), "no reason was recorded")


def varied_hyperparameters(frame: pd.DataFrame) -> list[str]:
    """The hyperparameters of the recipe, besides network, seed and training set, in which the trials differ."""
    return [
        name
        for name in _HYPERPARAMETERS
        if name not in ("network", "parent", "pause_epoch") and frame[name].nunique() > 1
    ]


def _configurations(frame: pd.DataFrame) -> list[str]:
    """Each trial's configuration: the network, and the hyperparameters in which trials of one network differ.

    In a search, where nearly all differ, it is the number of the trial that had these hyperparameters first.
    """
    if frame["number"].notna().any():
        numbers = frame.groupby(_HYPERPARAMETERS, dropna=False)["number"].transform("min")
        return [f"#{number} {network}" for number, network in zip(numbers, frame["network"], strict=True)]
    values_per_network = frame.groupby("network")[varied_hyperparameters(frame)].nunique().max()
    names = [str(name) for name, most in values_per_network.items() if most > 1]
    return [
        ", ".join(filter(None, [row["network"], *(_setting(name, row[name]) for name in names)]))
        for row in frame.to_dict("records")
    ]


def _setting(name: str, value: object) -> str:
    """`momentum 0.9`; of the arguments of a network, each by its name: `padding same, units 64`."""
    if name == "arguments" and isinstance(value, str):
        return ", ".join(_setting(argument, given) for argument, given in json.loads(value).items())
    return f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
