"""python -m analysis compare A B: what changed between two records, and whether their results differ beyond noise."""

from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column

from analysis.results.configurations import all_values, recipe_of
from analysis.results.format import percent, plain_table, points, points_span
from analysis.results.seeds import replicates
from analysis.results.trials import Results, read
from data_prep import Folder, InputError
from sweeps.stats.families import Family, estimate, joined, listed_pairs, of_shares
from trainables.training.metrics import MARGIN, SCORED_SPLITS

_DATA = ("source", "image_size", "counts")  # equal where two records have scored the same test images
_NONE = "–"

#: What changed: its name, and its values in A and in B, as text.
Changes = list[tuple[str, str, str]]


@click.command()
@click.argument("record_a")
@click.argument("record_b")
def main(record_a: str, record_b: str) -> None:
    """Say what changed from RECORD_A to RECORD_B, such as results/age, and which of their results differ."""
    one, other = (read(Folder(location)) for location in (record_a, record_b))
    console = Console(highlight=False)
    sections = {
        "Hyperparameters": hyperparameters(one, other),
        "Networks and seeds": trials(one, other),
        "Data": data(one, other),
        "Code and machine": code(one, other),
    }
    for title, changes in sections.items():
        headings = [Column(heading, overflow="fold") for heading in (title, "A", "B")]
        console.print(plain_table(headings, changes) if changes else f"{title}: the same in both.")
    frame = differences(one, other)
    if not len(frame):
        raise InputError(f"{record_a} and {record_b} have no network in common with a result; compare records that do.")
    names = ["test A %", "test B %", "B − A, points (95 %)", f"{one.unit}s", "verdict"]
    rows = [
        [
            *(row["network"], percent(row["a"]), percent(row["b"])),
            f"{100 * row['difference']:+.2f} ({points_span(row['low'], row['high'])})",
            *(f"{row['n_a']}, {row['n_b']}", row["verdict"] or "one seed"),
        ]
        for row in frame.to_dict("records")
    ]
    columns = [Column("network", overflow="fold"), *(Column(name, justify="right") for name in names)]
    console.print(plain_table(columns, rows))
    console.print(verdict(frame, one.has_training_sets and other.has_training_sets), markup=False)


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return _NONE
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def _by_network_text(values: dict[str, str] | None) -> str:
    """`0.001`, or `age-c2-f1 0.001; vgg16 0.0001` where networks differ."""
    if not values or len(set(values.values())) == 1:
        return next(iter((values or {}).values()), _NONE)
    return "; ".join(f"{network} {text}" for network, text in values.items())


def _changed(first: dict[str, Any], second: dict[str, Any], text: Callable[[Any], str] = _text) -> Changes:
    names = [name for name in dict.fromkeys([*first, *second]) if first.get(name) != second.get(name)]
    return [(name, text(first.get(name)), text(second.get(name))) for name in names]


def hyperparameters(one: Results, other: Results) -> Changes:
    """The hyperparameters and network arguments whose values differ, in the networks that both have."""
    common = set(one.trials["network"]) & set(other.trials["network"])
    first, second = (_values(results.trials[results.trials["network"].isin(common)]) for results in (one, other))
    return _changed(first, second, _by_network_text)


