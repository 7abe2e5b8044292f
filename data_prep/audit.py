"""What is wrong with a data set, in numbers: duplicates, unreadable files, and clues that give the class away.

Every function takes `facts`, a data frame with one row a readable image: split, label (0 REAL, 1 FAKE), group and
picture (equal for exact copies, and for near-copies), codec, width, height (pixels), bytes; and returns plain numbers
or sentences.
"""

from typing import Any

import numpy as np
import pandas as pd

from data_prep.layout.vocabulary import LABEL_NAMES

# Between equal distributions, the total variation and the AUC still move by chance: 0.02 at 1,000 images a label.
_MOST_VARIATION = 0.1
_MOST_FILE_SIZE_AUC = 0.75


def audit(facts: pd.DataFrame, unreadable: dict[str, str], strays: list[str]) -> dict[str, Any]:
    """The audit's summary, as the manifest stores it.

    `unreadable` is path → reason; `strays` are the files in no label folder. `facts.split` is the source's own split
    (train or test, and validation if the source has one). `duplicate_pairs` in the summary is split → pairs of images
    within it that show exactly the same pixels: n (n - 1) / 2 for a group of n.
    """
    facts = facts.assign(group=pd.factorize(facts["group"])[0])  # numbers group five times as fast as strings
    codecs = facts.groupby("label")["codec"].value_counts()
    sizes = facts.groupby(["split", "group"]).size()
    copies = duplicates_of_train(facts)
    return {
        "images": len(facts),
        "distinct_images": int(facts["group"].nunique()),
        "duplicate_pairs": (sizes * (sizes - 1) // 2).groupby("split").sum().to_dict(),
        "test_images_in_train": int((copies == "exact").sum()),
        "test_images_near_train": int((copies == "near").sum()),
        "groups_with_both_labels": int((facts.groupby("group")["label"].nunique() > 1).sum()),
        "pictures_with_both_labels": int((facts.groupby("picture")["label"].nunique() > 1).sum()),
        "codecs": {name: codecs[label].to_dict() for label, name in enumerate(LABEL_NAMES)},
        "file_size_auc": file_size_auc(facts),
        "warnings": warnings(facts),
        "unreadable": unreadable,
        "outside_label_folders": strays,
    }


def duplicates_of_train(rows: pd.DataFrame) -> "pd.Series[str | None]":
    """For each row, `exact` or `near` if it is a test image of which train or validation has a copy; else None."""
    is_test = (rows["split"] == "test").to_numpy()
    is_copy = {}
    for kind, column in {"exact": "group", "near": "picture"}.items():
        numbers = pd.factorize(rows[column])[0]  # looking strings up takes twenty times as long
        is_copy[kind] = is_test & np.isin(numbers, numbers[~is_test])
    kinds = np.select([is_copy["exact"], is_copy["near"]], ["exact", "near"], "")
    return pd.Series([kind or None for kind in kinds.tolist()], rows.index, object)


def file_size_auc(facts: pd.DataFrame) -> float:
    """How well the file's size in bytes alone tells FAKE from REAL: the larger of AUC and 1 - AUC, 0.5–1."""
    ranks = facts["bytes"].rank()[facts["label"] == 1]  # Mann and Whitney's U; scipy.stats takes a second to import
    fakes, reals = len(ranks), len(facts) - len(ranks)
    auc = (ranks.sum() - fakes * (fakes + 1) / 2) / (fakes * reals)
    return round(float(max(auc, 1 - auc)), 4)


def enlargement(facts: pd.DataFrame, image_size: int) -> list[str]:
    """A sentence if images are smaller than they are in the shards: what enlarging adds, no camera has seen."""
    count = int((facts[["width", "height"]].min(axis=1) < image_size).sum())
    size = f"{image_size} x {image_size} pixels"
    return [f"{count:,} images were smaller than {size} and are enlarged; a smaller --image-size keeps them."] * (
        count > 0
    )


def warnings(facts: pd.DataFrame) -> list[str]:
    """A sentence for each difference in encoding by which a network could tell the labels apart without looking.

    Codecs and sizes differ if the labels' distributions are further apart than a tenth in total variation.
    """
    sizes = facts["width"].astype(str) + " x " + facts["height"].astype(str)
    sentences = []
    for name, values in (("codec", facts["codec"]), ("image size in pixels", sizes)):
        by_label = {label: values[facts["label"] == number] for number, label in enumerate(LABEL_NAMES)}
        shares = pd.DataFrame({label: rows.value_counts(normalize=True) for label, rows in by_label.items()}).fillna(0)
        if (shares["REAL"] - shares["FAKE"]).abs().sum() / 2 > _MOST_VARIATION:
            modes = "; ".join(f"{shares[label].max():.0%} of {label} are {shares[label].idxmax()}" for label in shares)
            sentences.append(f"The {name} gives the label away: {modes}.")
    if file_size_auc(facts) > _MOST_FILE_SIZE_AUC:
        sentences.append(f"The file size alone tells the labels apart (AUC {file_size_auc(facts):.2f}).")
    return sentences
