"""Validation accuracy against each hyperparameter of a search."""

import math

import pandas as pd
from matplotlib.axes import Axes
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.search.style import ACCURACY, LOOKS, footer, legend_handles, looks, written
from analysis.figures.style import PAGE_WIDTH, Drawing, add_legend, many_or_one, new_figure, percent_tick, set_log_x
from analysis.results.searches import hyperparameters, searched
from analysis.results.trials import Results


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """Validation accuracy against each hyperparameter."""
    trials, tuned = searched(results), hyperparameters(results)
    frame = trials.dropna(subset=["validation_accuracy"])
    space = {name: values for name, values in tuned.items() if name in frame and frame[name].notna().any()}
    if not space:
        return None
    columns = min(many_or_one(width, 3) + 1, len(space))
    rows = math.ceil(len(space) / columns)
    with new_figure(width, 0.9 + 2.1 * rows, footer(results, frame), *results.provenance.caveats) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, (name, values) in zip(grid.flat, space.items(), strict=False):
            _draw_slice(axes, frame[frame[name].notna()], name, values)
        for unused in list(grid.flat)[len(space) :]:
            unused.remove()
        for first in grid[:, 0]:
            first.set_ylabel(ACCURACY)
        add_legend(figure, legend_handles(frame))
    return Drawing(
        figure,
        "Hyperparameter by hyperparameter",
        f"Validation accuracy of {len(trials):,} trials against each of {len(tuned)} hyperparameters.",
        "Validation accuracy against each hyperparameter, in the trials that have it.",
        frame,
    )


def _draw_slice(axes: Axes, frame: pd.DataFrame, name: str, values: BaseDistribution) -> None:
    places = frame[name]
    axes.set_xlabel(name.replace("_", " "))
    axes.yaxis.set_major_formatter(percent_tick)
    if isinstance(values, CategoricalDistribution):
        places, labels = places.map(values.choices.index), [written(value) for value in values.choices]
        rotation = 90 if sum(map(len, labels)) > 16 else 0
        axes.set_xticks(range(len(labels)), labels, rotation=rotation, fontsize=6)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif values.log:  # type: ignore[attr-defined]
        set_log_x(axes)
    for look, rows in frame.groupby(looks(frame)):
        style = {"linestyle": "", "markersize": 3.5, "alpha": 0.8, **LOOKS[str(look)]}
        axes.plot(places[rows.index].astype(float), rows["validation_accuracy"], **style)
