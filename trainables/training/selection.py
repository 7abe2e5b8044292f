"""Shards → arrays: what a trial trains on, decoded once and handed to every trial read-only."""

import fcntl
import hashlib
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep import shards
from data_prep.errors import InputError
from data_prep.storage import Folder

_STORY = "data.json"  # written last: with it, the arrays beside it are complete
_SMOKE_IMAGES = {"train": 400, "validation": 100, "test": 400}


@dataclass(frozen=True)
class Split:
    """Some rows of one split: `images` (n, height, width, 3) uint8, `labels` (n,) int8, 0 REAL and 1 FAKE.

    `rows` (n,) int32 are their places in the shards' split, counted from 0; `in_train` (n,) bool marks test images that
    also stand in the source's training split.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    in_train: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """The three splits, and a fingerprint of what was selected from which shards."""

    train: Split
    validation: Split
    test: Split
    fingerprint: str
    is_smoke: bool = False

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        return int(self.train.images.shape[1])


def load_data(folder: Folder, limit: int | None = None, smoke: bool = False) -> Data:
    """The arrays of a folder of shards.

    `limit` takes that many training images and at most a quarter as many for validation, half of them REAL, always the
    same ones; test stays whole. `smoke` takes a few hundred of every split. Raises InputError.
    """
    manifest = shards.read_manifest(folder)
    wanted = _wanted(limit, smoke)
    if limit and not smoke and limit > 2 * min(manifest.counts["train"].values()):
        most = 2 * min(manifest.counts["train"].values())
        raise InputError(
            f"--limit {limit} asks for more than the {most:,} balanced training images in {folder}; lower it."
        )
    splits = {split: _read_split(folder, split, wanted.get(split)) for split in shards.SPLITS}
    return Data(**splits, fingerprint=selection_fingerprint(manifest.fingerprint, limit, smoke), is_smoke=smoke)


@dataclass(frozen=True)
class Source:
    """Where a sweep's data come from: the arguments of `load_data`."""

    folder: Folder
    limit: int | None
    smoke: bool


def shared_data(source: Source, place: Path) -> Data:
    """The arrays of `load_data`, mapped into memory from files in `place`: one copy for all processes of a machine.

    Whoever comes first decodes and writes them, while the others wait.
    """
    with (place / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _STORY).exists():
            _write_arrays(load_data(source.folder, source.limit, source.smoke), place)
    splits = {
        split: Split(*(np.load(place / f"{split}-{field.name}.npy", mmap_mode="r") for field in fields(Split)))
        for split in shards.SPLITS
    }
    story = json.loads((place / _STORY).read_text())
    return Data(**splits, fingerprint=story["fingerprint"], is_smoke=story["is_smoke"])


def in_memory(data: Data) -> Data:
    """The same data, not mapped from files: for nodes that do not have those."""
    train, validation, test = (
        Split(*(np.array(getattr(split, field.name)) for field in fields(Split)))
        for split in (data.train, data.validation, data.test)
    )
    return replace(data, train=train, validation=validation, test=test)


def keep_data(reference: Any, place: Path) -> None:
    """Lay data that Ray holds where `shared_data` finds it on this node, once."""
    import ray

    with (place / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _STORY).exists():
            _write_arrays(ray.get(reference), place)


def _write_arrays(data: Data, place: Path) -> None:
    for split in shards.SPLITS:
        for field in fields(Split):
            np.save(place / f"{split}-{field.name}.npy", getattr(getattr(data, split), field.name))
    (place / _STORY).write_text(json.dumps({"fingerprint": data.fingerprint, "is_smoke": data.is_smoke}))


def selection_fingerprint(fingerprint: str, limit: int | None, smoke: bool) -> str:
    """What a trial's identity takes for its data: the shards' fingerprint and what was selected from them."""
    wanted = _wanted(limit, smoke)
    if not wanted:
        return fingerprint
    return hashlib.sha256(json.dumps([fingerprint, wanted]).encode()).hexdigest()[:16]


def image_counts(manifest: shards.Manifest, limit: int | None, smoke: bool) -> dict[str, int]:
    """Split → the number of images that `load_data` takes."""
    wanted = _wanted(limit, smoke)
    return {
        split: 2 * min(wanted[split] // 2, *labels.values()) if split in wanted else sum(labels.values())
        for split, labels in manifest.counts.items()
    }


def _wanted(limit: int | None, smoke: bool) -> dict[str, int]:
    """The most images of each split; no entry for a split that stays whole."""
    if smoke:
        return _SMOKE_IMAGES
    return {"train": limit, "validation": limit // 4} if limit else {}


def _read_split(folder: Folder, split: str, most: int | None) -> Split:
    """The first `most` rows of a split, as many REAL as FAKE. The shards are shuffled, so the first will do."""
    parts: list[pa.Table] = []
    for table in shards.read_tables(folder, split, ["image", "label", "duplicate"]):
        parts.append(table)
        if most and _balanced(_labels(parts), most).size == most:
            break
    labels = _labels(parts)
    rows = _balanced(labels, most) if most else np.arange(len(labels))
    images = np.concatenate([shards.images_of(table) for table in parts])
    in_train = np.concatenate([table["duplicate"].is_valid().to_numpy() for table in parts])
    return Split(images[rows] if most else images, labels[rows], rows.astype(np.int32), in_train[rows])


def _labels(tables: list[pa.Table]) -> np.ndarray:
    return np.concatenate([table["label"].to_numpy() for table in tables])


def _balanced(labels: np.ndarray, most: int) -> np.ndarray:
    """The places of the first most / 2 rows of each label, or as many as both labels have, in order."""
    by_label = [np.flatnonzero(labels == label) for label in (0, 1)]
    count = min(most // 2, *(len(places) for places in by_label))
    return np.sort(np.concatenate([places[:count] for places in by_label]))


def image_rows(folder: Folder, data: Data) -> dict[str, Any]:
    """Who the scored images are: columns split, row, label, path, object_class, in_train of validation and test."""
    columns: dict[str, list[Any]] = {name: [] for name in ("split", "row", "label", "path", "object_class", "in_train")}
    for name in ("validation", "test"):
        rows = getattr(data, name).rows
        table = pa.concat_tables(shards.read_tables(folder, name, ["label", "path", "object_class", "duplicate"]))
        table = table.set_column(3, "in_train", table["duplicate"].is_valid())
        for column in table.column_names:
            columns[column] += table[column].take(pa.array(rows)).to_pylist()
        columns["split"] += [name] * len(rows)
        columns["row"] += rows.tolist()
    return columns
