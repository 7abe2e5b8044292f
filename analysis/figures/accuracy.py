"""Accuracy on test with intervals: of each configuration, beside the floor of linear probes, and of each class."""

from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures.style import (
    GREY,
    INK,
    PAGE_WIDTH,
    PALETTE,
    Drawing,
    add_legend,
    cut_outliers,
    label_rows,
    new_figure,
    row_names,
    rows_height,
)
from analysis.results.compared import means, trials_by_configuration
from analysis.results.format import TITLES, percent
from analysis.results.trials import Results

_MOST_ROWS, _MOST_IN_WORDS = 40, 12
_PARTS = ("test", "test_clean")
_DOT: dict[str, Any] = {"fmt": "o", "markersize": 4, "linewidth": 1.1}
_FLOORS = "Dotted: what a linear probe on colour and spectrum reaches."
_CLEAN = " Filled: all test images. Hollow: the clean test, without copies of training images."
_SEVERAL = (
    " Ticks: single trials, on all of test. These intervals do not compare networks: those of their differences do."
)


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """A row a configuration: filled, all of test; hollow, its clean part; ticks, single trials; dotted, the floor."""
    frame = accuracies(results)
    if not len(frame):
        return None
    names = row_names(frame.drop_duplicates("place")["configuration"], width)
    with new_figure(width, 1.5 + rows_height(names), footer(results, frame), *results.provenance.caveats) as figure:
        axes = figure.subplots()
        for part, rows in frame.groupby("part"):
            is_clean = part == "test_clean"
            axes.errorbar(
                rows["mean"],
                rows["place"] + (0.18 if is_clean else -0.12),
                xerr=np.abs(rows[["low", "high"]].to_numpy(float).T - rows["mean"].to_numpy(float)),
                **_DOT,
                color=PALETTE[int(is_clean)],
                markerfacecolor="white" if is_clean else PALETTE[0],
                label=TITLES[str(part)],
            )
        on_test = frame[frame["part"] == "test"]
        seeds = on_test[on_test["n"] > 1].explode("values")
        if len(seeds):
            shares, places = seeds["values"].astype(float), seeds["place"] - 0.12
            axes.plot(shares, places, "|", markersize=6, color=INK, alpha=0.7, label="one trial")
        for name, level in results.provenance.floors.items():
            axes.axvline(level, color=GREY, linestyle=":", linewidth=1.2, label=f"{name} ({percent(level, 1)} %)")
        label_rows(axes, names, "Accuracy (%)")
        cut_outliers(axes, on_test[["mean", "low", "high"]].to_numpy(float), *results.provenance.floors.values())
        add_legend(figure)
    first = on_test.head(_MOST_IN_WORDS).to_dict("records")
    words = "; ".join(f"{row['configuration']} {percent(row['mean'])} %" for row in first)
    return Drawing(
        figure,
        "Accuracy on test",
        f"Test accuracy with intervals: {words}.",
        f"{_FLOORS * bool(results.provenance.floors)}{_SEVERAL * bool(len(seeds))}"
        f"{_CLEAN * (len(_parts(results)) > 1)}".strip(),
        frame.drop(columns="place"),
    )


def accuracies(results: Results) -> pd.DataFrame:
    """One row a configuration and part (test, test_clean), best on validation first, 40 configurations at most.

    `mean` is over the n trials, whose accuracies are `values`; `low` and `high` are the ends of its 95 % interval.
    """
    tested = results.ranked[results.ranked["test_accuracy"].notna()]
    trials = trials_by_configuration(results, tested, most=_MOST_ROWS)
    shares, rows = tested.set_index("trial"), []
    for part in _parts(results) if trials else ():
        found = means(results, trials, part)
        for place, (name, groups) in enumerate(trials.items()):
            values = shares.loc[list(chain(*groups)), f"{part}_accuracy"].tolist()
            row = {"configuration": name, "place": place, "part": part, "n": len(values), "values": values}
            ends = found.loc[name, ["accuracy", "accuracy_low", "accuracy_high"]]
            rows.append(row | dict(zip(("mean", "low", "high"), ends, strict=True)))
    frame = pd.DataFrame(rows, columns=["configuration", "place", "part", "n", "values", "mean", "low", "high"])
    return frame[frame["mean"].notna()].sort_values("place", kind="stable", ignore_index=True)


def _parts(results: Results) -> tuple[str, ...]:
    """Test, and its clean part unless that is all of it."""
    return _PARTS[:1] if results.images("test") == results.images("test_clean") else _PARTS


def footer(results: Results, frame: pd.DataFrame) -> str:
    """How to read the figure of `accuracies`, with n."""
    scope = f"over {results.scope}" if frame["n"].max() > 1 else "over images, of these trained networks"
    if frame["n"].min() == 1 < frame["n"].max():
        scope = f"over images, of one trained network, or where there are several over {results.scope}"
    names, means = frame["place"].nunique(), ""
    if frame["n"].max() > 1:
        means = ": of the mean, for which networks share what is known of the spread"
    total = results.ranked["configuration"].nunique()
    first = f", {names} of {total}" if names < total else ""
    clean = "; clean test, without copies of training images: n = " + results.images("test_clean")
    return (
        f"Accuracy at the threshold that is best on validation, with its 95 % interval {scope}{means}; the best on "
        f"validation first{first}. Test: n = {results.images('test')} "
        f"images{clean if len(_parts(results)) > 1 else ''}."
    )
