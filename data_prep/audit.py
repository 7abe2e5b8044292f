"""What is wrong with a data set, in numbers: duplicates, unreadable files, and clues that give the class away.

Every function takes `facts`, a data frame with one row a readable image: split, label (0 REAL, 1 FAKE), group, codec,
width, height (pixels), bytes; and answers with plain numbers or sentences.
"""

from typing import Any

import pandas as pd

from data_prep.layout import LABEL_NAMES

# With no difference at all, the larger share or the AUC still moves by chance: 0.02 at 1,000 images a label.
_MOST_SHARE_DIFFERENCE = 0.1
_MOST_FILE_SIZE_AUC = 0.75


def audit(facts: pd.DataFrame, unreadable: dict[str, str], elsewhere: list[str]) -> dict[str, Any]:
    """The audit's summary, as the manifest stores it.

    `unreadable` is path → reason; `elsewhere` the files in no label folder. `facts.split` is the source's own split
    (train or test; a validation split of the source's own counts as itself).
    """
    facts = facts.assign(group=pd.factorize(facts["group"])[0])  # numbers group five times as fast as strings
    return {
        "images": len(facts),
        "distinct_images": int(facts["group"].nunique()),
        "duplicate_pairs": duplicate_pairs(facts),
        "test_images_in_train": int(test_images_elsewhere(facts).sum()),
        "groups_with_both_labels": int((facts.groupby("group")["label"].nunique() > 1).sum()),
        "codecs": {name: _codecs(facts[facts["label"] == label]) for label, name in enumerate(LABEL_NAMES)},
        "file_size_auc": file_size_auc(facts),
        "warnings": warnings(facts),
        "unreadable": unreadable,
        "outside_label_folders": elsewhere,
    }


def duplicate_pairs(facts: pd.DataFrame) -> dict[str, int]:
    """Split → pairs of images within it that show exactly the same pixels: n (n - 1) / 2 for a group of n."""
    sizes = facts.groupby(["split", "group"]).size()
    pairs = (sizes * (sizes - 1) // 2).groupby("split").sum()
    return {str(split): int(count) for split, count in pairs.items()}


def test_images_elsewhere(facts: pd.DataFrame) -> "pd.Series[bool]":
    """For each row, whether it is a test image whose group also stands in train, or in validation."""
    is_test = facts["split"] == "test"
    return is_test & facts["group"].isin(facts.loc[~is_test, "group"])


def file_size_auc(facts: pd.DataFrame) -> float:
    """How well the file's size in bytes alone tells FAKE from REAL: the larger of AUC and 1 - AUC, 0.5–1."""
    ranks = facts["bytes"].rank()[facts["label"] == 1]  # Mann and Whitney's U; scipy.stats takes a second to import
    fakes, reals = len(ranks), len(facts) - len(ranks)
    auc = (ranks.sum() - fakes * (fakes + 1) / 2) / (fakes * reals)
    return round(float(max(auc, 1 - auc)), 4)


def warnings(facts: pd.DataFrame) -> list[str]:
    """A sentence for each difference in encoding by which a network could tell the labels apart without looking."""
    found = []
    by_label = {name: facts[facts["label"] == label] for label, name in enumerate(LABEL_NAMES)}
    sizes = {name: rows["width"].astype(str) + " x " + rows["height"].astype(str) for name, rows in by_label.items()}
    codecs = {name: rows["codec"] for name, rows in by_label.items()}
    for what, values in (("codec", codecs), ("image size in pixels", sizes)):
        sentence = _difference(what, values)
        if sentence:
            found.append(sentence)
    if file_size_auc(facts) > _MOST_FILE_SIZE_AUC:
        found.append(f"The file size alone tells the labels apart (AUC {file_size_auc(facts):.2f}).")
    return found


def _difference(what: str, values: "dict[str, pd.Series[str]]") -> str | None:
    """A sentence if the labels' distributions of `values` differ by more than a tenth in total variation."""
    shares = pd.DataFrame({name: column.value_counts(normalize=True) for name, column in values.items()}).fillna(0)
    if (shares["REAL"] - shares["FAKE"]).abs().sum() / 2 <= _MOST_SHARE_DIFFERENCE:
        return None
    typical = {name: shares[name].idxmax() for name in LABEL_NAMES}
    told = "; ".join(f"{shares[name][value]:.0%} of {name} are {value}" for name, value in typical.items())
    return f"The {what} gives the label away: {told}."


def _codecs(facts: pd.DataFrame) -> dict[str, int]:
    return {str(codec): int(count) for codec, count in facts["codec"].value_counts().items()}
