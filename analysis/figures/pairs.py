"""Differences in test accuracy between configurations, pair by pair."""

from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.figures.style import GREY, Drawing, hide_frame, ink_on, new_figure
from analysis.results.judged import Findings
from analysis.results.trials import Results

_DIFFERENCES = matplotlib.colormaps["PuOr"]
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def draw(results: Results, findings: Findings) -> Drawing | None:
    """How far configurations with several seeds are apart in accuracy on test.

    A cell a pair: how many points the row is ahead of the column; grey where the interval of the difference holds 0.
    """
    frame = findings.compared.pairs
    if not len(frame):
        return None
    names = list(dict.fromkeys([*frame["configuration"], *frame["other"]]))
    is_apart = (frame["low"] > 0) | (frame["high"] < 0)
    most, ends = max(0.001, float(frame["difference"].abs().max())), (-0.5, len(names) - 0.5)
    size = (2.4 + 0.45 * len(names), 2.3 + 0.3 * len(names))
    with new_figure(*size, _note(results, findings), *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        for row in frame.assign(is_apart=is_apart).to_dict("records"):
            first, second = names.index(row["configuration"]), names.index(row["other"])
            _draw_pair(axes, second, first, row["difference"], most, row["is_apart"])
            _draw_pair(axes, first, second, -row["difference"], most, row["is_apart"])
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set(yticks=range(len(names)), yticklabels=names, xlim=ends, ylim=ends[::-1])
        hide_frame(axes)
    return Drawing(
        figure,
        "Differences between networks",
        f"Matrix of differences in test accuracy; the intervals of {int(is_apart.sum())} of {len(frame)} leave out 0.",
        "How far the row is ahead of the column; in grey where the interval of the difference holds 0, so that "
        "either may be better.",
    )


def _draw_pair(axes: Axes, x: int, y: int, difference: float, most: float, is_apart: bool) -> None:
    colour = _DIFFERENCES(0.5 - 0.45 * difference / most) if is_apart else (0.95, 0.95, 0.95, 1.0)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour))
    ink = ink_on(colour) if is_apart else GREY
    axes.text(x, y, f"{round(100 * difference, 1) + 0.0:+.1f}", fontsize=6.5, color=ink, **_CENTRED)


def _note(results: Results, findings: Findings) -> str:
    """How to read the matrix, with n."""
    compared = findings.compared
    numbers = sorted({int(count) for count in compared.configurations["seeds"] if count > 1})
    counts = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return (
        f"Points of test accuracy by which the row is ahead of the column, n = {results.images('test')} images, "
        f"{counts} {compared.unit}s each. Grey: the interval of the difference holds 0 "
        f"({100 * (1 - compared.level):g} %, for all {len(compared.pairs)} pairs together, over {results.scope})."
    )
