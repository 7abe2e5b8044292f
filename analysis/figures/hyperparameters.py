"""What the hyperparameters of a search do: one by one, together, and which of them matter."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.search import ACCURACY, LOOKS, legend_handles, looks, note
from analysis.figures.style import INK, PAGE_WIDTH, PALETTE, Drawing, new_figure, percent_tick
from analysis.results.format import percent
from analysis.results.searches import hyperparameters, importance, searched
from analysis.results.trials import Results

_ABSENT = -0.12  # height of a trial on the axis, from 0 to 1, of a hyperparameter that its network does not have


def draw_slices(results: Results) -> Drawing | None:
    """Validation accuracy against each hyperparameter."""
    trials, tuned = searched(results), hyperparameters(results)
    frame = trials.dropna(subset=["validation_accuracy"])
    space = {name: values for name, values in tuned.items() if name in frame and frame[name].notna().any()}
    if not space:
        return None
    columns = min(4, len(space))
    rows = math.ceil(len(space) / columns)
    with new_figure(PAGE_WIDTH, 0.9 + 2.1 * rows, note(results, frame), *results.provenance.caveats) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, (name, values) in zip(grid.flat, space.items(), strict=False):
            _draw_slice(axes, frame[frame[name].notna()], name, values)
        for unused in list(grid.flat)[len(space) :]:
            unused.remove()
        for first in grid[:, 0]:
            first.set_ylabel(ACCURACY)
        figure.legend(handles=legend_handles(frame), loc="outside upper left", ncols=3)
    return Drawing(
        figure,
        "Hyperparameter by hyperparameter",
        f"Validation accuracy of {len(trials)} trials against each of {len(tuned)} hyperparameters.",
        "Validation accuracy against each hyperparameter, in the trials that have it.",
    )


def _draw_slice(axes: Axes, frame: pd.DataFrame, name: str, values: BaseDistribution) -> None:
    places = frame[name]
    axes.set_xlabel(name.replace("_", " "))
    axes.yaxis.set_major_formatter(percent_tick)
    if isinstance(values, CategoricalDistribution):
        places, labels = places.map(values.choices.index), [_written(value) for value in values.choices]
        rotation = 90 if sum(map(len, labels)) > 16 else 0
        axes.set_xticks(range(len(labels)), labels, rotation=rotation, fontsize=6)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif values.log:  # type: ignore[attr-defined]
        axes.set_xscale("log")
    for look, rows in frame.groupby(looks(frame)):
        style = {"linestyle": "", "markersize": 3.5, "alpha": 0.8, **LOOKS[str(look)]}
        axes.plot(places[rows.index].astype(float), rows["validation_accuracy"], **style)


def draw_parallel(results: Results) -> Drawing | None:
    """Parallel coordinates, a line a trial through its hyperparameters, coloured by validation accuracy."""
    trials, space = searched(results), hyperparameters(results)
    frame = trials.dropna(subset=["validation_accuracy"]).sort_values("validation_accuracy")
    if not len(frame) or not space:
        return None
    accuracies = frame["validation_accuracy"]
    reading = f"At the bottom of an axis: trials without that hyperparameter. {note(results, frame)}"
    with new_figure(PAGE_WIDTH, 3.4, reading, *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        # From the fifth percentile on, or a few failures would take all the colours.
        scale = ScalarMappable(Normalize(float(accuracies.quantile(0.05)), float(accuracies.max())), "cividis")
        for row in frame.to_dict("records"):
            heights = [_height(values, row[name]) for name, values in space.items()]
            axes.plot(heights, color=scale.to_rgba(row["validation_accuracy"]), linewidth=1, alpha=0.85)
        for place, values in enumerate(space.values()):
            _draw_axis(axes, place, values)
        names = [name.replace("_", " ") for name in space]
        axes.set_xticks(range(len(space)), names, fontsize=7, rotation=30, ha="right", rotation_mode="anchor")
        axes.set(yticks=[], ylim=(_ABSENT - 0.06, 1.06), xlim=(-0.15, len(space) - 0.4))
        axes.spines[:].set_visible(False)
        figure.colorbar(scale, ax=axes, format=percent_tick, pad=0.01).set_label(ACCURACY)
    return Drawing(
        figure,
        "Trials as lines through their hyperparameters",
        f"Parallel coordinates of {len(trials)} trials, coloured by validation accuracy.",
        "A line a trial through the values of its hyperparameters; the brightest lines are the most accurate trials.",
    )


def _draw_axis(axes: Axes, place: int, values: BaseDistribution) -> None:
    axes.axvline(place, color=INK, linewidth=0.8)
    ends = values.choices if isinstance(values, CategoricalDistribution) else (values.low, values.high)  # type: ignore[attr-defined]
    plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    for value in ends:
        axes.text(place + 0.04, _height(values, value), _written(value), fontsize=5.5, va="center", bbox=plate)


def _height(values: BaseDistribution, value: Any) -> float:
    """Where a value stands on an axis from 0 to 1."""
    if value is None or value != value:
        return _ABSENT
    if isinstance(values, CategoricalDistribution):
        return values.choices.index(value) / (len(values.choices) - 1)
    ends = (value, values.low, values.high)  # type: ignore[attr-defined]
    place, low, high = np.log(ends) if values.log else ends  # type: ignore[attr-defined]
    return float((place - low) / (high - low))


def _written(value: Any) -> str:
    """A hyperparameter's value in few letters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def draw_importance(results: Results) -> Drawing | None:
    """The share of the variance of validation accuracy that each hyperparameter explains."""
    table = importance(results)
    if not len(table):
        return None
    reading = (
        f"fANOVA of validation accuracy over n = {table['n'].iloc[0]} trials, mean ± standard deviation over resampled "
        "trials; stopped trials count with the accuracy they had. Hyperparameters that only some trials have are left "
        "out."
    )
    with new_figure(PAGE_WIDTH * 0.7, 1.3 + 0.26 * len(table), reading, *results.provenance.caveats) as figure:
        axes, rows = figure.subplots(), table.iloc[::-1]
        names, shares, errors = rows["hyperparameter"].str.replace("_", " "), 100 * rows["mean"], 100 * rows["std"]
        axes.barh(names, shares, color=PALETTE[0], height=0.6)
        axes.errorbar(shares, range(len(rows)), xerr=errors, fmt="none", ecolor=INK, capsize=2, linewidth=1)
        axes.set(xlabel="Share of the variance (%)", xlim=(0, None))
        axes.grid(visible=False, axis="y")
    words = ", ".join(f"{row['hyperparameter']} {percent(row['mean'], 0)} %" for row in table.to_dict("records"))
    return Drawing(
        figure,
        "Hyperparameter importance",
        f"Shares of the variance of validation accuracy: {words}.",
        "How much of the differences between trials each hyperparameter explains, with its uncertainty.",
    )
