"""Differences in test accuracy between configurations, pair by pair."""

from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.figures.style import (
    INK,
    PAGE_WIDTH,
    Drawing,
    hide_frame,
    ink_on,
    new_figure,
    row_names,
    rows_height,
    without_outliers,
)
from analysis.results.judged import Findings
from analysis.results.trials import Results

_DIFFERENCES = matplotlib.colormaps["PuOr"]
_CELL, _LETTER = 0.21, 0.075  # inches, of width
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def draw(results: Results, findings: Findings, width: float = PAGE_WIDTH) -> Drawing | None:
    """How far configurations with several seeds are apart in accuracy on test.

    A cell a pair: how many points the row is ahead of the column; grey where the interval of the difference holds 0.
    """
    frame = findings.compared.pairs
    is_apart = (frame["low"] > 0) | (frame["high"] < 0) if len(frame) else pd.Series(dtype=bool)
    if not is_apart.any():
        return None  # the forest plot says the same
    configurations = list(dict.fromkeys([*frame["configuration"], *frame["other"]]))
    places, names = {name: place for place, name in enumerate(configurations)}, row_names(configurations, width)
    longest = max(len(line) for name in names for line in name.split("\n"))
    count = min(len(names), int((width - _LETTER * (longest + 4)) / _CELL))
    rows = frame.assign(
        is_apart=is_apart,
        y=frame["configuration"].map(places),
        x=frame["other"].map(places),
    )
    shown = rows[(rows["x"] < count) & (rows["y"] < count)]
    most = max(0.001, without_outliers(shown["difference"].abs().to_numpy())[1])
    seen = f", {int(shown['is_apart'].sum())} of them here: the first {count} of {len(names)} networks"
    note = f"{_note(results, findings)}: {int(is_apart.sum())} leave it out{seen if count < len(names) else ''}."
    with new_figure(width, 1.0 + rows_height(names[:count]), note, *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        for row in shown.to_dict("records"):
            _draw_pair(axes, row["x"], row["y"], row["difference"], most, row["is_apart"])
            _draw_pair(axes, row["y"], row["x"], -row["difference"], most, row["is_apart"])
        axes.set_xticks(range(count), map(str, range(1, count + 1)))
        axes.set_yticks(range(count), [f"{name}  {place}" for place, name in enumerate(names[:count], 1)])
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
        hide_frame(axes)
    return Drawing(
        figure,
        "Differences between networks",
        f"Matrix of differences in test accuracy; the intervals of {int(is_apart.sum())} of {len(frame)} leave out 0.",
        "How far the row is ahead of the column; in grey where the interval of the difference holds 0, so that "
        "either may be better.",
        frame,
    )


def _draw_pair(axes: Axes, x: int, y: int, difference: float, most: float, is_apart: bool) -> None:
    share = max(-1.0, min(1.0, difference / most))
    colour = _DIFFERENCES(0.5 - 0.45 * share) if is_apart else (0.95, 0.95, 0.95, 1.0)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour))
    ink = ink_on(colour) if is_apart else INK
    axes.text(x, y, f"{round(100 * difference, 1) + 0.0:+.1f}", fontsize=6, color=ink, **_CENTRED)


def _note(results: Results, findings: Findings) -> str:
    """How to read the matrix, with n."""
    compared = findings.compared
    numbers = sorted({int(count) for count in compared.configurations["seeds"] if count > 1})
    counts = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return (
        f"Points of test accuracy by which the row is ahead of the column, n = {results.images('test')} images, "
        f"{counts} {compared.unit}s each. Orange: the row is ahead; purple: behind; grey: the interval of the "
        f"difference ({100 * (1 - compared.level):g} %, for all {len(compared.pairs)} pairs together, over "
        f"{results.scope}) holds 0"
    )
