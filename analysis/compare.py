"""python -m analysis compare A B: what changed between two records, and whether their results differ beyond noise."""

from collections.abc import Callable
from typing import Any

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column

from analysis.results.configurations import all_values, recipe_of
from analysis.results.format import percent, plain_table, points_span
from analysis.results.judged import SIGNIFICANT
from analysis.results.trials import Results, read
from data_prep import Folder, InputError
from sweeps.stats.comparisons import holm, mean_difference, shares_difference
from trainables.training.metrics import SCORED_SPLITS

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
    names = ["test of A %", "test of B %", "B − A, points", "95 % interval", "p (Holm)", "seeds"]
    rows = [
        [
            *(row["network"], percent(row["a"]), percent(row["b"]), f"{100 * row['difference']:+.2f}"),
            *(points_span(row["low"], row["high"]), f"{row['p_holm']:.2g}", f"{row['n_a']}, {row['n_b']}"),
        ]
        for row in frame.to_dict("records")
    ]
    columns = [Column("network", overflow="fold"), *(Column(name, justify="right") for name in names)]
    console.print(plain_table(columns, rows))
    console.print(verdict(frame), markup=False)


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
        (f"{name}s of one only", ", ".join(sorted(a - b)) or _NONE, ", ".join(sorted(b - a)) or _NONE)
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
    """One row a network that both have a result of: test accuracies, and B less A with interval and Holm's p.

    The test is paired where both have scored the same test images.
    """
    first, second = (_by_network(results) for results in (one, other))
    rows = [
        {"network": name, "a": a["test_accuracy"].mean(), "b": second[name]["test_accuracy"].mean()}
        | _difference(one, a, other, second[name])
        | {"n_a": len(a), "n_b": len(second[name])}
        for name, a in first.items()
        if name in second
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(p_holm=holm(frame["p"])) if rows else frame


def _by_network(results: Results) -> dict[str, pd.DataFrame]:
    """Network → the ranked trials of its first configuration that have a test accuracy."""
    frame = results.ranked[results.ranked["test_accuracy"].notna()]
    first = frame.groupby("network")["configuration"].transform("first")
    return {str(name): rows for name, rows in frame[frame["configuration"] == first].groupby("network", sort=False)}


def _difference(one: Results, first: pd.DataFrame, other: Results, second: pd.DataFrame) -> dict[str, Any]:
    """The mean test accuracy of the trials `second` of `other` less that of `first` of `one`, as a row's columns."""
    sides, places = ((other, second), (one, first)), _places(one, other)
    is_scored = all(set(rows["trial"]) <= set(results.scores.trials) for results, rows in sides)
    is_paired = is_scored and places is not None
    if is_paired:
        theirs, ours = (results.scores.is_right(rows["trial"], "test") for results, rows in sides)
        values = mean_difference(theirs[:, places], ours)
    else:
        shares = [(rows["test_accuracy"].to_numpy(float), int(rows["test_images"].iloc[0])) for _, rows in sides]
        values = shares_difference(*shares[0], *shares[1])
    return dict(zip(("difference", "low", "high", "p"), values, strict=True)) | {"paired": is_paired}


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


def verdict(frame: pd.DataFrame) -> str:
    """Whether results differ beyond noise, in words. `frame` is what `differences` gives."""
    differ = frame[frame["p_holm"] < SIGNIFICANT]
    better, worse = (", ".join(differ.loc[sign * differ["difference"] > 0, "network"]) for sign in (1, -1))
    directions = [f"better in {better}"] * bool(better) + [f"worse in {worse}"] * bool(worse)
    paired = int(frame["paired"].sum())
    how = "paired over the same test images" if paired else "over different test images"
    result = f"B is {' and '.join(directions)}" if directions else "No result differs beyond noise"
    networks = f"{len(frame)} network{'s' * (len(frame) > 1)}, {f'{paired} ' if 0 < paired < len(frame) else ''}{how}"
    has_one_seed = frame[["n_a", "n_b"]].max().max() == 1
    caution = " With one seed, the effect of the seed is not in these intervals." if has_one_seed else ""
    return f"{result} ({networks}, 5 % level after Holm's correction).{caution}"
