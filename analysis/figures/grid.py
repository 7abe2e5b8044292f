"""The grid trunk x head of the age networks as a heat map of validation accuracy."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from analysis.figures.style import INK, RC, footer, ink_on, new_figure, percent_tick
from analysis.results.format import mean_and_deviation, span
from analysis.results.trials import Results, grid

_COLOURS = "cividis"


def draw(results: Results) -> Figure:
    """The heat map of `grid(results.trials)`. A cell without a ranked trial is hatched, and says why."""
    table = grid(results.trials)
    trunks, heads = sorted(table["trunk"].unique()), sorted(table["head"].unique())
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = new_figure(1.8 + 1.1 * max(2, len(heads)), 1.7 + 0.75 * len(trunks))
        axes = figure.subplots()
        scale = _colour(figure, axes, table.pivot(index="trunk", columns="head", values="mean"))
        for row in table.to_dict("records"):
            _draw_cell(axes, heads.index(row["head"]), trunks.index(row["trunk"]), row, scale)
        axes.hlines(np.arange(0.5, len(trunks) - 1), -0.5, len(heads) - 0.5, color="white", linewidth=2)
        axes.vlines(np.arange(0.5, len(heads) - 1), -0.5, len(trunks) - 0.5, color="white", linewidth=2)
        axes.set_xlabel("Head")
        axes.set_ylabel("Trunk")
        axes.set_xticks(range(len(heads)), heads)
        axes.set_yticks(range(len(trunks)), trunks)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        footer(figure, note(results), *results.provenance.caveats)
    return figure


def _colour(figure: Figure, axes: Axes, means: pd.DataFrame) -> ScalarMappable:
    """Colour the cells that have a mean, explain the colours, and return the scale."""
    image = axes.imshow(np.ma.masked_invalid(means.to_numpy(float)), cmap=_COLOURS, aspect="auto")
    bar = figure.colorbar(image, ax=axes, format=FuncFormatter(percent_tick))
    bar.set_label("Validation accuracy (%)")
    bar.outline.set_visible(False)
    return image


def _draw_cell(axes: Axes, x: int, y: int, row: dict[str, Any], scale: ScalarMappable) -> None:
    if row["n"]:
        lines = [
            mean_and_deviation(row["mean"], row["std"]),
            *[f"{row['flagged']} {row['states']}"] * bool(row["flagged"]),
        ]
        ink = ink_on(tuple(scale.to_rgba(row["mean"])))
        axes.text(x, y, "\n".join(lines), ha="center", va="center", color=ink, fontsize=8)
        return
    hatched = Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor="#b8b8b8", hatch="////", linewidth=0)
    axes.add_patch(hatched)
    plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(x, y, row["states"], ha="center", va="center", color=INK, fontsize=8, bbox=plate)


def note(results: Results) -> str:
    """What must be known to read the grid, with n."""
    table, best = grid(results.trials), results.ranked.iloc[0]
    least, most = min(table["n"][table["n"] > 0]), max(table["n"])
    seeds = "one trial a cell" if most == 1 else f"mean ± standard deviation of {least} to {most} seeds a cell"
    hatched = " Hatched: no ranked trial." if (table["n"] == 0).any() else ""
    interval = span(best["validation_low"], best["validation_high"])
    return (
        f"Validation accuracy in %, n = {results.images('validation')} images, {seeds}. 95 % interval of the best single "
        f"trial: {interval} %.{hatched}"
    )


def text(results: Results) -> str:
    """The grid in words, cell by cell."""
    cells = [
        f"{row['trunk']} {row['head']} {mean_and_deviation(row['mean'], row['std']) if row['n'] else row['states']}"
        for row in grid(results.trials).to_dict("records")
    ]
    return f"Heat map of validation accuracy in percent, trunk x head: {'; '.join(cells)}."
