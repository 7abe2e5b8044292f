"""Whether the probabilities of the first configurations can be believed: reliability on test."""

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.style import GREY, PAGE_WIDTH, PALETTE, Drawing, new_figure, percent_tick
from analysis.results.decisions import calibration, reliability
from analysis.results.seeds import first_of_each
from analysis.results.trials import Results

_MOST_RELIABILITIES = 3


def draw(results: Results) -> Drawing | None:
    """The share of FAKE among test images of about equal probability, and how many images have that probability."""
    trials = first_of_each(results, _MOST_RELIABILITIES)
    if not trials:
        return None
    note = (
        f"The best trial of each of the first {len(trials)} configurations. Test, n = {results.images('test')} "
        "images, in 15 bins of probability, with 95 % intervals (Wilson). Calibrated: Platt's scaling, fitted on "
        "validation. Dotted: probabilities that can be taken at their word."
    )
    with new_figure(PAGE_WIDTH, 3.9, note, *results.provenance.caveats) as figure:
        grid = figure.subplots(2, len(trials), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
        for (above, below), (trial, name) in zip(grid.T, trials.items(), strict=True):
            _draw_bins(above, below, results, trial)
            above.set_title(name, loc="left")
        grid[0, 0].set_ylabel("FAKE among them (%)")
        grid[1, 0].set_ylabel("Images")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return Drawing(
        figure,
        "Reliability of the probabilities",
        "Share of FAKE against predicted probability of the first configurations, raw and calibrated.",
        "Of images with about the same probability, how many are FAKE; below, how many images have it.",
    )


def _draw_bins(above: Axes, below: Axes, results: Results, trial: str) -> None:
    labels, logits = results.scores.of(trial, "test")
    slope, offset = calibration(*results.scores.of(trial, "validation"))
    raw, calibrated = reliability(labels, logits), reliability(labels, slope * logits.astype(float) + offset)
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=":")
    for bins, colour, marker, name in ((raw, PALETTE[0], "o", "as it is"), (calibrated, PALETTE[1], "s", "calibrated")):
        full = bins[bins["n"] > 0]
        above.errorbar(
            full["probability"],
            full["share"],
            np.abs(full[["low", "high"]].to_numpy(float).T - full["share"].to_numpy(float)),
            color=colour,
            marker=marker,
            markersize=3.5,
            linewidth=1,
            elinewidth=0.8,
            label=name,
        )
    below.bar(
        raw["left"],
        raw["n"],
        width=raw["right"] - raw["left"],
        align="edge",
        color=PALETTE[0],
        edgecolor="white",
        linewidth=0.5,
    )
    below.set_xlabel("Probability of FAKE (%)")
    for axis in (above.xaxis, below.xaxis, above.yaxis):
        axis.set_major_formatter(percent_tick)
