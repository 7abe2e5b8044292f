"""The table of how networks stand spoilt images: `robustness.parquet` in the record, its schema, writer and reader.

One row a data set, trial, corruption, severity and part.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, Setting
from analysis.detector.scored_images import OWN, ScoredImages
from analysis.detector.stored import Stored
from analysis.results.decisions import best_threshold
from analysis.results.kept import kept
from data_prep.storage import Folder
from sweeps.stats.delong import auc_interval
from sweeps.stats.intervals import wilson
from trainables.training.metrics import judge

#: How a row's note begins that says that JPEG is not the first compression of its images.
SECOND = "second compression"
_MOST_CODECS = 3

ROBUSTNESS = "robustness.parquet"
SCHEMA = pa.schema(
    [
        ("data", pa.string()),  # `own`, or the folder of other shards
        ("fingerprint", pa.string()),  # of these shards
        ("limit", pa.int64()),  # what --limit was, or 0
        ("trial", pa.string()),
        ("network", pa.string()),
        ("seed", pa.int64()),
        ("corruption", pa.string()),  # a name in `_corruptions.CORRUPTIONS`, or clean
        ("severity", pa.float64()),
        ("unit", pa.string()),
        ("part", pa.string()),  # test, or test_clean: without the images that also stand in train
        ("images", pa.int64()),
        ("threshold", pa.float64()),  # a logit: the best on the clean validation images
        *[(f"accuracy{end}", pa.float64()) for end in ("", "_low", "_high")],  # with Wilson's interval
        *[(f"auc{end}", pa.float64()) for end in ("", "_low", "_high")],  # with DeLong's
        ("recall_real", pa.float64()),
        ("recall_fake", pa.float64()),
        ("note", pa.string()),
    ]
)
_KEY = ["fingerprint", "limit", "trial", "corruption", "severity", "part"]


def robustness_table(folder: Folder) -> pd.DataFrame:
    """The table of a record's folder, with the columns of SCHEMA; without rows if there is none. Raises InputError."""
    return kept(folder, ROBUSTNESS, SCHEMA, "robustness")


def add(folder: Folder, rows: Sequence[dict[str, Any]]) -> None:
    """Enter rows into the table of a record's folder; those that are there already are replaced."""
    new = pa.Table.from_pylist(list(rows), SCHEMA).to_pandas()
    joined = pd.concat([known for known in (robustness_table(folder), new) if len(known)])
    frame = joined.drop_duplicates(_KEY, keep="last").sort_values(_KEY)
    folder.write_table(ROBUSTNESS, pa.Table.from_pandas(frame, SCHEMA, preserve_index=False))


def of_images(table: pd.DataFrame, fingerprint: str, limit: int) -> pd.DataFrame:
    """The rows of one choice of images."""
    return table[(table["fingerprint"] == fingerprint) & (table["limit"] == limit)]


def choices(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each data set, the record's own first; of several choices of its images those of the most."""
    is_other = (table["data"] != OWN).rename("other")
    found = []
    for _, rows in table.groupby([is_other, "fingerprint"]):
        limit = rows["limit"].iloc[int(rows["images"].argmax())]
        found.append(rows[rows["limit"] == limit])
    return found


def rows(one: Stored, images: ScoredImages, limit: int, setting: Setting, logits: np.ndarray) -> list[dict[str, Any]]:
    """What a trial's logits (n,) of the images, spoilt as `setting` says, are worth: a row each part."""
    name, severity = setting
    told = {"data": images.data, "fingerprint": images.fingerprint, "limit": limit, "trial": one.trial}
    told |= {"network": one.row["network"], "seed": int(one.row["seed"]), "corruption": name, "severity": severity}
    told |= {"unit": CORRUPTIONS[name].unit if name != CLEAN else "", "note": note(name, images)}
    masks = {"test": np.ones(len(images), bool)}
    if images.seen is not None:
        masks["test_clean"] = ~images.seen
    threshold = best_threshold(*one.scores("validation"))
    return [
        told | {"part": part, **_judged(images.labels[mask], logits[mask], threshold)}
        for part, mask in masks.items()
        if mask.any()
    ]


def _judged(labels: np.ndarray, logits: np.ndarray, threshold: float) -> dict[str, Any]:
    found = judge(labels, logits, threshold)
    kept = {name: found[name] for name in ("accuracy", "auc", "recall_real", "recall_fake")}
    ends = {"accuracy": wilson(found["accuracy"], len(labels)), "auc": auc_interval(labels, logits)}
    for name, (low, high) in ends.items():
        kept |= {f"{name}_low": low, f"{name}_high": high}
    return kept | {"images": len(labels), "threshold": threshold}


def note(corruption: str, images: ScoredImages) -> str:
    """What must be known of a row: what the images are otherwise than those of training, and what they were before."""
    before = [codec for codec in images.codecs if codec.startswith("JPEG")]
    told = [warning.rstrip(".") for warning in images.warnings]
    if corruption == "jpeg" and before:
        told.append(f"{SECOND}: the images were {_some(before)} before")
    return "; ".join(told)


def _some(codecs: Sequence[str]) -> str:
    more = f" and {len(codecs) - _MOST_CODECS} others" if len(codecs) > _MOST_CODECS else ""
    return f"{', '.join(codecs[:_MOST_CODECS])}{more}"
