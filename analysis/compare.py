"""python -m analysis compare A B: what changed between two records, and whether their results differ beyond noise."""

import json
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column, Table

from analysis.pages.console import plain_table
from analysis.results.format import percent, points_span
from analysis.results.judged import SIGNIFICANT
from analysis.results.scores import Part
from analysis.results.trials import Results, read
from data_prep import Folder, InputError
from sweeps.stats.comparisons import holm, mean_difference, shares_difference
from trainables import Recipe
from trainables.training.metrics import SPLITS

_NOT_HYPERPARAMETERS = ("network", "arguments", "seed", "parent")
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
        "Hyperparameters": hyperparameters,
        "Networks and seeds": trials,
        "Data": data,
        "Code and machine": code,
    }
    for title, changes_of in sections.items():
        changes = changes_of(one, other)
        columns = [Column(heading, overflow="fold") for heading in (title, "A", "B")]
        console.print(plain_table(columns, changes) if changes else f"{title}: the same in both.")
    table = differences(one, other)
    if not len(table):
        raise InputError(f"{record_a} and {record_b} have no network in common with a result; compare records that do.")
    console.print(_differences_table(table))
    console.print(verdict(table), markup=False)


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
    names = [name for name in Recipe("").hyperparameters() if name not in _NOT_HYPERPARAMETERS]
    for row in trials.to_dict("records"):
        arguments = json.loads(row["arguments"]) if isinstance(row["arguments"], str) else {}
        for name, value in ({name: row[name] for name in names} | arguments).items():
            values.setdefault(name, {}).setdefault(row["network"], set()).add(_text(value))
    return {
        name: {network: ", ".join(sorted(texts)) for network, texts in sorted(networks.items())}
        for name, networks in values.items()
    }


def trials(one: Results, other: Results) -> Changes:
    """The networks and the seeds that only one of them has."""
    changes = []
    for name in ("network", "seed"):
        first, second = (set(results.trials[name].map(_text)) for results in (one, other))
        only = [", ".join(sorted(names)) or _NONE for names in (first - second, second - first)]
        changes += [(f"{name}s of one only", only[0], only[1])] if first != second else []
    return changes


def data(one: Results, other: Results) -> Changes:
    """Where the images come from, and how many of them were used."""
    first, second = (
        {name: section.get(name) for name in ("source", "fingerprint", "image_size")}
        | {f"{split}_images": (section.get("used") or {}).get(split) for split in ("train", *SPLITS)}
        for section in (one.provenance.data, other.provenance.data)
    )
    return [(name.replace("_", " "), a, b) for name, a, b in _changed(first, second)]


def code(one: Results, other: Results) -> Changes:
    """Commit, versions, backend, hardware, and the metric that ranks the trials."""
    names = ("commit", "dirty", "backend", "metric", "direction")
    first, second = (
        [{name: manifest.get(name) for name in names}]
        + [manifest.get(part) or {} for part in ("versions", "hardware", "weights")]
        for manifest in (one.provenance.manifest, other.provenance.manifest)
    )
    changes = [change for parts in zip(first, second, strict=True) for change in _changed(*parts)]
    return [(name.replace("_", " "), a, b) for name, a, b in changes]


def differences(one: Results, other: Results) -> pd.DataFrame:
    """One row a network that both have a result of: test accuracies, and B less A with interval and Holm's p.

    The test is paired where both have scored the same test images.
    """
    first, second = (_by_network(results) for results in (one, other))
    rows = []
    for name in [name for name in first if name in second]:
        pair = first[name], second[name]
        row = {"network": name} | {key: trials["test_accuracy"].mean() for key, trials in zip("ab", pair, strict=True)}
        row |= _difference(one, pair[0], other, pair[1])
        rows.append(row | {"n_a": len(pair[0]), "n_b": len(pair[1])})
    frame = pd.DataFrame(rows)
    return frame.assign(p_holm=holm(frame["p"])) if rows else frame


