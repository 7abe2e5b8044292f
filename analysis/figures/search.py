"""The figures of a search: how it got on, who was stopped when, and what its hyperparameters did."""

import math
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.style import GREY, INK, PAGE_WIDTH, PALE, PALETTE, RC, footer, new_figure, percent_tick
from analysis.results.searches import front, hyperparameters, importance, searched
from analysis.results.trials import Results

_LOOKS: dict[str, dict[str, Any]] = {
    "finished": {"color": PALETTE[0], "marker": "o"},
    "stopped": {"color": PALETTE[1], "marker": "X"},
    "no result": {"color": PALE, "marker": "."},
}
_ACCURACY = "Validation accuracy (%)"
_ABSENT = -0.12  # where a trial is drawn in which a hyperparameter has no say, below an axis from 0 to 1
_COLOURS = matplotlib.colormaps["cividis"]


def history(results: Results) -> Figure:
    """Every trial's validation accuracy and the best so far, against trials and against image passes."""
    frame = _with_look(searched(results))
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH, 3.0)
        left, right = figure.subplots(1, 2, sharey=True)
        places = {left: frame["number"].astype(float), right: frame["image_passes"].astype(float) / 1e6}
        for axes, place in places.items():
            for look, rows in frame.groupby("look"):
                values = rows["validation_accuracy"]
                axes.plot(place[rows.index], values, linestyle="", markersize=4, **_LOOKS[str(look)])
            axes.step(place, frame["best_so_far"], where="post", color=INK, linewidth=1.2)
        left.set(xlabel="Trial", ylabel=_ACCURACY)
        right.set(xlabel="Image passes of all trials so far (millions)", xlim=(0, None))
        left.yaxis.set_major_formatter(FuncFormatter(percent_tick))
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [*_handles(frame), Line2D([], [], color=INK, label="best so far")]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
        footer(figure, _note(results, frame), *results.provenance.caveats)
    return figure


def rungs(results: Results) -> Figure:
    """How far each trial got: a line to the epoch after which it ended."""
    frame = _with_look(searched(results))
    most = max(1, int(results.provenance.search.get("epochs", 1)), int(frame["epochs_done"].max()))
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH, min(9.0, 1.4 + 0.09 * len(frame)))
        axes = figure.subplots()
        for epoch in _rung_epochs(results, most):
            axes.axvline(epoch, color=GREY, linewidth=0.9, linestyle=":")
        for look, rows in frame.groupby("look"):
            style = _LOOKS[str(look)]
            ends = rows["epochs_done"].astype(float)
            axes.hlines(rows["number"].astype(float), 0, ends, color=style["color"], linewidth=1)
            axes.plot(ends, rows["number"].astype(float), linestyle="", markersize=4, **style)
        first, last = frame["number"].min(), frame["number"].max()
        axes.set(xlabel="Epochs", ylabel="Trial", xlim=(0, 1.03 * most), ylim=(last + 0.7, first - 0.7))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False)
        figure.legend(handles=_handles(frame), loc="outside upper left", ncols=3)
        footer(
            figure, f"Dotted: rungs, at which trials are compared. {_note(results, frame)}", *results.provenance.caveats
        )
    return figure


def parallel(results: Results) -> Figure:
    """A line a trial through the values of its hyperparameters, coloured by validation accuracy."""
    frame = searched(results).dropna(subset=["validation_accuracy"]).sort_values("validation_accuracy")
    space = {name: values for name, values in hyperparameters(results).items() if name in frame}
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = new_figure(PAGE_WIDTH, 3.4)
        axes = figure.subplots()
        scale = ScalarMappable(Normalize(*_limits(frame["validation_accuracy"])), _COLOURS)
        for row in frame.to_dict("records"):
            heights = [_height(values, row[name]) for name, values in space.items()]
            colour = scale.to_rgba(row["validation_accuracy"])
            axes.plot(range(len(space)), heights, color=colour, linewidth=1, alpha=0.85)
        for place, values in enumerate(space.values()):
            axes.axvline(place, color=INK, linewidth=0.8)
            for value in _ticks(values):
                plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
                axes.text(place + 0.04, _height(values, value), _short(value), fontsize=5.5, va="center", bbox=plate)
        names = [name.replace("_", " ") for name in space]
        axes.set_xticks(range(len(space)), names, fontsize=7, rotation=30, ha="right", rotation_mode="anchor")
        axes.set(yticks=[], ylim=(_ABSENT - 0.06, 1.06), xlim=(-0.15, len(space) - 0.4))
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(scale, ax=axes, format=FuncFormatter(percent_tick), pad=0.01)
        bar.set_label(_ACCURACY)
        note = "A line at the very bottom of an axis: the hyperparameter has no say in that trial."
        footer(figure, f"{note} {_note(results, frame)}", *results.provenance.caveats)
    return figure


def slices(results: Results) -> Figure:
    """Validation accuracy against each hyperparameter."""
    frame = _with_look(searched(results).dropna(subset=["validation_accuracy"]))
    space = {
        name: values for name, values in hyperparameters(results).items() if name in frame and frame[name].notna().any()
    }
    columns = min(4, len(space))
    rows = math.ceil(len(space) / columns)
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH, 0.9 + 2.1 * rows)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, (name, values) in zip(grid.flat, space.items(), strict=False):
            _draw_slice(axes, frame[frame[name].notna()], name, values)
        for unused in list(grid.flat)[len(space) :]:
            unused.remove()
        for first in grid[:, 0]:
            first.set_ylabel(_ACCURACY)
        figure.legend(handles=_handles(frame), loc="outside upper left", ncols=3)
        footer(figure, _note(results, frame), *results.provenance.caveats)
    return figure


