"""The raw scores of a record's trials, image by image: every metric can be recomputed from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from data_prep import Folder
from trainables.record import IMAGES, read_images, read_scores
from trainables.training.metrics import THRESHOLD, best_threshold

#: Field of a part → the column of the record's images that it holds.
_TEXTS = {"classes": "object_class", "paths": "path", "generators": "generator", "duplicates": "duplicate"}
_LEAST_EFFECT = 1.02  # of clusters on a variance, for them to count


@dataclass(frozen=True)
class Part:
    """The n images of one split, or of its clean part, with the scores that t trials give them.

    `rows` (n,) are their places in the split of the shards; `labels` (n,) are 0 REAL and 1 FAKE; `logits` (t, n) are
    float32, positive for FAKE; `classes`, `paths`, `generators` and `duplicates` (n,) are what the record says of the
    images, "" where it says nothing. `clusters` (n,) are numbers, from 0, equal for images that are not independent;
    None if all are.
    """

    rows: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    classes: np.ndarray
    paths: np.ndarray
    generators: np.ndarray
    duplicates: np.ndarray
    clusters: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Scores:
    """The scores of `trials`, in this order, on the parts validation, test and test_clean: those that have images."""

    trials: tuple[str, ...]
    parts: dict[str, Part]

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Trial → the logit above which an image is called FAKE: the best on validation (0 without validation)."""
        if "validation" not in self.parts:
            return dict.fromkeys(self.trials, THRESHOLD)
        return {trial: best_threshold(*self.of(trial, "validation")) for trial in self.trials}

    def clusters(self, part: str) -> int:
        """How many clusters a part has whose images are not independent; 0 where all images are taken to be."""
        images = self.parts.get(part)
        return 0 if images is None or images.clusters is None else int(images.clusters.max()) + 1

    def of(self, trial: str, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and logits (n,) of one trial."""
        return self.parts[part].labels, self.parts[part].logits[self.trials.index(trial)]

    def is_right(self, trials: Iterable[str], part: str) -> np.ndarray:
        """Whether each of k trials is right about each image, (k, n) bool.

        On test at the threshold that is best on validation; on validation at that of training.
        """
        images, names = self.parts[part], list(trials)
        of_training = dict.fromkeys(names, THRESHOLD)
        thresholds = np.array([(of_training if part == "validation" else self.thresholds)[name] for name in names])[
            :, None
        ]
        logits = images.logits[[self.trials.index(name) for name in names]]
        return np.asarray((logits > thresholds) == (images.labels == 1))

    def mean_right(self, replicates: Iterable[Sequence[str]], part: str) -> np.ndarray:
        """The share of trials in each of k groups that are right about each image, (k, n), 0–1."""
        return np.stack([self.is_right(trials, part).mean(axis=0) for trials in replicates])


def scores(folder: Folder, trials: Iterable[str]) -> Scores:
    """The scores of those of the trials that have any. Raises InputError for a file that cannot be read.

    Trials of a record should all score the same images: one whose images differ from the first's is left out.
    """
    files = set(folder.folder("scores").names())
    frames = {trial: read_scores(folder, trial) for trial in trials if f"{trial}.parquet" in files}
    if not frames:
        return Scores((), {})
    images, who = next(iter(frames.values()))[["split", "row", "label"]], ["row", "label"]
    frames = {trial: frame for trial, frame in frames.items() if frame[who].equals(images[who])}
    logits = np.stack([frame["score"].to_numpy(np.float32) for frame in frames.values()])
    masks = {split: (images["split"] == split).to_numpy() for split in ("validation", "test")}
    if folder.exists(IMAGES):
        columns = ["split", "row", *_TEXTS.values(), "cluster"]
        images = images.merge(read_images(folder)[columns], on=["split", "row"], how="left", validate="one_to_one")
        masks["test_clean"] = masks["test"] & images["duplicate"].isna().to_numpy()
    texts = images.reindex(columns=list(_TEXTS.values())).astype(object).fillna("").to_numpy().T
    labels, rows = images["label"].to_numpy(), images["row"].to_numpy()
    clusters = images.get("cluster", pd.Series(None, images.index, object))
    parts = {
        name: Part(
            rows[mask],
            labels[mask],
            logits[:, mask],
            **dict(zip(_TEXTS, texts[:, mask], strict=True)),
            clusters=numbered(clusters[mask]),
        )
        for name, mask in masks.items()
        if mask.any()
    }
    return Scores(tuple(frames), parts)


def numbered(clusters: "pd.Series[str]") -> np.ndarray | None:
    """The clusters as numbers from 0, its own for an image without one; None where they widen no interval by 1 %."""
    if clusters.isna().all():
        return None
    own = pd.Series([f"\0{place}" for place in range(len(clusters))], clusters.index)
    numbers = pd.factorize(clusters.fillna(own))[0]
    effect = np.square(np.bincount(numbers)).sum() / len(numbers)
    return numbers if effect > _LEAST_EFFECT else None
