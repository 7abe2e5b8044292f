"""The trials of a search as lines through their hyperparameters."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.search.style import ACCURACY, footer, written
from analysis.figures.style import INK, PAGE_WIDTH, Drawing, hide_frame, new_figure, percent_tick
from analysis.results.searches import hyperparameters, searched
from analysis.results.trials import Results

_ABSENT = -0.12  # where a trial stands on the axis, from 0 to 1, of a hyperparameter that its network does not have


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """Parallel coordinates, from top to bottom: a line a trial through its hyperparameters, coloured by accuracy."""
    trials, space = searched(results), hyperparameters(results)
    frame = trials.dropna(subset=["validation_accuracy"]).sort_values("validation_accuracy")
    if not len(frame) or not space:
        return None
    accuracies = frame["validation_accuracy"]
    reading = f"At the left end of an axis: trials without that hyperparameter. {footer(results, frame)}"
    with new_figure(width, 1.6 + 0.27 * len(space), reading, *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        # From the fifth percentile on, or a few failures would take all the colours.
        scale = ScalarMappable(Normalize(float(accuracies.quantile(0.05)), float(accuracies.max())), "cividis")
        for row in frame.to_dict("records"):
            places = [_place(values, row[name]) for name, values in space.items()]
            axes.plot(
                places, range(len(space)), color=scale.to_rgba(row["validation_accuracy"]), linewidth=1, alpha=0.85
            )
        for row, values in enumerate(space.values()):
            _draw_axis(axes, row, values)
        axes.set_yticks(range(len(space)), [name.replace("_", " ") for name in space])
        axes.set(xticks=[], xlim=(_ABSENT - 0.06, 1.06), ylim=(len(space) - 0.6, -0.6))
        hide_frame(axes)
        bar = figure.colorbar(scale, ax=axes, format=percent_tick, pad=0.01, location="bottom", aspect=40)
        bar.set_label(ACCURACY)
        bar.outline.set_visible(False)
    return Drawing(
        figure,
        "Trials as lines through their hyperparameters",
        f"Parallel coordinates of {len(trials):,} trials, coloured by validation accuracy.",
        "A line a trial through the values of its hyperparameters; the brightest lines are the most accurate trials.",
        frame,
    )


def _draw_axis(axes: Axes, row: int, values: BaseDistribution) -> None:
    axes.plot((0, 1), (row, row), color=INK, linewidth=0.8)
    ends = values.choices if isinstance(values, CategoricalDistribution) else (values.low, values.high)  # type: ignore[attr-defined]
    plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
    for value in ends:
        axes.text(_place(values, value), row, written(value), fontsize=6, ha="center", va="center", bbox=plate)


def _place(values: BaseDistribution, value: Any) -> float:
    """Where a value stands on an axis from 0 to 1."""
    if value is None or value != value:
        return _ABSENT
    if isinstance(values, CategoricalDistribution):
        return values.choices.index(value) / (len(values.choices) - 1)
    ends = (value, values.low, values.high)  # type: ignore[attr-defined]
    place, low, high = np.log(ends) if values.log else ends  # type: ignore[attr-defined]
    return float((place - low) / (high - low))