def _draw_slice(axes: Axes, frame: pd.DataFrame, name: str, values: BaseDistribution) -> None:
    for look, rows in frame.groupby("look"):
        places = rows[name].map(lambda value: _place(values, value)).astype(float)
        axes.plot(places, rows["validation_accuracy"], linestyle="", markersize=3.5, alpha=0.8, **_LOOKS[str(look)])
    axes.set_xlabel(name.replace("_", " "))
    axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
    if isinstance(values, CategoricalDistribution):
        names = [_short(value) for value in values.choices]
        turned = 90 if sum(map(len, names)) > 16 else 0
        axes.set_xticks(range(len(names)), names, rotation=turned, fontsize=6)
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif values.log:  # type: ignore[attr-defined]
        axes.set_xscale("log")


def importances(results: Results) -> Figure:
    """The share of the variance of validation accuracy that each hyperparameter explains."""
    table = importance(results).iloc[::-1]
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH * 0.7, 1.3 + 0.26 * len(table))
        axes = figure.subplots()
        axes.barh(table["hyperparameter"].str.replace("_", " "), 100 * table["mean"], color=PALETTE[0], height=0.6)
        axes.errorbar(
            100 * table["mean"],
            range(len(table)),
            xerr=100 * table["std"],
            fmt="none",
            ecolor=INK,
            capsize=2,
            linewidth=1,
        )
        axes.set(xlabel="Share of the variance (%)", xlim=(0, None))
        axes.grid(visible=False, axis="y")
        note = (
            f"fANOVA of validation accuracy over n = {table['n'].iloc[0]} trials, mean ± standard deviation over "
            "resampled trials; stopped trials count with the accuracy they had. Hyperparameters that matter only sometimes are "
            "left out."
        )
        footer(figure, note, *results.provenance.caveats)
    return figure


def pareto(results: Results) -> Figure:
    """Validation accuracy against the second objective, with the front."""
    against = str(results.provenance.search["against"])
    frame, best = searched(results).dropna(subset=["validation_accuracy", against]), front(results)
    labels = {"flops": "Operations an image (MFLOPs)", "seconds_per_image": "Time an image (µs)"}
    scale = {"flops": 1e-6, "seconds_per_image": 1e6}[against]
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH * 0.8, 3.6)
        axes = figure.subplots()
        axes.plot(frame[against] * scale, frame["validation_accuracy"], "o", color=PALE, markersize=4, label="trial")
        ordered = best.sort_values(against)
        look: dict[str, Any] = {"where": "post", "color": PALETTE[0], "marker": "o", "markersize": 4}
        axes.step(ordered[against] * scale, ordered["validation_accuracy"], label="Pareto front", **look)
        for row in ordered.to_dict("records"):
            place = (row[against] * scale, row["validation_accuracy"])
            axes.annotate(row["configuration"], place, (3, -8), textcoords="offset points", fontsize=6)
        axes.set(xscale="log", xlabel=labels[against], ylabel=_ACCURACY)
        axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
        figure.legend(loc="outside upper left", ncols=2)
        footer(figure, _note(results, frame), *results.provenance.caveats)
    return figure


def _with_look(frame: pd.DataFrame) -> pd.DataFrame:
    looks = frame["status"].where(frame["status"].isin(["finished", "stopped"]), "no result")
    return frame.assign(look=looks)


def _handles(frame: pd.DataFrame) -> list[Line2D]:
    present = [look for look in _LOOKS if (frame["look"] == look).any()]
    names = {"no result": "collapsed, diverged or failed"}
    return [Line2D([], [], linestyle="", label=names.get(look, look), **_LOOKS[look]) for look in present]


def _note(results: Results, frame: pd.DataFrame) -> str:
    search = results.provenance.search
    epochs = search.get("epochs", 1)
    told = (
        f"{search.get('method')}, stopping {search.get('stopping')}, at most {epochs} epoch{'s' * (epochs > 1)} a trial"
    )
    return f"n = {len(frame)} trials ({told}). Validation: n = {results.images('validation')} images."


def _rung_epochs(results: Results, most: int) -> list[int]:
    if results.provenance.search.get("stopping") not in ("asha", "hyperband"):
        return []
    return [3**rung for rung in range(10) if 3**rung < most]


def _limits(values: "pd.Series[float]") -> tuple[float, float]:
    """From the fifth percentile on, or a few failures would take all the colours."""
    return float(values.quantile(0.05)), float(values.max())


def _height(values: BaseDistribution, value: Any) -> float:
    """Where a value stands on an axis from 0 to 1."""
    if value is None or value != value:
        return _ABSENT
    if isinstance(values, CategoricalDistribution):
        return values.choices.index(value) / (len(values.choices) - 1)
    place, low, high = (np.log(each) if values.log else each for each in (value, values.low, values.high))  # type: ignore[attr-defined]
    return float((place - low) / (high - low))


def _place(values: BaseDistribution, value: Any) -> float:
    return float(values.choices.index(value) if isinstance(values, CategoricalDistribution) else value)


def _ticks(values: BaseDistribution) -> list[Any]:
    if isinstance(values, CategoricalDistribution):
        return list(values.choices)
    return [values.low, values.high]  # type: ignore[attr-defined]


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
