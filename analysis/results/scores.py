"""The raw scores of a record's trials, image by image: from them every metric can be made again."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_prep.storage import Folder
from trainables.record import IMAGES, read_images, read_scores


@dataclass(frozen=True)
class Part:
    """The images of one split, or of its clean rest, and what each of t trials says of them.

    `rows` (n,) are their places in the shards' split; `labels` (n,) are 0 REAL and 1 FAKE; `logits` (t, n) float32,
    positive for FAKE; `classes` (n,) are the object classes and `paths` the images' names, "" where there is none.
    """

    rows: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    classes: np.ndarray
    paths: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Scores:
    """Of the trials named, in this order, the parts validation, test and test_clean: those that have images."""

    trials: tuple[str, ...]
    parts: dict[str, Part]

    def __contains__(self, trial: str) -> bool:
        return trial in self.trials

    def of(self, trial: str, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and logits (n,) of one trial."""
        found = self.parts[part]
        return found.labels, found.logits[self.trials.index(trial)]


def scores(folder: Folder, trials: Iterable[str]) -> Scores:
    """The scores of those of the trials that have any. Raises InputError for a file that cannot be read.

    All trials of a record score the same images; one whose images are others than the first's is left out.
    """
    names = set(folder.folder("scores").names())
    found = {trial: read_scores(folder, trial) for trial in trials if f"{trial}.parquet" in names}
    if not found:
        return Scores((), {})
    who = next(iter(found.values()))[["split", "row", "label"]]
    kept = [trial for trial, frame in found.items() if _same(frame, who)]
    logits = np.stack([found[trial]["score"].to_numpy(np.float32) for trial in kept])
    named = _named(folder, who)
    masks = {split: (who["split"] == split).to_numpy() for split in ("validation", "test")}
    if "duplicate" in named:
        masks["test_clean"] = masks["test"] & named["duplicate"].isna().to_numpy()
    classes, paths = (_text(named, column) for column in ("object_class", "path"))
    labels, rows = who["label"].to_numpy(), who["row"].to_numpy()
    parts = {
        name: Part(rows[mask], labels[mask], logits[:, mask], classes[mask], paths[mask])
        for name, mask in masks.items()
    }
    return Scores(tuple(kept), {name: part for name, part in parts.items() if len(part)})


def _same(frame: pd.DataFrame, who: pd.DataFrame) -> bool:
    return len(frame) == len(who) and all(np.array_equal(frame[name], who[name]) for name in ("row", "label"))


def _text(frame: pd.DataFrame, column: str) -> np.ndarray:
    return np.asarray(frame.get(column, pd.Series("", index=frame.index)).fillna(""), str)


def _named(folder: Folder, who: pd.DataFrame) -> pd.DataFrame:
    """The rows of `who` with what the record says of these images, if it does."""
    if not folder.exists(IMAGES):
        return who
    told = read_images(folder)[["split", "row", "path", "object_class", "duplicate"]]
    return who.merge(told, on=["split", "row"], how="left", validate="one_to_one")
