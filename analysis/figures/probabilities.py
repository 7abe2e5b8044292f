"""What the probabilities of the first configurations are worth on test: ROC curves and reliability."""

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.style import GREY, PAGE_WIDTH, PALETTE, Drawing, new_figure, percent_tick
from analysis.results.decisions import calibration, reliability, roc
from analysis.results.trials import Results

_MOST_CURVES, _MOST_RELIABILITIES = 6, 3
_LEAST_RATE = 1e-3


def _first_of_each(results: Results, most: int) -> dict[str, str]:
    """Trial → its configuration: the best trial of each of the first configurations that have test scores."""
    if "test" not in results.scores.parts:
        return {}
    scored = results.ranked[results.ranked["trial"].isin(results.scores.trials)]
    first = scored.drop_duplicates("configuration").head(most)
    return dict(zip(first["trial"], first["configuration"], strict=True))


def draw_roc(results: Results) -> Drawing | None:
    """The curves on a linear and on a logarithmic axis of the false positive rate: detectors work at the left end."""
    trials = _first_of_each(results, _MOST_CURVES)
    if not trials:
        return None
    curves = {trial: roc(*results.scores.of(trial, "test")) for trial in trials}
    note = (
        f"ROC on test, FAKE positive, n = {results.images('test')} images; the best trial of each of the first "
        "configurations. Right: the same, with the rate of false alarms on a logarithmic axis. Dotted: chance."
    )
    with new_figure(PAGE_WIDTH, 3.6, note, *results.provenance.caveats) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        chance = np.linspace(_LEAST_RATE, 1, 200)
        right.set(xscale="log", xlim=(_LEAST_RATE, 1))
        for axes in (left, right):
            axes.plot(chance, chance, color=GREY, linewidth=0.9, linestyle=":")
            for colour, (trial, rates) in zip(PALETTE, curves.items(), strict=False):
                axes.plot(*rates, color=colour, linewidth=1.3, label=trials[trial], gid=f"{trial}:roc")
            axes.set_xlabel("REAL images called FAKE (%)")
            axes.xaxis.set_major_formatter(percent_tick)
            axes.yaxis.set_major_formatter(percent_tick)
        left.set_ylabel("FAKE images called FAKE (%)")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    first = results.ranked.iloc[0]
    return Drawing(
        figure,
        "ROC",
        f"ROC curves on test; the first, {first['configuration']}, has AUC {first['test_auc']:.4f}.",
        "How many FAKE images are found at how many false alarms; on the right, at few.",
    )


def draw_reliability(results: Results) -> Drawing | None:
    """The share of FAKE among test images of about equal probability, and how many images have that probability."""
    trials = _first_of_each(results, _MOST_RELIABILITIES)
    if not trials:
        return None
    note = (
        f"Test, n = {results.images('test')} images, in 15 bins of probability, with 95 % intervals (Wilson). "
        "Calibrated: Platt's scaling, fitted on validation. Dotted: probabilities that can be taken at their word."
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