def _values(trials: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Hyperparameter → network → its values, as text. A network that has no such argument has no entry."""
    values: dict[str, dict[str, set[str]]] = {}
    for row in trials.to_dict("records"):
        for name, value in all_values(recipe_of(row)).items():
            values.setdefault(name, {}).setdefault(row["network"], set()).add(_text(value))
    return {
        name: {network: ", ".join(sorted(texts)) for network, texts in sorted(networks.items())}
        for name, networks in values.items()
    }


def trials(one: Results, other: Results) -> Changes:
    """The networks and the seeds that only one of them has."""
    names = {name: [set(results.trials[name].map(_text)) for results in (one, other)] for name in ("network", "seed")}
    return [
        (f"{name}s that the other lacks", ", ".join(sorted(a - b)) or _NONE, ", ".join(sorted(b - a)) or _NONE)
        for name, (a, b) in names.items()
        if a != b
    ]


def data(one: Results, other: Results) -> Changes:
    """Where the images come from, and how many of them were used."""
    first, second = (
        {name: getattr(facts, name) for name in ("source", "fingerprint", "image_size")}
        | {f"{split}_images": facts.used.get(split) for split in ("train", *SCORED_SPLITS)}
        for facts in (one.provenance.manifest.data, other.provenance.manifest.data)
    )
    return [(name.replace("_", " "), a, b) for name, a, b in _changed(first, second)]


def code(one: Results, other: Results) -> Changes:
    """Commit, versions, backend, hardware, and the metric that ranks the trials."""
    names = ("commit", "dirty", "backend", "metric", "direction")
    first, second = (
        [{name: getattr(manifest, name) for name in names}, manifest.versions, manifest.hardware, manifest.weights]
        for manifest in (one.provenance.manifest, other.provenance.manifest)
    )
    parts = zip(first, second, strict=True)
    return [(name.replace("_", " "), a, b) for part in parts for name, a, b in _changed(*part)]


def differences(one: Results, other: Results) -> pd.DataFrame:
    """One row a network that both have a result of: test accuracies, and B less A with its interval and verdict.

    Accuracies are at the threshold that is best on validation. The intervals of networks with several seeds in both
    hold together, over images and seeds. Of others, one trained network of each record is compared, of the same seed
    where there is one, over images, without a verdict. Images are paired where both have scored the same test images.
    """
    first, second = (_by_network(results) for results in (one, other))
    pairs = {name: (first[name], second[name]) for name in first if name in second}
    has_seeds = {name: min(len(replicates(rows)) for rows in pair) > 1 for name, pair in pairs.items()}
    pairs = {name: pair if has_seeds[name] else _one_of_each(*pair) for name, pair in pairs.items()}
    margin = max(float((results.provenance.manifest.locked or {}).get("margin", MARGIN)) for results in (one, other))
    rows: dict[str, dict[str, Any]] = {}
    for names in ([name for name in pairs if has_seeds[name] == flag] for flag in (True, False)):
        if not names:
            continue
        family, is_paired = _family(one, other, [pairs[name] for name in names])
        count = len(names)
        found, halves = listed_pairs(family, range(count, 2 * count), range(count))
        for name, difference, half in zip(names, found, halves, strict=True):
            low, high = max(difference - half, -1.0), min(difference + half, 1.0)
            rows[name] = {"difference": difference, "low": low, "high": high, "paired": is_paired}
            rows[name]["verdict"] = _verdict(low, high, margin) if has_seeds[name] else ""
    return pd.DataFrame(
        {"network": name, "a": a["test_accuracy"].mean(), "b": b["test_accuracy"].mean()}
        | rows[name]
        | {"n_a": len(replicates(a)), "n_b": len(replicates(b)), "margin": margin}
        for name, (a, b) in pairs.items()
    )


def _one_of_each(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A trial of each: of the same seed and training set, or the best of each where they have none in common."""
    keys = ["seed", "training_subset"]
    common = first.merge(second, on=keys, suffixes=("", "_of_b"))[:1]
    if not len(common):
        return first[:1], second[:1]
    return first[first["trial"].isin(common["trial"])], second[second["trial"].isin(common["trial_of_b"])]


def _verdict(low: float, high: float, margin: float) -> str:
    if low > 0 or high < 0:
        by_less = ", by less than the margin" if max(abs(low), abs(high)) <= margin else ""
        return ("B ahead" if low > 0 else "B behind") + by_less
    return "level" if max(-low, high) <= margin else "undecided"


def _by_network(results: Results) -> dict[str, pd.DataFrame]:
    """Network → the ranked trials of its first configuration that have a test accuracy."""
    frame = results.ranked[results.ranked["test_accuracy"].notna()]
    first = frame.groupby("network")["configuration"].transform("first")
    return {str(name): rows for name, rows in frame[frame["configuration"] == first].groupby("network", sort=False)}


def _family(one: Results, other: Results, groups: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[Family, bool]:
    """The family of the networks of A and, after them, of B, and whether their images are paired."""
    sides = list(zip(*groups, strict=True))
    is_scored = all(
        {trial for rows in side for trial in rows["trial"]} <= set(results.scores.trials)
        for side, results in zip(sides, (one, other), strict=True)
    )
    places = _places(one, other)
    if is_scored and places is not None:
        ours = [one.scores.mean_right(replicates(rows), "test") for rows in sides[0]]
        theirs = [other.scores.mean_right(replicates(rows), "test")[:, places] for rows in sides[1]]
        return estimate(ours + theirs, one.scores.parts["test"].clusters), True
    families = [of_shares([_accuracies(rows) for rows in side], int(side[0]["test_images"].iloc[0])) for side in sides]
    return joined(*families), False


def _accuracies(rows: pd.DataFrame) -> np.ndarray:
    """The test accuracy of each seed, or the mean of each training set."""
    accuracies = rows.set_index("trial")["test_accuracy"].astype(float)
    return np.array([accuracies[trials].mean() for trials in replicates(rows)])


def _places(one: Results, other: Results) -> np.ndarray | None:
    """The place of each test image of `one` in `other`, (n,); None if they are not the same images of the same data.

    Images are matched by paths, as another `--seed` of data_prep reorders them; in a record without paths, by rows.
    """
    a, b = (results.scores.parts.get("test") for results in (one, other))
    first, second = one.provenance.manifest.data, other.provenance.manifest.data
    is_same_data = all(getattr(first, name) == getattr(second, name) for name in _DATA)
    if not (a and b and is_same_data and len(a) == len(b)):
        return None
    ours, theirs = (a.paths, b.paths) if (a.paths != "").all() and (b.paths != "").all() else (a.rows, b.rows)
    places = np.empty(len(a), int)
    places[np.argsort(ours, kind="stable")] = np.argsort(theirs, kind="stable")
    are_same = np.array_equal(ours, theirs[places]) and np.array_equal(a.labels, b.labels[places])
    return places if are_same else None


def verdict(frame: pd.DataFrame, has_training_sets: bool = False) -> str:
    """What the differences say, in words. `frame` is what `differences` gives; both records may have training sets."""
    scope = "over seeds and training sets" if has_training_sets else "over seeds, and for their training sets"
    judged = frame[frame["verdict"] != ""]
    how = "paired over the same test images" if frame["paired"].all() else "over different test images"
    if not len(judged):
        return (
            "No verdict on networks: that needs two seeds or more of a network in both. Each row compares one training "
            f"of A with one of B, of the same seed where both have it; the intervals are {how}, and say "
            "nothing of other seeds."
        )
    words = {word: rows["network"] for word, rows in judged.groupby("verdict", sort=False)}
    every = f"all {len(judged)} networks"
    said = "; ".join(
        f"{word}: {every if 1 < len(judged) == len(networks) else ', '.join(networks)}"
        for word, networks in words.items()
    )
    return (
        f"{said[0].upper()}{said[1:]}. Ahead or behind: the interval leaves out 0. Level: it lies within "
        f"{points(frame['margin'].iloc[0])} of 0. All intervals together hold with 95 %; they are {how}, {scope}."
    )
