"""A sweep's images on a node: read once, into files, and mapped by every process there."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from data_prep.layout.vocabulary import SPLITS
from trainables.training.selection import Data, DataSelection, New, Split

_STORY = "data.json"  # written last: with it, the arrays beside it are complete
_COLUMNS = [field.name for field in fields(Split)]
_BYTES_OF_PIECE = 2**24

#: Some rows of an array: its name, shape and type, the place of the first row, and the rows.
Piece = tuple[str, tuple[int, ...], Any, int, np.ndarray]


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
    node_folder.stat()  # or the lock would make a folder that its server has deleted
    with FileLock(node_folder / "data.lock"):
        if not (node_folder / _STORY).exists():
            data = load(lambda name, *kind: _NewFile(node_folder / f"{name}.npy", *kind))
            story = {name: getattr(data, name) for name in ("fingerprint", "is_smoke", "subsets")}
            (node_folder / _STORY).write_text(json.dumps(story))
    splits: dict[str, Any] = {
        split: Split(*(np.load(node_folder / f"{split}-{column}.npy", mmap_mode="r") for column in _COLUMNS))
        for split in SPLITS
    }
    return Data(**splits, **json.loads((node_folder / _STORY).read_text()))


def shared_data(selection: DataSelection, node_folder: Path) -> Data:
    """Map the selected images, reading them first if no process of this node has. Raises InputError."""
    return mapped(node_folder, selection.load)


def pieces(data: Data) -> Iterator[Piece]:
    """The arrays of some images, a piece after another, each small enough to be sent."""
    for split, column in product(SPLITS, _COLUMNS):
        array = getattr(getattr(data, split), column)
        rows = max(1, _BYTES_OF_PIECE // max(1, array[:1].nbytes))
        for start in range(0, max(1, len(array)), rows):
            yield f"{split}-{column}", array.shape, array.dtype, start, np.array(array[start : start + rows])


def assembled(parts: Iterable[Piece], selection: DataSelection, fingerprint: str, new: New) -> Data:
    """Put the pieces of selected images together, in arrays that `new` makes."""
    made: dict[str, Any] = {}
    for name, shape, kind, start, rows in parts:
        if not start:
            made[name] = new(name, shape, kind)
        made[name][start : start + len(rows)] = rows
    splits: dict[str, Any] = {split: Split(*(made[f"{split}-{column}"] for column in _COLUMNS)) for split in SPLITS}
    return Data(**splits, fingerprint=fingerprint, is_smoke=selection.smoke, subsets=selection.subsets)
