"""Which configurations can be told apart: every pair of the first ones, by their accuracy on test."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import GREY, RC, footer, ink_on, new_figure
from analysis.results.judged import SIGNIFICANT, Findings
from analysis.results.trials import Results

_COLOURS = matplotlib.colormaps["PuOr"]


def draw(results: Results, found: Findings) -> Figure:
    """A cell a pair: how many points of accuracy the row is ahead of the column; grey where they are not told apart."""
    frame = found.comparisons
    names = list(dict.fromkeys([*frame["configuration"], *frame["other"]]))
    most = max(0.001, float(frame["difference"].abs().max()))
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = new_figure(2.4 + 0.45 * len(names), 2.3 + 0.3 * len(names))
        axes = figure.subplots()
        for row in frame.to_dict("records"):
            first, second = names.index(row["configuration"]), names.index(row["other"])
            _draw_cell(axes, second, first, row["difference"], most, row["told_apart"])
            _draw_cell(axes, first, second, -row["difference"], most, row["told_apart"])
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        footer(figure, note(results, found), *results.provenance.caveats)
    return figure


def _draw_cell(axes: Axes, x: int, y: int, difference: float, most: float, told_apart: bool) -> None:
    colour = _COLOURS(0.5 - 0.45 * difference / most) if told_apart else (0.95, 0.95, 0.95, 1.0)
    axes.add_patch(matplotlib.patches.Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour))
    ink = ink_on(colour) if told_apart else GREY
    axes.text(x, y, f"{100 * difference:+.1f}", ha="center", va="center", fontsize=6.5, color=ink)


def note(results: Results, found: Findings) -> str:
    """What must be known to read the matrix, with n."""
    frame = found.comparisons
    seeds = np.unique([*frame["seeds"], *frame["other_seeds"]])
    told = f"{seeds.min()}" if len(seeds) == 1 else f"{seeds.min()} to {seeds.max()}"
    which = "the same test images and over seeds" if seeds.max() > 1 else "the same test images"
    return (
        f"Points of test accuracy by which the row is ahead of the column, n = {results.images('test')} images, {told} "
        f"seed{'s' * bool(seeds.max() > 1)} each. Grey: not told apart (p ≥ {SIGNIFICANT:g} over {which}, Holm's "
        f"correction for {len(frame)} pairs)."
    )
