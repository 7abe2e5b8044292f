"""A sweep's images on a node: read once, into files, and mapped by every process there."""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep import shards
from trainables.training.selection import Data, DataSelection, New, Split, in_memory

_STORY = "data.json"  # written last: with it, the arrays beside it are complete
_COLUMNS = [field.name for field in fields(Split)]


class _NewFile:
    """An array in a file, mapped only while rows are written: none of it stays in this process's memory.

    Raises OSError where the disk has no room for it: a write to a mapped file on a full disk kills the process.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], kind: Any) -> None:
        self._path = path
        np.lib.format.open_memmap(path, "w+", kind, shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)

    def __setitem__(self, places: Any, values: np.ndarray) -> None:
        np.load(self._path, mmap_mode="r+")[places] = values


def mapped(node_folder: Path, load: Callable[[New], Data]) -> Data:
    """Map the images that lie in a node's folder; without any, `load` them into files there first.

    Other processes of the node wait meanwhile.
    """
    with (node_folder / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (node_folder / _STORY).exists():
            data = load(lambda name, *kind: _NewFile(node_folder / f"{name}.npy", *kind))
            story = {name: getattr(data, name) for name in ("fingerprint", "is_smoke", "subsets")}
            (node_folder / _STORY).write_text(json.dumps(story))
    splits: dict[str, Any] = {
        split: Split(*(np.load(node_folder / f"{split}-{column}.npy", mmap_mode="r") for column in _COLUMNS))
        for split in shards.SPLITS
    }
    return Data(**splits, **json.loads((node_folder / _STORY).read_text()))


def shared_data(selection: DataSelection, node_folder: Path) -> Data:
    """Map the selected images, reading them first if no process of this node has. Raises InputError."""
    return mapped(node_folder, selection.load)


def copied(data: Data, new: New = in_memory) -> Data:
    """Copy images into arrays that `new` makes: into memory, to be sent to nodes that lack the files, or into files."""

    def copy(name: str, array: np.ndarray) -> Any:
        made = new(name, array.shape, array.dtype)
        made[...] = array
        return made

    splits: dict[str, Any] = {
        split: Split(*(copy(f"{split}-{column}", getattr(getattr(data, split), column)) for column in _COLUMNS))
        for split in shards.SPLITS
    }
    return replace(data, **splits)
