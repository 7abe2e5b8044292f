"""Differences in test accuracy between configurations, pair by pair."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.figures.style import GREY, Drawing, hide_frame, ink_on, new_figure
from analysis.results.judged import SIGNIFICANT, Findings
from analysis.results.trials import Results

_DIFFERENCES = matplotlib.colormaps["PuOr"]
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def draw(results: Results, findings: Findings) -> Drawing | None:
    """Which of the first configurations can be told apart, by their accuracy on test.

    A cell a pair: how many points of accuracy the row is ahead of the column; grey where they are not told apart.
    """
    frame = findings.comparisons
    if not len(frame):
        return None
    names = list(dict.fromkeys([*frame["configuration"], *frame["other"]]))
    most, ends = max(0.001, float(frame["difference"].abs().max())), (-0.5, len(names) - 0.5)
    size = (2.4 + 0.45 * len(names), 2.3 + 0.3 * len(names))
    with new_figure(*size, _note(results, findings), *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        for row in frame.to_dict("records"):
            first, second = names.index(row["configuration"]), names.index(row["other"])
            _draw_pair(axes, second, first, row["difference"], most, row["told_apart"])
            _draw_pair(axes, first, second, -row["difference"], most, row["told_apart"])
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set(yticks=range(len(names)), yticklabels=names, xlim=ends, ylim=ends[::-1])
        hide_frame(axes)
    apart = f"{int(frame['told_apart'].sum())} of {len(frame)} pairs are told apart"
    return Drawing(
        figure,
        "What can be told apart",
        f"Matrix of differences in test accuracy; {apart}.",
        "How far the row is ahead of the column; in colour where that is more than noise.",
    )


def _draw_pair(axes: Axes, x: int, y: int, difference: float, most: float, told_apart: bool) -> None:
    colour = _DIFFERENCES(0.5 - 0.45 * difference / most) if told_apart else (0.95, 0.95, 0.95, 1.0)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour))
    ink = ink_on(colour) if told_apart else GREY
    axes.text(x, y, f"{100 * difference:+.1f}", fontsize=6.5, color=ink, **_CENTRED)


def _note(results: Results, findings: Findings) -> str:
    """How to read the matrix, with n."""
    frame = findings.comparisons
    seeds = np.unique([*frame["seeds"], *frame["other_seeds"]])
    counts = f"{seeds.min()}" if len(seeds) == 1 else f"{seeds.min()} to {seeds.max()}"
    over = "the same test images and over seeds" if seeds.max() > 1 else "the same test images"
    return (
        f"Points of test accuracy by which the row is ahead of the column, n = {results.images('test')} images, "
        f"{counts} seed{'s' * bool(seeds.max() > 1)} each. Grey: not told apart (p ≥ {SIGNIFICANT:g} over {over}, "
        f"Holm's correction for {len(frame)} pairs)."
    )
