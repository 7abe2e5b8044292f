"""The raw scores of a record's trials, image by image: every metric can be recomputed from them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_prep import Folder
from trainables.record import IMAGES, read_images, read_scores


@dataclass(frozen=True)
class Part:
    """The n images of one split, or of its clean part, with the scores that t trials give them.

    `rows` (n,) are their places in the split of the shards; `labels` (n,) are 0 REAL and 1 FAKE; `logits` (t, n) are
    float32, positive for FAKE; `classes` (n,) are the object classes and `paths` (n,) the images' names, "" where there
    is none.
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
    """The scores of `trials`, in this order, on the parts validation, test and test_clean: those that have images."""

    trials: tuple[str, ...]
    parts: dict[str, Part]

    def of(self, trial: str, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and logits (n,) of one trial."""
        return self.parts[part].labels, self.parts[part].logits[self.trials.index(trial)]

    def is_right(self, trials: Iterable[str], part: str) -> np.ndarray:
        """Whether each of k trials is right about each image at the threshold of training, (k, n) bool."""
        images = self.parts[part]
        return np.asarray((images.logits[[self.trials.index(trial) for trial in trials]] > 0) == (images.labels == 1))


def scores(folder: Folder, trials: Iterable[str]) -> Scores:
    """The scores of those of the trials that have any. Raises InputError for a file that cannot be read.

    Trials of a record should all score the same images: one whose images differ from the first's is left out.
    """
    files = set(folder.folder("scores").names())
    frames = {trial: read_scores(folder, trial) for trial in trials if f"{trial}.parquet" in files}
    if not frames:
        return Scores((), {})
    images, who = next(iter(frames.values()))[["split", "row", "label"]], ["row", "label"]
    frames = {trial: frame for trial, frame in frames.items() if np.array_equal(frame[who], images[who])}
    logits = np.stack([frame["score"].to_numpy(np.float32) for frame in frames.values()])
    masks = {split: (images["split"] == split).to_numpy() for split in ("validation", "test")}
    if folder.exists(IMAGES):
        columns = ["split", "row", "path", "object_class", "duplicate"]
        images = images.merge(read_images(folder)[columns], on=["split", "row"], how="left", validate="one_to_one")
        masks["test_clean"] = masks["test"] & images["duplicate"].isna().to_numpy()
    texts = images.reindex(columns=["object_class", "path"]).astype(object).fillna("").to_numpy(str)
    labels, rows = images["label"].to_numpy(), images["row"].to_numpy()
    parts = {
        name: Part(rows[mask], labels[mask], logits[:, mask], *texts[mask].T)
        for name, mask in masks.items()
        if mask.any()
    }
    return Scores(tuple(frames), parts)
