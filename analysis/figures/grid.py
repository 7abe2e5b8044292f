"""The grid trunk x head of the age networks as a heat map of validation accuracy."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Rectangle

from analysis.figures.style import INK, PAGE_WIDTH, Drawing, hide_frame, ink_on, new_figure, without_outliers
from analysis.results.format import mean_and_deviation, span
from analysis.results.seeds import trunk_by_head
from analysis.results.trials import Results

_LEAST_SPAN = 0.05  # of accuracy, between the darkest and the brightest colour
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """The heat map of `trunk_by_head(results.trials)`. A cell without a ranked trial is hatched, and says why."""
    table = trunk_by_head(results.trials)
    if not len(table):
        return None
    means = table.pivot(index="trunk", columns="head", values="mean")
    trunks, heads, note = means.index.tolist(), means.columns.tolist(), _note(results)
    with new_figure(width, 1.3 + 0.6 * len(trunks), note, *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        values = means.to_numpy(float)
        low, high = without_outliers(values)
        low = min(low, high - _LEAST_SPAN)  # small differences have small differences of colour
        image = axes.imshow(np.ma.masked_invalid(values), cmap="cividis", aspect="auto", vmin=low, vmax=high)
        for row in table.to_dict("records"):
            _draw_cell(axes, heads.index(row["head"]), trunks.index(row["trunk"]), row, image)
        axes.hlines(np.arange(0.5, len(trunks) - 1), -0.5, len(heads) - 0.5, color="white", linewidth=2)
        axes.vlines(np.arange(0.5, len(heads) - 1), -0.5, len(trunks) - 0.5, color="white", linewidth=2)
        axes.set(xlabel="Head", xticks=range(len(heads)), xticklabels=heads)
        axes.set(ylabel="Trunk", yticks=range(len(trunks)), yticklabels=trunks)
        hide_frame(axes)
    words = "; ".join(
        f"{row['trunk']} {row['head']} {mean_and_deviation(row['mean'], row['std']) if row['n'] else row['states']}"
        for row in table.to_dict("records")
    )
    alt = f"Heat map of validation accuracy in percent, trunk x head: {words}."
    caption = f"age-cN-fM has a trunk of N convolutions and a head of M dense layers. {note}"
    return Drawing(figure, "Trunk x head", alt, caption, table)


def _draw_cell(axes: Axes, x: int, y: int, row: dict[str, Any], scale: ScalarMappable) -> None:
    if row["n"]:
        flagged = f"\n{row['flagged']} {row['states']}" if row["flagged"] else ""
        text = mean_and_deviation(row["mean"], row["std"]).replace(" ±", "\n±") + flagged
        axes.text(x, y, text, color=ink_on(tuple(scale.to_rgba(row["mean"]))), fontsize=8, **_CENTRED)
    else:
        hatched: dict[str, Any] = {"facecolor": "white", "edgecolor": "#b8b8b8", "hatch": "////", "linewidth": 0}
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **hatched))
        plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.text(x, y, row["states"], color=INK, fontsize=8, bbox=plate, **_CENTRED)


def _note(results: Results) -> str:
    """How to read the grid, with n."""
    counts, best = trunk_by_head(results.trials)["n"], results.ranked.iloc[0]
    least, most = min(counts[counts > 0]), max(counts)
    several = f"{most}" if least == most else f"{least} to {most}"
    interval = f"of the best {span(best['validation_low'], best['validation_high'])} %"
    seeds = (
        f"one trial a cell; 95 % interval {interval}"
        if most == 1
        else f"mean ± standard deviation of {several} trials a cell"
    )
    hatched = " Hatched: no ranked trial." if (counts == 0).any() else ""
    return f"Validation accuracy in %, at probability 0.5, n = {results.images('validation')} images, {seeds}.{hatched}"
