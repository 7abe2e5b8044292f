"""What the raw scores of the first trials say: ROC, and whether their probabilities can be believed."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.figures.style import GREY, PAGE_WIDTH, PALETTE, RC, footer, new_figure, percent_tick
from analysis.results.decisions import calibration, reliability, roc
from analysis.results.trials import Results

_MOST_ROC, _MOST_RELIABILITY = 6, 3
_LEAST_RATE = 1e-3


def first_of_each(results: Results, most: int) -> dict[str, str]:
    """Trial → its configuration: the best trial of each of the first configurations that have test scores."""
    if "test" not in results.scores.parts:
        return {}
    frame = (
        results.ranked[results.ranked["trial"].isin(results.scores.trials)].drop_duplicates("configuration").head(most)
    )
    return dict(zip(frame["trial"], frame["configuration"], strict=True))


def draw_roc(results: Results) -> Figure:
    """ROC on test, on a linear and on a logarithmic axis of the false positive rate: detectors work at the left end."""
    trials = first_of_each(results, _MOST_ROC)
    curves = {trial: roc(*results.scores.of(trial, "test")) for trial in trials}
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH, 3.6)
        left, right = figure.subplots(1, 2, sharey=True)
        chance = np.linspace(_LEAST_RATE, 1, 200)
        for axes in (left, right):
            axes.plot(chance, chance, color=GREY, linewidth=0.9, linestyle=":")
            for place, (trial, (false, true)) in enumerate(curves.items()):
                axes.plot(false, true, color=PALETTE[place], linewidth=1.3, label=trials[trial], gid=f"{trial}:roc")
            axes.set_xlabel("REAL images called FAKE (%)")
            axes.xaxis.set_major_formatter(FuncFormatter(percent_tick))
            axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
        left.set_ylabel("FAKE images called FAKE (%)")
        right.set_xscale("log")
        right.set_xlim(_LEAST_RATE, 1)
        right.xaxis.set_major_formatter(FuncFormatter(percent_tick))
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3)
        footer(figure, roc_note(results), *results.provenance.caveats)
    return figure


def roc_note(results: Results) -> str:
    """What must be known to read the curves, with n."""
    return (
        f"ROC on test, FAKE positive, n = {results.images('test')} images; the best trial of each of the first "
        "configurations. Right: the same, with the rate of false alarms on a logarithmic axis. Dotted: chance."
    )


def draw_reliability(results: Results) -> Figure:
    """The share of FAKE among test images of about equal probability, and how many images have that probability."""
    trials = first_of_each(results, _MOST_RELIABILITY)
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH, 3.9)
        grid = figure.subplots(2, len(trials), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
        for column, (trial, name) in enumerate(trials.items()):
            _draw_one(grid[0, column], grid[1, column], results, trial)
            grid[0, column].set_title(name, loc="left")
        grid[0, 0].set_ylabel("FAKE among them (%)")
        grid[1, 0].set_ylabel("Images")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
        footer(figure, reliability_note(results), *results.provenance.caveats)
    return figure


def _draw_one(above: Axes, below: Axes, results: Results, trial: str) -> None:
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=":")
    labels, logits = results.scores.of(trial, "test")
    slope, offset = calibration(*results.scores.of(trial, "validation"))
    raw, mended = reliability(labels, logits), reliability(labels, slope * logits.astype(float) + offset)
    for bins, colour, marker, name in ((raw, PALETTE[0], "o", "as it is"), (mended, PALETTE[1], "s", "calibrated")):
        full = bins[bins["n"] > 0]
        errors = np.abs(full[["low", "high"]].to_numpy(float).T - full["share"].to_numpy(float))
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1, "elinewidth": 0.8}
        above.errorbar(full["probability"], full["share"], yerr=errors, label=name, **look)
    widths = raw["right"] - raw["left"]
    below.bar(raw["left"], raw["n"], width=widths, align="edge", color=PALETTE[0], edgecolor="white", linewidth=0.5)
    below.set_xlabel("Probability of FAKE (%)")
    for axes in (above, below):
        axes.xaxis.set_major_formatter(FuncFormatter(percent_tick))
    above.yaxis.set_major_formatter(FuncFormatter(percent_tick))


def reliability_note(results: Results) -> str:
    """What must be known to read the diagram, with n."""
    return (
        f"Test, n = {results.images('test')} images, in 15 bins of probability, with 95 % intervals (Wilson). "
        "Calibrated: Platt's scaling, fitted on validation. Dotted: probabilities that can be taken at their word."
    )
