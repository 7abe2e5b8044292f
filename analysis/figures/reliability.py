"""Whether the probabilities of the first configurations can be believed: reliability on test."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import expit, logit

from analysis.figures.style import (
    FIRST,
    GREY,
    LINES,
    PAGE_WIDTH,
    PALETTE,
    Drawing,
    add_legend,
    many_or_one,
    new_figure,
    percent_tick,
)
from analysis.results.decisions import calibrated, calibration, reliability
from analysis.results.seeds import first_of_each
from analysis.results.trials import Results
from trainables.training.metrics import judge
from trainables.training.weighted_metrics import BINS, sortable

_LOOKS = {"as it is": (PALETTE[0], "o", LINES[0]), "calibrated": (PALETTE[1], "s", LINES[1])}


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """The share of FAKE among test images of about equal probability, and how many images have that probability."""
    trials = first_of_each(results, many_or_one(width, FIRST))
    if not trials:
        return None
    frame, clusters = curves(results, trials), results.scores.clusters("test")
    count = f"first {len(trials)} configurations" if len(trials) > 1 else "first configuration"
    note = (
        f"The best trial of the {count}. Test, n = {results.images('test')} images, in {BINS} bins of as many images "
        f"each, {_bands(clusters)}. ECE: expected calibration error, before and after calibration. Calibrated: a "
        "slope and an offset, fitted on validation. Dotted: probabilities that can be taken at their word. Below: "
        "images by probability, as it is."
    )
    with new_figure(width, 3.9, note, *results.provenance.caveats) as figure:
        grid = figure.subplots(2, len(trials), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
        for (above, below), (trial, name) in zip(grid.T, trials.items(), strict=True):
            _draw_bins(above, frame[frame["trial"] == trial])
            below.hist(
                expit(sortable(results.scores.of(trial, "test")[1])), np.linspace(0, 1, 21), color=PALETTE[0], alpha=0.7
            )
            below.set_xlabel("Probability of FAKE (%)")
            errors = frame[frame["trial"] == trial].groupby("probabilities")["error"].first()
            spelled = " → ".join(f"{errors[kind]:.3f}" for kind in _LOOKS)
            above.set_title(f"{name}\nECE {spelled}", loc="left")
            for axis in (above.xaxis, above.yaxis):
                axis.set_major_formatter(percent_tick)
        grid[0, 0].set_ylabel("FAKE among them (%)")
        grid[1, 0].set_ylabel("Images")
        add_legend(figure)
    return Drawing(
        figure,
        "Reliability of the probabilities",
        "Share of FAKE against predicted probability of the first configurations, as it is and calibrated.",
        "Of images with about the same probability, how many are FAKE; below, how many images have it.",
        frame,
    )


def _bands(clusters: int) -> str:
    return f"without bands: they are in {clusters:,} clusters" if clusters else "with 95 % intervals (Wilson)"


def curves(results: Results, trials: dict[str, str]) -> pd.DataFrame:
    """The bins of `reliability` of each trial (trial → configuration), as it is and calibrated, on test.

    Where images are in clusters there are no intervals.
    """
    parts = []
    for trial, name in trials.items():
        labels, logits = results.scores.of(trial, "test")
        fitted = calibration(*results.scores.of(trial, "validation"))
        probabilities = {"as it is": expit(sortable(logits)), "calibrated": calibrated(sortable(logits), *fitted)}
        parts += [
            reliability(labels, values).assign(
                configuration=name, trial=trial, probabilities=kind, error=judge(labels, logit(values))["ece"]
            )
            for kind, values in probabilities.items()
        ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(low=np.nan, high=np.nan) if results.scores.clusters("test") else frame


def _draw_bins(axes: Axes, frame: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=":")
    for kind, (colour, marker, line) in _LOOKS.items():
        rows = frame[frame["probabilities"] == kind]
        axes.fill_between(rows["probability"], rows["low"], rows["high"], color=colour, alpha=0.18, linewidth=0)
        look = {"color": colour, "marker": marker, "linestyle": line, "markersize": 3.2, "linewidth": 1}
        axes.plot(rows["probability"], rows["share"], label=kind, **look)
