"""The trials of a search as lines through their hyperparameters."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.search.style import ACCURACY, footer, written
from analysis.figures.style import INK, PAGE_WIDTH, Drawing, new_figure, percent_tick
from analysis.results.searches import hyperparameters, searched
from analysis.results.trials import Results

_ABSENT = -0.12  # height of a trial on the axis, from 0 to 1, of a hyperparameter that its network does not have


def draw(results: Results) -> Drawing | None:
    """Parallel coordinates, a line a trial through its hyperparameters, coloured by validation accuracy."""
    trials, space = searched(results), hyperparameters(results)
    frame = trials.dropna(subset=["validation_accuracy"]).sort_values("validation_accuracy")
    if not len(frame) or not space:
        return None
    accuracies = frame["validation_accuracy"]
    reading = f"At the bottom of an axis: trials without that hyperparameter. {footer(results, frame)}"
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
        axes.text(place + 0.04, _height(values, value), written(value), fontsize=5.5, va="center", bbox=plate)


def _height(values: BaseDistribution, value: Any) -> float:
    """Where a value stands on an axis from 0 to 1."""
    if value is None or value != value:
        return _ABSENT
    if isinstance(values, CategoricalDistribution):
        return values.choices.index(value) / (len(values.choices) - 1)
    ends = (value, values.low, values.high)  # type: ignore[attr-defined]
    place, low, high = np.log(ends) if values.log else ends  # type: ignore[attr-defined]
    return float((place - low) / (high - low))
