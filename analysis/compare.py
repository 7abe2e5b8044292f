"""python -m analysis compare A B: what changed between two records, and whether their results differ beyond noise."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Column, Table

from analysis.results.format import percent, points_span
from analysis.results.judged import SIGNIFICANT
from analysis.results.scores import Part
from analysis.results.trials import Results, read
from data_prep.errors import InputError
from data_prep.storage import Folder
from sweeps.stats.comparisons import holm, mean_difference, shares_difference
from trainables import Recipe

_NOT_HYPERPARAMETERS = ("network", "arguments", "seed", "parent")
_NONE = "–"

#: What changed: its name, and its values in A and in B, as text.
Changes = list[tuple[str, str, str]]


@click.command()
@click.argument("record_a")
@click.argument("record_b")
def main(record_a: str, record_b: str) -> None:
    """Say what changed from RECORD_A to RECORD_B, such as results/age, and which of their results differ."""
    one, other = (read(Folder(place)) for place in (record_a, record_b))
    console = Console(highlight=False)
    sections = {
        "Hyperparameters": hyperparameters,
        "Networks and seeds": trials,
        "Data": data,
        "Code and machine": code,
    }
    for title, find in sections.items():
        _show_changes(console, title, find(one, other))
    found = differences(one, other)
    if not len(found):
        raise InputError(f"{record_a} and {record_b} have no network in common with a result; compare records that do.")
    console.print(_table(found))
    console.print(verdict(found, one, other), markup=False)


def hyperparameters(one: Results, other: Results) -> Changes:
    """The hyperparameters of the recipe, and the options of the networks, whose values are others in the networks of both."""
    common = set(one.results["network"]) & set(other.results["network"])
    tables = [_hyperparameters(results.trials[results.trials["network"].isin(common)]) for results in (one, other)]
    names = dict.fromkeys([name for table in tables for name in table])
    return _changed({name: tuple(table.get(name, {}) for table in tables) for name in names}, _told_by_network)


def _hyperparameters(frame: pd.DataFrame) -> dict[str, dict[str, set[str]]]:
    """Hyperparameter → network → its values. A network that has no such option has no entry."""
    found: dict[str, dict[str, set[str]]] = {}
    names = [
        hyperparameter.name
        for hyperparameter in dataclasses.fields(Recipe)
        if hyperparameter.name not in _NOT_HYPERPARAMETERS
    ]
    for row in frame.to_dict("records"):
        options = json.loads(row["arguments"]) if isinstance(row["arguments"], str) else {}
        for name, value in {**{name: row[name] for name in names}, **options}.items():
            found.setdefault(name, {}).setdefault(row["network"], set()).add(_text(value))
    return found


def _told_by_network(values: dict[str, set[str]]) -> str:
    """`0.001`, or `age-c2-f1 0.001; vgg16 0.0001` where networks differ."""
    sets = {", ".join(sorted(each)) for each in values.values()}
    if len(sets) <= 1:
        return next(iter(sets), _NONE)
    return "; ".join(f"{name} {', '.join(sorted(each))}" for name, each in sorted(values.items()))


def trials(one: Results, other: Results) -> Changes:
    """Networks that only one of them has, and other seeds."""
    found = {}
    for name in ("network", "seed"):
        first, second = (set(results.trials[name].map(_text)) for results in (one, other))
        found[f"{name}s" if first == second else f"{name}s of one only"] = (first - second, second - first)
    return _changed(found, lambda names: ", ".join(sorted(names)) or _NONE)


def data(one: Results, other: Results) -> Changes:
    """Where the images come from, and how many of them were used."""
    sections = [results.provenance.manifest.get("data") or {} for results in (one, other)]
    names = ("source", "fingerprint", "image_size")
    found = {name.replace("_", " "): tuple(section.get(name) for section in sections) for name in names}
    for split in ("train", "validation", "test", "test_clean"):
        counts = tuple((section.get("used") or {}).get(split) for section in sections)
        found[f"{split.replace('_', ' ')} images"] = counts
    return _changed(found, _text)


def code(one: Results, other: Results) -> Changes:
    """Commit, versions, backend, hardware, and what the trials were ranked by."""
    manifests = [results.provenance.manifest for results in (one, other)]
    names = ("commit", "dirty", "backend", "metric", "direction")
    found = {name: tuple(manifest.get(name) for manifest in manifests) for name in names}
    for part in ("versions", "hardware", "weights"):
        sections = [manifest.get(part) or {} for manifest in manifests]
        for name in dict.fromkeys([*sections[0], *sections[1]]):
            found[f"{name.replace('_', ' ')}"] = tuple(section.get(name) for section in sections)
    return _changed(found, _text)


def _changed(found: dict[str, tuple[Any, ...]], told: Callable[[Any], str]) -> Changes:
    return [(name, told(first), told(second)) for name, (first, second) in found.items() if first != second]


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return _NONE
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def differences(one: Results, other: Results) -> pd.DataFrame:
    """One row a network that both have a result of: test accuracies, and B less A with interval and Holm's p.

    Where both have scored the same test images the test is paired; else it takes the images as drawn apart.
    """
    first, second = (_by_network(results) for results in (one, other))
    rows = []
    for name in [name for name in first if name in second]:
        difference, low, high, p, is_paired = _difference(one, first[name], other, second[name])
        told = {"network": name, "a": first[name]["test_accuracy"].mean(), "b": second[name]["test_accuracy"].mean()}
        told |= {"difference": difference, "low": low, "high": high, "p": p, "paired": is_paired}
        rows.append(told | {"n_a": len(first[name]), "n_b": len(second[name])})
    frame = pd.DataFrame(rows)
    return frame.assign(p_holm=holm(frame["p"])) if rows else frame


def _by_network(results: Results) -> dict[str, pd.DataFrame]:
    """Network → its ranked trials with a test accuracy: of several configurations those of the first."""
    frame = results.ranked[results.ranked["test_accuracy"].notna()]
    first = frame.groupby("network")["configuration"].transform("first")
    return {str(name): rows for name, rows in frame[frame["configuration"] == first].groupby("network", sort=False)}


def _difference(
    one: Results, first: pd.DataFrame, other: Results, second: pd.DataFrame
) -> tuple[float, float, float, float, bool]:
    scored = [set(rows["trial"]) <= set(results.scores.trials) for results, rows in ((one, first), (other, second))]
    places = _places(one.scores.parts.get("test"), other.scores.parts.get("test"))
    if all(scored) and _shards(one) == _shards(other) and places is not None:
        return (*mean_difference(_right(other, second)[:, places], _right(one, first)), True)
    shares = [(rows["test_accuracy"].to_numpy(float), int(rows["test_images"].iloc[0])) for rows in (second, first)]
    return (*shares_difference(*shares[0], *shares[1]), False)


def _places(one: Part | None, other: Part | None) -> np.ndarray | None:
    """Where each image of `one` stands in `other`, (n,); None if they are not the same images.

    They go by their paths, for another `--seed` of data_prep puts them in another order; in a record that has no paths
    by their rows.
    """
    if not one or not other or len(one) != len(other):
        return None
    names = "paths" if (one.paths != "").all() and (other.paths != "").all() else "rows"
    first, second = getattr(one, names), getattr(other, names)
    places = np.empty(len(one), int)
    places[np.argsort(first, kind="stable")] = np.argsort(second, kind="stable")
    are_same = np.array_equal(first, second[places]) and np.array_equal(one.labels, other.labels[places])
    return places if are_same else None


def _shards(results: Results) -> Any:
    """What two records must have in common to score the same test images: where these come from, and how many."""
    section = results.provenance.manifest.get("data") or {}
    return section.get("source"), section.get("image_size"), section.get("counts")


def _right(results: Results, rows: pd.DataFrame) -> np.ndarray:
    pairs = [results.scores.of(trial, "test") for trial in rows["trial"]]
    return np.stack([(logits > 0) == (labels == 1) for labels, logits in pairs])


def _show_changes(console: Console, title: str, changes: Changes) -> None:
    if not changes:
        console.print(f"{title}: the same in both.")
        return
    table = Table(Column(title, overflow="fold"), Column("A", overflow="fold"), Column("B", overflow="fold"))
    table.box, table.padding = box.SIMPLE_HEAD, (0, 1)
    for change in changes:
        table.add_row(*change)
    console.print(table)


def _table(found: pd.DataFrame) -> Table:
    columns = ["test of A %", "test of B %", "B − A, points", "95 % interval", "p (Holm)", "seeds"]
    table = Table(Column("network", overflow="fold"), *[Column(name, justify="right") for name in columns])
    table.box, table.padding = box.SIMPLE_HEAD, (0, 1)
    for row in found.to_dict("records"):
        numbers = [percent(row["a"]), percent(row["b"]), f"{100 * row['difference']:+.2f}"]
        told = [points_span(row["low"], row["high"]), f"{row['p_holm']:.2g}", f"{row['n_a']}, {row['n_b']}"]
        table.add_row(row["network"], *numbers, *told)
    return table


def verdict(found: pd.DataFrame, one: Results, other: Results) -> str:
    """Whether results differ beyond noise, in words."""
    differ = found[found["p_holm"] < SIGNIFICANT]
    better, worse = (differ.loc[sign * differ["difference"] > 0, "network"].tolist() for sign in (1, -1))
    told = [f"better in {', '.join(better)}"] * bool(better) + [f"worse in {', '.join(worse)}"] * bool(worse)
    paired = int(found["paired"].sum())
    how = "paired over the same test images" if paired else "over different test images"
    how = f"{paired} {how}" if 0 < paired < len(found) else how
    alone = (
        " With one seed, what the seed does is not in these intervals."
        if found[["n_a", "n_b"]].max().max() == 1
        else ""
    )
    beyond = f"B is {' and '.join(told)}" if told else "No result differs beyond noise"
    count = f"{len(found)} network{'s' * (len(found) > 1)}"
    return f"{beyond} ({count}, {how}, 5 % level after Holm's correction).{alone}"
