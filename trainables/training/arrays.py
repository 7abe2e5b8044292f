"""A sweep's images on a node: read once, kept in files, and mapped by every process there."""

import fcntl
import json
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from data_prep import shards
from trainables.training.selection import Data, DataSelection, Split

_STORY = "data.json"  # written last: with it, the arrays beside it are complete
_COLUMNS = [field.name for field in fields(Split)]


def mapped(node_folder: Path, load: Callable[[], Data]) -> Data:
    """Map the images that lie in a node's folder; without any, `load` them and lay them there first.

    Other processes of the node wait meanwhile.
    """
    with (node_folder / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (node_folder / _STORY).exists():
            data = load()
            for split, column in product(shards.SPLITS, _COLUMNS):
                np.save(node_folder / f"{split}-{column}.npy", getattr(getattr(data, split), column))
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


def in_memory(data: Data) -> Data:
    """Copy mapped data into memory, to be sent to nodes that lack its files."""
    copies: dict[str, Any] = {
        split: Split(*(np.array(getattr(getattr(data, split), column)) for column in _COLUMNS))
        for split in shards.SPLITS
    }
    return replace(data, **copies)
