"""How far each trial of a search was trained, and at which rungs trials were stopped."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.figures.search.style import LOOKS, MANY, footer, legend_handles, looks
from analysis.figures.style import GREY, PAGE_WIDTH, Drawing, add_legend, new_figure
from analysis.results.searches import searched
from analysis.results.trials import Results


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """How far each trial got: a line to the epoch after which it ended; of many trials, how many ended when."""
    frame, search = searched(results), results.provenance.search
    if not len(frame):
        return None
    most, is_many = max(1, int(search.get("epochs", 1)), int(frame["epochs_done"].max())), len(frame) >= MANY
    rungs = [3**power for power in range(10) if search.get("stopping") in ("asha", "hyperband") and 3**power < most]
    reading = f"{'Dotted: rungs, at which trials are compared. ' if rungs else ''}{footer(results, frame)}"
    height = 3.0 if is_many else min(9.0, 1.4 + 0.09 * len(frame))
    with new_figure(width, height, reading, *results.provenance.caveats) as figure:
        axes = figure.subplots()
        for rung in rungs:
            axes.axvline(rung, color=GREY, linewidth=0.9, linestyle=":")
        (_draw_counts if is_many else _draw_lines)(axes, frame)
        axes.set(xlabel="Epochs", xlim=(0, 1.03 * most + 0.5 * is_many))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False)
        add_legend(figure, legend_handles(frame))
    stopped = f"{(frame['status'] == 'stopped').sum():,} of {len(frame):,} were stopped early."
    shown = "How many trials ended after which epoch" if is_many else "A line a trial to the epoch after which it ended"
    return Drawing(
        figure, "Which trials were stopped when", f"{shown}; {stopped}", f"How far each trial got; {stopped}", frame
    )


def _draw_lines(axes: Axes, frame: pd.DataFrame) -> None:
    for look, rows in frame.groupby(looks(frame)):
        numbers, ends = rows["number"].astype(float), rows["epochs_done"].astype(float)
        axes.hlines(numbers, 0, ends, color=LOOKS[str(look)]["color"], linewidth=1)
        axes.plot(ends, numbers, linestyle="", markersize=4, **LOOKS[str(look)])
    axes.set(ylabel="Trial", ylim=(frame["number"].max() + 0.7, frame["number"].min() - 0.7))


def _draw_counts(axes: Axes, frame: pd.DataFrame) -> None:
    counts = pd.crosstab(frame["epochs_done"].astype(int), looks(frame))
    below = counts.cumsum(axis=1) - counts
    for look in counts:
        axes.bar(counts.index, counts[look], 0.8, below[look], color=LOOKS[str(look)]["color"])
    axes.set(ylabel="Trials that ended there")