def _by_network(results: Results) -> dict[str, pd.DataFrame]:
    """Network → the ranked trials of its first configuration that have a test accuracy."""
    frame = results.ranked[results.ranked["test_accuracy"].notna()]
    first = frame.groupby("network")["configuration"].transform("first")
    return {str(name): rows for name, rows in frame[frame["configuration"] == first].groupby("network", sort=False)}


def _difference(one: Results, first: pd.DataFrame, other: Results, second: pd.DataFrame) -> dict[str, Any]:
    """The mean test accuracy of the trials `second` of `other` less that of `first` of `one`, as a row's columns."""
    sides = ((other, second), (one, first))
    is_scored = all(set(rows["trial"]) <= set(results.scores.trials) for results, rows in sides)
    is_same_data = all(one.provenance.data.get(name) == other.provenance.data.get(name) for name in _DATA)
    places = _places(one.scores.parts.get("test"), other.scores.parts.get("test"))
    names = ("difference", "low", "high", "p")
    if is_scored and is_same_data and places is not None:
        theirs, ours = (
            np.stack([results.scores.is_right(trial, "test") for trial in rows["trial"]]) for results, rows in sides
        )
        return dict(zip(names, mean_difference(theirs[:, places], ours), strict=True)) | {"paired": True}
    shares = [(rows["test_accuracy"].to_numpy(float), int(rows["test_images"].iloc[0])) for _, rows in sides]
    return dict(zip(names, shares_difference(*shares[0], *shares[1]), strict=True)) | {"paired": False}


def _places(one: Part | None, other: Part | None) -> np.ndarray | None:
    """The place of each image of `one` in `other`, (n,); None if they are not the same images.

    Images are matched by paths, as another `--seed` of data_prep reorders them; in a record without paths, by rows.
    """
    if not one or not other or len(one) != len(other):
        return None
    names = "paths" if (one.paths != "").all() and (other.paths != "").all() else "rows"
    first, second = getattr(one, names), getattr(other, names)
    places = np.empty(len(one), int)
    places[np.argsort(first, kind="stable")] = np.argsort(second, kind="stable")
    are_same = np.array_equal(first, second[places]) and np.array_equal(one.labels, other.labels[places])
    return places if are_same else None


def _differences_table(frame: pd.DataFrame) -> Table:
    headings = ["test of A %", "test of B %", "B − A, points", "95 % interval", "p (Holm)", "seeds"]
    columns = [Column("network", overflow="fold"), *(Column(heading, justify="right") for heading in headings)]
    rows = [
        [
            *(row["network"], percent(row["a"]), percent(row["b"]), f"{100 * row['difference']:+.2f}"),
            *(points_span(row["low"], row["high"]), f"{row['p_holm']:.2g}", f"{row['n_a']}, {row['n_b']}"),
        ]
        for row in frame.to_dict("records")
    ]
    return plain_table(columns, rows)


def verdict(frame: pd.DataFrame) -> str:
    """Whether results differ beyond noise, in words. `frame` is what `differences` gives."""
    differ = frame[frame["p_holm"] < SIGNIFICANT]
    better, worse = (", ".join(differ.loc[sign * differ["difference"] > 0, "network"]) for sign in (1, -1))
    directions = [f"better in {better}"] * bool(better) + [f"worse in {worse}"] * bool(worse)
    paired = int(frame["paired"].sum())
    how = "paired over the same test images" if paired else "over different test images"
    how = f"{paired} {how}" if 0 < paired < len(frame) else how
    has_one_seed = frame[["n_a", "n_b"]].max().max() == 1
    caution = " With one seed, the effect of the seed is not in these intervals." if has_one_seed else ""
    result = f"B is {' and '.join(directions)}" if directions else "No result differs beyond noise"
    count = f"{len(frame)} network{'s' * (len(frame) > 1)}"
    return f"{result} ({count}, {how}, 5 % level after Holm's correction).{caution}"
