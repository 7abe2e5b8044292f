"""Shards, read as any user of Parquet reads them."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep import shards
from data_prep.storage import Folder
from support.trees import make_tree


def table(folder: Path, split: str) -> pd.DataFrame:
    tables = shards.read_tables(
        Folder(str(folder)),
        split,
        ["label", "path", "object_class", "generator", "group", "cluster", "duplicate", "sha256"],
    )
    return pd.concat([part.to_pandas() for part in tables], ignore_index=True)


def pixels(folder: Path, split: str) -> np.ndarray:
    return np.concatenate([shards.images_of(part) for part in shards.read_tables(Folder(str(folder)), split)])


def with_duplicates(tmp_path: Path) -> Path:
    """A tree in which train holds 3 copies of one image and 2 of another, test 2 of a third, and test 1 of train's."""
    tree = make_tree(tmp_path / "tree", images=50)
    fake = tree / "train" / "FAKE"
    for copy in ("0001", "0002"):
        shutil.copy(fake / "0000.jpg", fake / f"{copy}.jpg")
    shutil.copy(fake / "0010.jpg", fake / "0011.jpg")
    shutil.copy(tree / "test" / "REAL" / "0000.jpg", tree / "test" / "REAL" / "0001.jpg")
    shutil.copy(fake / "0000.jpg", tree / "test" / "FAKE" / "0000.jpg")
    return tree
