"""A robustness table in words."""

import itertools
from typing import Any

import pandas as pd

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, Setting, settings_in_order
from analysis.detector.robustness_table import SECOND, data_sets
from analysis.detector.scored_images import OWN
from analysis.results.format import percent, span
from analysis.results.seeds import trial_name
from analysis.results.trials import Results

CHANCE_AUC = 0.5
_CLEAN: Setting = (CLEAN, 0.0)
#: The corruption under which accuracy and AUC are compared.
_COMPARED = "blur"
_FORMS = {
    "jpeg": "JPEG of quality {}",
    "blur": "Gaussian blur of σ {} pixels",
    "noise": "Gaussian noise of σ {} (of 255)",
    "rescale": "rescaling to {} pixels and back",
    "brightness": "brightness times {}",
    "contrast": "contrast times {}",
}


def paragraphs(results: Results, table: pd.DataFrame) -> list[str]:
    """A paragraph a data set, about the best trial that the table has of it: what lowers its accuracy, and how."""
    texts = []
    for rows in data_sets(table):
        best = results.ranked[results.ranked["trial"].isin(rows["trial"])].head(1)
        of_best = rows[(rows["part"] == "test") & rows["trial"].isin(best["trial"])]
        of_best = of_best.dropna(subset=["accuracy"]).set_index(["corruption", "severity"])
        if _CLEAN in of_best.index:
            clean, corrupted = of_best.loc[_CLEAN], of_best.drop(_CLEAN)
            compression = _compression(corrupted)
            sentences = [
                _clean(trial_name(best.iloc[0], results), clean),
                _costs(clean, corrupted, image_side(results)),
                _harmless(clean, corrupted),
                _threshold(clean, corrupted),
                f"JPEG here is a {compression}; once more at the same quality changes little." if compression else "",
            ]
            texts.append(" ".join(filter(None, sentences)))
    return texts


def _clean(name: str, clean: "pd.Series[Any]") -> str:
    """The accuracy without corruption, and how other shards differ from those of training."""
    interval = f"{percent(clean['accuracy'])} % (95 % interval {span(clean['accuracy_low'], clean['accuracy_high'])} %)"
    where = "the record's test images" if clean["data"] == OWN else f"the test images of {clean['data']}"
    beware = f" Beware: {clean['note']}." if clean["note"] else ""
    return (
        f"{name}, on {where} as they are (n = {clean['images']:,}), is right on {interval} at the threshold from "
        f"validation; AUC {clean['auc']:.3f}.{beware}"
    )


def _costs(clean: "pd.Series[Any]", corrupted: pd.DataFrame, side: int) -> str:
    """Which corruption costs most in its mildest degree, and which in any, if they cost anything."""
    accuracies = corrupted["accuracy"]
    neighbours = itertools.chain(*(itertools.pairwise(settings_in_order(name, side)) for name in CORRUPTIONS))
    mildest = [setting for pair in neighbours if _CLEAN in pair for setting in pair if setting in accuracies.index]
    if not mildest or min(accuracies.loc[mildest]) >= clean["accuracy"]:
        return ""
    first, worst = min(mildest, key=lambda setting: accuracies.loc[setting]), accuracies.idxmin()
    costs = [f"{100 * (clean['accuracy'] - accuracies.loc[setting]):.1f} points" for setting in (first, worst)]
    return (
        f"Of the mildest degrees {_named(*first)} costs most ({costs[0]}); the worst of all is {_named(*worst)}, which "
        f"leaves {percent(accuracies.loc[worst], 1)} % ({costs[1]} less)."
    )


def _harmless(clean: "pd.Series[Any]", corrupted: pd.DataFrame) -> str:
    """The settings whose accuracy lies within the interval of the clean one."""
    within = corrupted.index[corrupted["accuracy"] >= clean["accuracy_low"]]
    severities = {name: [severity for other, severity in within if other == name] for name in CORRUPTIONS}
    names = "; ".join(_named(name, *values) for name, values in severities.items() if values)
    return f"No worse than the interval of the clean images: {names}." if names else ""


def _threshold(clean: "pd.Series[Any]", corrupted: pd.DataFrame) -> str:
    """How accuracy and AUC fall under blur, at the degree where the shares of their lead over chance differ most.

    The shares are of the lead on the clean images. Accuracy is at the threshold from validation.
    """
    chance = {"accuracy": clean["chance"], "auc": CHANCE_AUC}
    blurred = corrupted[corrupted.index.get_level_values("corruption") == _COMPARED].dropna(subset=list(chance))
    if not len(blurred) or not all(clean[metric] > least for metric, least in chance.items()):
        return ""
    kept = {metric: (blurred[metric] - least) / (clean[metric] - least) for metric, least in chance.items()}
    setting = (kept["auc"] - kept["accuracy"]).idxmax()
    row, accuracy_kept, auc_kept = blurred.loc[setting], kept["accuracy"].loc[setting], kept["auc"].loc[setting]
    if row["accuracy"] >= clean["accuracy"]:
        return ""
    side, other = ("REAL", "FAKE") if row["recall_real"] < row["recall_fake"] else ("FAKE", "REAL")
    shares = " and ".join(f"{percent(max(0.0, share), 0)} %" for share in (accuracy_kept, auc_kept))
    still_ranks = (
        " The network still ranks the images better than its threshold divides them: "
        f"{percent(1 - row[f'recall_{side.lower()}'], 0)} % of the {side} are called {other}, and a threshold set on "
        "blurred images would win some of them back."
    )
    return (
        f"Under {_named(*setting)} accuracy falls to {percent(row['accuracy'], 1)} % and AUC to {row['auc']:.3f}: they "
        f"keep {shares} of their lead over chance." + ("" if accuracy_kept >= auc_kept else still_ranks)
    )


def _compression(rows: pd.DataFrame) -> str:
    """What the notes say about compression."""
    notes = [note for note in rows["note"].unique() if SECOND in note]
    return str(notes[0][notes[0].index(SECOND) :]) if notes else ""


def conditions(rows: pd.DataFrame) -> str:
    """How to read the numbers in the rows of a robustness table, with n."""
    counts = " or ".join(f"{count:,}" for count in sorted(rows["images"].unique()))
    where = "" if rows["data"].iloc[0] == OWN else f" of {rows['data'].iloc[0]}"
    compression = _compression(rows)
    return (
        f"Test images{where}, n = {counts}. Accuracy at the threshold that was best on the clean validation images, "
        "with 95 % intervals (Wilson); AUC with DeLong's. Degrees at even distances, not to scale; dotted: chance."
        + (f" JPEG is a {compression}." if compression else "")
    )


def image_side(results: Results) -> int:
    """Side of the square images that the networks take, in pixels."""
    return results.provenance.manifest.data.image_size or 32


def _named(name: str, *severities: float) -> str:
    """`JPEG of quality 75`, `Gaussian blur of σ 0.3 and 0.5 pixels`, of a corruption's name and severities."""
    *others, last = [f"{severity:g}" for severity in severities]
    return _FORMS[name].format(f"{', '.join(others)} and {last}" if others else last)
