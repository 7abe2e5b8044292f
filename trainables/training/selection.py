"""What a sweep takes from shards: all images; with `--limit` N training and at most N / 4 validation images, half REAL
and half FAKE, and all of test; with `--resample-train` K so many training sets of N; with `--smoke` a few hundred."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep import Folder, InputError, shards
from data_prep.layout.vocabulary import SPLITS
from data_prep.split import places_in_sets

_SMOKE_IMAGES = {"train": 400, "validation": 100, "test": 400}
_TYPES = {"images": np.uint8, "labels": np.int8, "rows": np.int32, "duplicate": np.bool_}

#: Makes an empty array of a name, a shape and a type, or what takes rows as an array does.
New = Callable[[str, tuple[int, ...], Any], Any]


def in_memory(name: str, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """An empty array in memory."""
    return np.empty(shape, kind)


@dataclass(frozen=True)
class Split:
    """Some rows of one split: `images` (n, height, width, 3) uint8, `labels` (n,) int8, 0 REAL and 1 FAKE.

    `rows` (n,) int32 are positions in the shards' split, from 0; `duplicate` (n,) bool marks test images that
    stand in train or validation, too.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    duplicate: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """The three splits, and a fingerprint of what was selected from which shards.

    `train` consists of `subsets` training sets of equal size, one after the other.
    """

    train: Split
    validation: Split
    test: Split
    fingerprint: str
    is_smoke: bool = False
    subsets: int = 1

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        return int(self.train.images.shape[1])

    @property
    def train_images(self) -> int:
        """The number of images in a training set."""
        return len(self.train) // self.subsets

    def subset(self, number: int) -> "Data":
        """The same with one training set, counted from 1; with all of train for 0."""
        if not number:
            return self
        rows = slice((number - 1) * self.train_images, number * self.train_images)
        columns = (self.train.images, self.train.labels, self.train.rows, self.train.duplicate)
        return replace(self, train=Split(*(column[rows] for column in columns)), subsets=1)


@dataclass(frozen=True)
class DataSelection:
    """A folder of shards, and what to take from it.

    `limit` takes that many training images and at most a quarter as many validation images, balanced and always the
    same ones; test stays whole. `smoke` takes a few hundred images of every split. `subsets` is how many disjoint
    training sets of so many images to take.
    """

    folder: Folder
    limit: int | None = None
    smoke: bool = False
    subsets: int = 1

    @property
    def most(self) -> dict[str, int]:
        """Split → most images to take, of train for each training set; no entry for a split that stays whole."""
        if self.smoke:
            return _SMOKE_IMAGES | {"train": _SMOKE_IMAGES["train"] // self.subsets}
        return {"train": self.limit, "validation": self.limit // 4} if self.limit else {}

    def fingerprint(self, shards_fingerprint: str) -> str:
        """The fingerprint of the selected images, which enters a trial's identity."""
        if not self.most:
            return shards_fingerprint
        selected = [shards_fingerprint, self.most, *[self.subsets] * (self.subsets > 1)]
        return hashlib.sha256(json.dumps(selected).encode()).hexdigest()[:16]

    def is_here(self, fingerprint: str) -> bool:
        """Whether this machine sees shards of which the selected images have this fingerprint."""
        with contextlib.suppress(InputError):
            return self.fingerprint(shards.read_manifest(self.folder).fingerprint) == fingerprint
        return False

    def counts(self, manifest: shards.Manifest) -> dict[str, int]:
        """Split → images that a trial is given. Raises InputError where there are too few training images."""
        available = 2 * min(manifest.counts["train"].values())
        if self.limit and not self.smoke and self.limit * self.subsets > available:
            asked = f"--resample-train {self.subsets} of " * (self.subsets > 1) + f"--limit {self.limit}"
            raise InputError(
                f"{asked} asks for more than the {available:,} balanced training images in {self.folder}; lower it."
            )
        return {
            split: 2 * min(self.most[split] // 2, *(count // self._sets(split) for count in labels.values()))
            if split in self.most
            else sum(labels.values())
            for split, labels in manifest.counts.items()
        }

    def _sets(self, split: str) -> int:
        return self.subsets if split == "train" else 1

    def load(self, new: New = in_memory) -> Data:
        """Read the selected images into arrays that `new` makes. Raises InputError."""
        manifest = shards.read_manifest(self.folder)
        return Data(
            **{split: self._read(split, manifest, new) for split in SPLITS},
            fingerprint=self.fingerprint(manifest.fingerprint),
            is_smoke=self.smoke,
            subsets=self.subsets,
        )

    def image_rows(self, data: Data) -> pa.Table:
        """Name the scored images, those of validation and test: the columns of a record's images."""
        columns = ["label", "path", "object_class", "generator", "cluster", "duplicate"]
        tables = []
        for split in ("validation", "test"):
            rows = getattr(data, split).rows
            table = pa.concat_tables(shards.read_tables(self.folder, split, columns)).take(pa.array(rows))
            table = table.append_column("split", pa.array([split] * len(rows), pa.string()))
            tables.append(table.append_column("row", pa.array(rows, pa.int64())))
        return pa.concat_tables(tables)

    def _read(self, split: str, manifest: shards.Manifest, new: New) -> Split:
        """Read a split, or its first balanced rows: shards are shuffled, so the first rows are a random sample.

        Each image goes to its place as it is read, so that no more than a part of a shard is in memory besides.
        """
        is_whole, sets, of_set = split not in self.most, self._sets(split), self.counts(manifest)[split]
        of_files = (size["rows"] for name, size in manifest.files.items() if name.startswith(f"{split}-"))
        rows, side = sum(of_files) if is_whole else of_set * sets, manifest.image_size
        shapes = {"images": (rows, side, side, 3), "labels": (rows,), "rows": (rows,), "duplicate": (rows,)}
        made = Split(**{name: new(f"{split}-{name}", shape, _TYPES[name]) for name, shape in shapes.items()})
        start, seen, filled = 0, np.zeros(2, int), np.zeros(sets, int)
        for table in shards.read_tables(self.folder, split, ["image", "label", "duplicate"]) if rows else ():
            found = table["label"].to_numpy()
            here = np.arange(len(found))
            places = here + start if is_whole else places_in_sets(found, of_set // 2, seen, filled)
            here, places = here[places >= 0], places[places >= 0]
            made.images[places] = shards.images_of(table)[here]
            made.labels[places], made.rows[places] = found[here], here + start
            made.duplicate[places] = table["duplicate"].is_valid().to_numpy()[here]
            start += len(found)
            if not is_whole and filled.sum() == rows:
                break  # the rest of the shards need not be read
        if not is_whole and filled.sum() < rows:
            raise InputError(
                f"{self.folder} has fewer images of a label than its {shards.MANIFEST} says; delete {self.folder} and "
                "make it again with `python -m data_prep`."
            )
        return made
