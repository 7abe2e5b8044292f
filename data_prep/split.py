"""Which split an image goes to, and the order of the images."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_prep import shards
from data_prep.errors import InputError
from data_prep.layout import LABEL_NAMES, Item

_TEST_SHARE = 0.1  # of a source without a test split


def assign_splits(facts: pd.DataFrame, validation: float) -> tuple[pd.DataFrame, list[str]]:
    """Add `shard_split`, the split a row goes to, and say in sentences what was cut out of train."""
    target = facts["split"].copy()
    notes = []
    for split, share in (("test", _TEST_SHARE), ("validation", validation)):
        if (facts["split"] == split).any():
            if split == "validation":
                notes.append("The source has a validation split of its own, which is kept.")
            continue
        cut = _cut(facts[target == "train"], share)
        target[cut] = split
        if split == "test":
            notes.append(f"The source has no test split: {len(cut):,} images were cut out of train for it.")
    _check_split(facts.assign(split=target), [split for split in shards.SPLITS if validation or split != "validation"])
    return facts.assign(shard_split=target), notes


def _check_split(rows: pd.DataFrame, splits: Sequence[str]) -> None:
    """Raises InputError for a split that lacks a label."""
    found = set(zip(rows["split"], rows["label"], strict=True))
    for split in splits:
        for label, name in enumerate(LABEL_NAMES):
            if (split, label) not in found:
                raise InputError(f"There are too few different {name} images to have any in {split}; add some.")


def _cut(rows: pd.DataFrame, share: float) -> pd.Index:
    """The index of about `share` of the rows: exactly that of each label x object class where duplicates allow it.

    Classes of which that is less than one row are taken together. The rows come shuffled, so the first groups are as
    good as any. A group of duplicates is taken whole or not at all.
    """
    is_large = rows.groupby(["label", "object_class"], dropna=False)["label"].transform("size") * share >= 1
    classes = rows["object_class"].where(is_large)
    numbers = rows.assign(object_class=classes).groupby(["label", "object_class"], dropna=False).ngroup()
    groups = rows.assign(stratum=numbers).groupby(pd.factorize(rows["group"])[0], sort=False)["stratum"]
    room = {stratum: max(1, round(count * share)) if share else 0 for stratum, count in numbers.value_counts().items()}
    taken = []
    for stratum, size in zip(groups.first(), groups.size(), strict=True):
        taken.append(size <= room[stratum])
        room[stratum] -= size if taken[-1] else 0
    return rows.index[np.array(taken)[groups.ngroup()]]


def shuffled(items: list[Item], seed: int) -> list[Item]:
    """The items in an order that looks random and is the same on every machine: sorted by a hash of seed and path."""
    return sorted(items, key=lambda item: hashlib.blake2b(f"{seed}/{item.path}".encode(), digest_size=16).digest())


def limited(items: list[Item], limit: int | None) -> list[Item]:
    """The first `limit` items of each split, half of them REAL and half FAKE; all of them for None."""
    if limit is None:
        return items
    taken: dict[tuple[str, int], int] = {}
    kept = []
    for item in items:
        count = taken[item.split, item.label] = taken.get((item.split, item.label), 0) + 1
        if count <= limit // 2:
            kept.append(item)
    return kept


def first_balanced(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of the first `count` // 2 rows of each label, or of as many as both labels have, in order.

    `labels` is (n,) of 0 and 1.
    """
    by_label = [np.flatnonzero(labels == label) for label in (0, 1)]
    half = min(count // 2, *map(len, by_label))
    return np.sort(np.concatenate([positions[:half] for positions in by_label]))
