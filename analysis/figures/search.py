"""How a search progressed: the accuracy of its trials in their order, when they were stopped, and the Pareto front."""

from typing import Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import GREY, INK, PAGE_WIDTH, PALE, PALETTE, Drawing, new_figure, percent_tick
from analysis.results.format import percent
from analysis.results.searches import front, searched
from analysis.results.trials import Results

ACCURACY = "Validation accuracy (%)"
#: A trial's look → how it is drawn.
LOOKS: dict[str, dict[str, Any]] = {
    "finished": {"color": PALETTE[0], "marker": "o", "label": "finished"},
    "stopped": {"color": PALETTE[1], "marker": "X", "label": "stopped"},
    "no result": {"color": PALE, "marker": ".", "label": "collapsed, diverged or failed"},
}
#: The second objective → its label, and how many of its unit are one of the trials' (operations, seconds).
_OBJECTIVES = {"flops": ("Operations an image (MFLOPs)", 1e-6), "seconds_per_image": ("Time an image (µs)", 1e6)}


def looks(frame: pd.DataFrame) -> "pd.Series[str]":
    """The look of each trial, a name in LOOKS."""
    return frame["status"].where(frame["status"].isin(["finished", "stopped"]), "no result")


def legend_handles(frame: pd.DataFrame) -> list[Line2D]:
    """An entry of the legend for each look that a trial has."""
    present = set(looks(frame))
    return [Line2D([], [], linestyle="", **style) for look, style in LOOKS.items() if look in present]


def note(results: Results, frame: pd.DataFrame) -> str:
    """How to read a figure of the trials in `frame`, with n."""
    search = results.provenance.search
    epochs = search.get("epochs", 1)
    limit = f"at most {epochs} epoch{'s' * (epochs > 1)} a trial"
    return (
        f"n = {len(frame)} trials ({search.get('method')}, stopping {search.get('stopping')}, {limit}). "
        f"Validation: n = {results.images('validation')} images."
    )


def draw_history(results: Results) -> Drawing | None:
    """Every trial's validation accuracy and the best so far, against trials and against image passes."""
    frame = searched(results)
    if not len(frame):
        return None
    with new_figure(PAGE_WIDTH, 3.0, note(results, frame), *results.provenance.caveats) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        places = {left: frame["number"].astype(float), right: frame["image_passes"].astype(float) / 1e6}
        for axes, place in places.items():
            for look, rows in frame.groupby(looks(frame)):
                style = {"linestyle": "", "markersize": 4, **LOOKS[str(look)]}
                axes.plot(place[rows.index], rows["validation_accuracy"], **style)
            axes.step(place, frame["best_so_far"], where="post", color=INK, linewidth=1.2)
        left.set(xlabel="Trial", ylabel=ACCURACY)
        right.set(xlabel="Image passes of all trials so far (millions)", xlim=(0, None))
        left.yaxis.set_major_formatter(percent_tick)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [*legend_handles(frame), Line2D([], [], color=INK, label="best so far")]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    best = percent(frame["best_so_far"].iloc[-1])
    return Drawing(
        figure,
        "How the search progressed",
        f"Validation accuracy of {len(frame)} trials in their order; the best reaches {best} %.",
        "Each trial's validation accuracy, and the best so far, against trials and against the training spent.",
    )


def draw_rungs(results: Results) -> Drawing | None:
    """How far each trial got: a line to the epoch after which it ended."""
    frame, search = searched(results), results.provenance.search
    if not len(frame):
        return None
    most = max(1, int(search.get("epochs", 1)), int(frame["epochs_done"].max()))
    rungs = [3**power for power in range(10) if search.get("stopping") in ("asha", "hyperband") and 3**power < most]
    reading = f"Dotted: rungs, at which trials are compared. {note(results, frame)}"
    with new_figure(PAGE_WIDTH, min(9.0, 1.4 + 0.09 * len(frame)), reading, *results.provenance.caveats) as figure:
        axes = figure.subplots()
        for rung in rungs:
            axes.axvline(rung, color=GREY, linewidth=0.9, linestyle=":")
        for look, rows in frame.groupby(looks(frame)):
            numbers, ends = rows["number"].astype(float), rows["epochs_done"].astype(float)
            axes.hlines(numbers, 0, ends, color=LOOKS[str(look)]["color"], linewidth=1)
            axes.plot(ends, numbers, linestyle="", markersize=4, **LOOKS[str(look)])
        ends_of_axis = (frame["number"].max() + 0.7, frame["number"].min() - 0.7)
        axes.set(xlabel="Epochs", ylabel="Trial", xlim=(0, 1.03 * most), ylim=ends_of_axis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False)
        figure.legend(handles=legend_handles(frame), loc="outside upper left", ncols=3)
    stopped = f"{(frame['status'] == 'stopped').sum()} of {len(frame)} were stopped early."
    return Drawing(
        figure,
        "Which trials were stopped when",
        f"A line a trial to the epoch after which it ended; {stopped}",
        f"How far each trial got; {stopped}",
    )


def draw_front(results: Results) -> Drawing | None:
    """Validation accuracy against the second objective of a search, with the Pareto front."""
    best = front(results)
    if not len(best):
        return None
    against = str(results.provenance.search["against"])
    frame, ordered = searched(results).dropna(subset=["validation_accuracy", against]), best.sort_values(against)
    label, scale = _OBJECTIVES[against]
    xs, ys = ordered[against] * scale, ordered["validation_accuracy"]
    with new_figure(PAGE_WIDTH * 0.8, 3.6, note(results, frame), *results.provenance.caveats) as figure:
        axes = figure.subplots()
        axes.plot(frame[against] * scale, frame["validation_accuracy"], "o", color=PALE, markersize=4, label="trial")
        axes.step(xs, ys, where="post", color=PALETTE[0], marker="o", markersize=4, label="Pareto front")
        for *place, name in zip(xs, ys, ordered["configuration"], strict=True):
            axes.annotate(name, tuple(place), (3, -8), textcoords="offset points", fontsize=6)
        axes.set(xscale="log", xlabel=label, ylabel=ACCURACY)
        axes.yaxis.set_major_formatter(percent_tick)
        figure.legend(loc="outside upper left", ncols=2)
    names = ", ".join(best["configuration"])
    return Drawing(
        figure,
        "Pareto front",
        f"Validation accuracy against {against}; on the front: {names}.",
        f"No trial is better in both than one on the front: {names}.",
    )
