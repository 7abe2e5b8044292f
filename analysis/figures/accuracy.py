"""Accuracy on test of each configuration, with its interval, beside the floor that linear probes set."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.figures.style import GREY, INK, PAGE_WIDTH, PALETTE, RC, footer, new_figure, percent_tick
from analysis.results.format import percent
from analysis.results.trials import Results, without_choosers
from sweeps.stats.intervals import share_interval, wilson

_MOST_ROWS = 40
_PARTS = {"test": "test", "test_clean": "clean test"}


def accuracies(results: Results) -> pd.DataFrame:
    """One row a configuration and part (test, test_clean), best on validation first, 40 configurations at most.

    `mean` over the n seeds, with `low` and `high`: Wilson's interval over the images for one seed, Student's over the
    seeds for more.
    """
    ranked, rows = without_choosers(results.ranked[results.ranked["test_accuracy"].notna()]), []
    for place, (name, trials) in enumerate(_in_order(results, ranked)):
        for part in _PARTS:
            values = trials[f"{part}_accuracy"].dropna()
            if len(values):
                alone = (values.iloc[0], *wilson(values.iloc[0], float(trials[f"{part}_images"].iloc[0])))
                mean, low, high = alone if len(values) == 1 else share_interval(values.to_numpy(float))
                told = {"configuration": name, "place": place, "part": part, "n": len(values)}
                rows.append(told | {"mean": mean, "low": low, "high": high, "values": values.tolist()})
    return pd.DataFrame(rows)


def _in_order(results: Results, ranked: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The configurations, best mean of the metric that ranks first, each with its trials."""
    groups = {str(name): trials for name, trials in ranked.groupby("configuration", sort=False)}
    metric, sign = results.provenance.metric, -1 if results.provenance.direction == "max" else 1
    return sorted(groups.items(), key=lambda pair: sign * pair[1][metric].mean())[:_MOST_ROWS]


def draw(results: Results, frame: pd.DataFrame) -> Figure:
    """A row a configuration: filled, all of test; hollow, its clean part; dots are single seeds; dotted, the floor.

    `frame` is what `accuracies(results)` gives.
    """
    names = frame.drop_duplicates("place")["configuration"]
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH * 0.85, 1.5 + 0.21 * len(names))
        axes = figure.subplots()
        for part, rows in frame.groupby("part"):
            is_clean = part == "test_clean"
            places = rows["place"] + (0.18 if is_clean else -0.12)
            errors = np.abs(rows[["low", "high"]].to_numpy(float).T - rows["mean"].to_numpy(float))
            look: dict[str, Any] = {"fmt": "o", "markersize": 4, "linewidth": 1.1, "color": PALETTE[int(is_clean)]}
            face = "white" if is_clean else PALETTE[0]
            axes.errorbar(rows["mean"], places, xerr=errors, markerfacecolor=face, label=_PARTS[str(part)], **look)
        _draw_seeds(axes, frame)
        for name, level in floors(results).items():
            axes.axvline(level, color=GREY, linestyle=":", linewidth=1.2, label=f"{name} ({percent(level, 1)} %)")
        axes.set_yticks(range(len(names)), names)
        axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="Accuracy (%)")
        axes.xaxis.set_major_formatter(FuncFormatter(percent_tick))
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper left", ncols=3)
        footer(figure, note(results, frame), *results.provenance.caveats)
    return figure


def _draw_seeds(axes: matplotlib.axes.Axes, frame: pd.DataFrame) -> None:
    rows = frame[(frame["part"] == "test") & (frame["n"] > 1)]
    points = [(value, row["place"] - 0.12) for row in rows.to_dict("records") for value in row["values"]]
    if points:
        axes.plot(*np.array(points).T, linestyle="", marker="|", markersize=6, color=INK, alpha=0.7, label="one seed")


def floors(results: Results) -> dict[str, float]:
    """What a linear probe on colour and spectrum together reaches on test, where the record has it."""
    both = results.provenance.floor.get("both", {})
    return {"linear probe on colour and spectrum": both["test_accuracy"]} if "test_accuracy" in both else {}


def note(results: Results, frame: pd.DataFrame) -> str:
    """What must be known to read the figure, with n."""
    how = "95 % interval (Wilson) over the images"
    if frame["n"].min() > 1:
        how = "mean and 95 % interval (Student's t) over the seeds"
    elif frame["n"].max() > 1:
        how = f"mean and 95 % interval (Student's t) over the seeds where there are several, else {how}"
    return (
        f"Accuracy at probability 0.5, {how}; the best on validation first. Test: n = {results.images('test')} images; "
        f"clean test, without those that also stand in train: n = {results.images('test_clean')}."
    )
