"""The order of the images, which of them come first, and which split each goes to."""

import hashlib
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from data_prep.errors import InputError
from data_prep.layout.images import Item
from data_prep.layout.vocabulary import LABEL_NAMES, SPLITS

if TYPE_CHECKING:
    import pandas as pd  # half a second, which every node's server would take

_TEST_SHARE = 0.1  # of a source without a test split


def shuffled(items: list[Item], seed: int) -> list[Item]:
    """The items in an order that looks random and is the same on every machine: sorted by a hash of seed and path."""
    return sorted(items, key=lambda item: hashlib.blake2b(f"{seed}/{item.path}".encode(), digest_size=16).digest())


def limited(items: list[Item], limit: int | None) -> list[Item]:
    """The first `limit` // 2 items of each label of each split, or all it has; all items if `limit` is None."""
    if limit is None:
        return items
    keys = np.array([f"{item.split}/{item.label}" for item in items])
    return [items[position] for position in _first_of_each(keys, limit // 2)]


def first_balanced(labels: np.ndarray, count: int, parts: int = 1) -> np.ndarray:
    """Positions of the first `count` // 2 rows of each label, or as many as both labels have, in order.

    With several `parts` it is so many rows for each of them: part by part, none twice. `labels` are (n,) integers,
    0 REAL and 1 FAKE.
    """
    half = min(count // 2, *(np.bincount(labels, minlength=2) // parts))
    places = places_in_sets(labels, half, np.zeros(2, int), np.zeros(parts, int))
    return np.argsort(places)[(places < 0).sum() :]


def places_in_sets(labels: np.ndarray, half: int, seen: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Where the next rows go among balanced sets, which stand one after the other; -1 for those that are not taken.

    Each set takes the next `half` rows of each label, in order. `seen` (2,) are the rows of each label before these,
    and `filled` (sets,) those that each set has; both are brought up to date.
    """
    places = np.full(len(labels), -1)
    ranks = np.where(labels, np.cumsum(labels), np.cumsum(1 - labels)) - 1 + seen[labels]
    for number in range(len(filled)):
        taken = np.flatnonzero((ranks >= number * half) & (ranks < (number + 1) * half))
        places[taken] = 2 * half * number + filled[number] + np.arange(len(taken))
        filled[number] += len(taken)
    seen += np.bincount(labels, minlength=2)
    return places


def _first_of_each(keys: np.ndarray, count: int) -> np.ndarray:
    """Positions of the first `count` rows of each key, in order."""
    return np.sort(np.concatenate([np.flatnonzero(keys == key)[:count] for key in np.unique(keys)]))


def assign_splits(facts: "pd.DataFrame", validation: float) -> tuple["pd.DataFrame", list[str]]:
    """The rows of the shards, in order, with `split` where each goes; and sentences on what was cut out of train.

    Rows that are `together` stay so. `validation` is the share of train to cut out, 0–1. Raises InputError for a
    split that would lack a label.
    """
    target = facts["split"].copy()
    notes = []
    if (target == "test").sum() == 0:
        cut = _cut(facts[target == "train"], _TEST_SHARE)
        target[cut] = "test"
        notes.append(f"The source has no test split: {len(cut):,} images were cut out of train for it.")
    if (target == "validation").any():
        notes.append("The source has a validation split of its own, which is kept.")
    else:
        target[_cut(facts[target == "train"], validation)] = "validation"
    present = set(zip(target, facts["label"], strict=True))
    for split, (label, name) in product(SPLITS, enumerate(LABEL_NAMES)):
        if (split, label) not in present and (validation or split != "validation"):
            raise InputError(f"There are too few different {name} images to have any in {split}; add some.")
    return facts.assign(split=target).iloc[np.argsort(target.map(SPLITS.index), kind="stable")], notes


def _cut(rows: "pd.DataFrame", share: float) -> "pd.Index":
    """The index of about `share` of the rows: exactly that of each label x object class where duplicates allow it.

    Classes for which that is less than one row are taken together. The rows come shuffled, so the first groups are as
    good as any. The copies of a picture are taken together or not at all: not at all if they are in several strata. So
    is a cluster of the source, but for the last: a video and what was made of it are in two.
    """
    is_large = rows.groupby(["label", "object_class"], dropna=False)["label"].transform("size") * share >= 1
    strata = rows.groupby(["label", rows["object_class"].where(is_large)], dropna=False).ngroup()
    groups = strata.groupby(rows["together"], sort=False)
    room = {stratum: max(1, round(count * share)) if share else 0 for stratum, count in strata.value_counts().items()}
    kinds = groups.nunique()
    in_clusters = strata[rows["cluster"].notna() & rows["together"].isin(kinds.index[kinds > 1])]
    parts = {key: part.value_counts() for key, part in in_clusters.groupby(rows["together"].loc[in_clusters.index])}
    is_taken = []
    for key, stratum, size, count in zip(kinds.index, groups.first(), groups.size(), kinds, strict=True):
        sizes = parts[key] if key in parts else {stratum: size if count == 1 else len(rows) + 1}
        is_taken.append(all(size <= room[stratum] for stratum, size in sizes.items()))
        for stratum, size in sizes.items():
            room[stratum] -= size if is_taken[-1] else 0
    return rows.index[np.array(is_taken)[groups.ngroup()]]
