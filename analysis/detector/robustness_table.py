"""The table of how networks withstand corrupted images: `robustness.parquet` in the record, its schema, writer, reader.

One row a data set, trial, corruption, severity and part.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, Setting
from analysis.detector.scored_images import MOST_CODECS, OWN, ScoredImages
from analysis.detector.stored import Stored
from analysis.results.trials import read_extra
from data_prep import Folder, printable
from sweeps.stats.intervals import auc_interval, intervals, wilson
from trainables.training.metrics import best_threshold, chance, judge

#: Start of the note in rows whose images had been compressed as JPEG before.
SECOND = "second compression"

ROBUSTNESS = "robustness.parquet"
SCHEMA = pa.schema(
    [
        ("data", pa.string()),  # `own`, or the folder of other shards
        pa.field("fingerprint", pa.string(), nullable=False),  # of these shards
        pa.field("limit", pa.int64(), nullable=False),  # the value of --limit, or 0
        ("trial", pa.string()),
        ("network", pa.string()),
        ("seed", pa.int64()),
        pa.field("corruption", pa.string(), nullable=False),  # a name in `corruptions.CORRUPTIONS`, or clean
        pa.field("severity", pa.float64(), nullable=False),
        ("unit", pa.string()),
        pa.field("part", pa.string(), nullable=False),  # test, or test_clean: without duplicates of training images
        ("images", pa.int64()),
        ("threshold", pa.float64()),  # a logit: the best on the clean validation images
        *[
            (f"accuracy{end}", pa.float64()) for end in ("", "_low", "_high")
        ],  # with Wilson's interval, or a jackknife's of clusters
        *[(f"auc{end}", pa.float64()) for end in ("", "_low", "_high")],  # likewise with DeLong's
        ("recall_real", pa.float64()),
        ("recall_fake", pa.float64()),
        ("chance", pa.float64()),  # the accuracy of the best constant answer; null in tables of earlier versions
        ("note", pa.string()),
    ]
)
_KEY = ["fingerprint", "limit", "trial", "corruption", "severity", "part"]


def robustness_table(folder: Folder) -> pd.DataFrame:
    """The table of a record's folder, with the columns of SCHEMA; without rows if there is none. Raises InputError."""
    table = read_extra(folder, ROBUSTNESS, SCHEMA, "robustness").drop_duplicates(_KEY, keep="last")
    return table.assign(**{name: table[name].fillna("").map(printable) for name in ("data", "unit", "note")})


def add(folder: Folder, rows: Sequence[dict[str, Any]]) -> None:
    """Enter rows into the table of a record's folder; they replace rows of the same key."""
    new = pa.Table.from_pylist(list(rows), SCHEMA).to_pandas()
    joined = pd.concat([table for table in (robustness_table(folder), new) if len(table)])
    frame = joined.drop_duplicates(_KEY, keep="last").sort_values(_KEY)
    folder.write_table(ROBUSTNESS, pa.Table.from_pandas(frame, SCHEMA, preserve_index=False))


def of_images(table: pd.DataFrame, fingerprint: str, limit: int) -> pd.DataFrame:
    """The rows of one selection of images."""
    return table[(table["fingerprint"] == fingerprint) & (table["limit"] == limit)]


def data_sets(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each data set, the record's own first; those of its largest selection of images."""
    is_other = (table["data"] != OWN).rename("other")
    groups = [rows for _, rows in table.groupby([is_other, "fingerprint"])]
    return [rows[rows["limit"] == rows["limit"].iloc[int(rows["images"].argmax())]] for rows in groups]


def rows(one: Stored, images: ScoredImages, limit: int, setting: Setting, logits: np.ndarray) -> list[dict[str, Any]]:
    """The rows, one a part, of a trial's logits (n,) of the images under a corruption."""
    corruption, severity = setting
    row = {
        "data": images.data,
        "fingerprint": images.fingerprint,
        "limit": limit,
        "trial": one.trial,
        "network": one.row["network"],
        "seed": int(one.row["seed"]),
        "corruption": corruption,
        "severity": severity,
        "unit": CORRUPTIONS[corruption].unit if corruption != CLEAN else "",
        "note": _note(corruption, images),
        "threshold": best_threshold(*one.scores("validation")),
    }
    is_clean = np.zeros(len(images), bool) if images.duplicates is None else images.duplicates == ""
    masks = {"test": np.ones(len(images), bool), "test_clean": is_clean}
    return [
        row | {"part": part} | _judged(images.labels[mask], logits[mask], row["threshold"], clusters)
        for part, mask in masks.items()
        if mask.any()
        for clusters in [None if images.clusters is None else images.clusters[mask]]
    ]


def _judged(labels: np.ndarray, logits: np.ndarray, threshold: float, clusters: np.ndarray | None) -> dict[str, Any]:
    metrics = judge(labels, logits, threshold)
    columns = {name: metrics[name] for name in ("accuracy", "auc", "recall_real", "recall_fake")}
    ends = (*wilson(metrics["accuracy"], len(labels)), *auc_interval(labels, logits))
    if clusters is not None:
        spans = intervals(labels, logits, threshold, clusters)
        ends = (*spans["accuracy"], *spans["auc"])
    names = ("accuracy_low", "accuracy_high", "auc_low", "auc_high")
    return {**columns, **dict(zip(names, ends, strict=True)), "images": len(labels), "chance": chance(labels)}


def _note(corruption: str, images: ScoredImages) -> str:
    """How the images differ from those of training, and how they had been compressed before."""
    before = [codec for codec in images.codecs if codec.startswith("JPEG")]
    remarks = [warning.rstrip(".") for warning in images.warnings]
    if corruption == "jpeg" and before:
        more = f" and {len(before) - MOST_CODECS} others" if len(before) > MOST_CODECS else ""
        remarks.append(f"{SECOND}: the images were {', '.join(before[:MOST_CODECS])}{more} before")
    return "; ".join(remarks)
