"""ROC curves of the first configurations on test."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

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
    set_log_x,
)
from analysis.results.decisions import roc
from analysis.results.seeds import first_of_each
from analysis.results.trials import Results


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """The curves with their bands, on a linear and on a logarithmic axis of false alarms: detectors work at few."""
    trials = first_of_each(results, FIRST)
    frame = curves(results, trials)
    if not len(frame):
        return None
    columns, reals = many_or_one(width, 2), int((results.scores.parts["test"].labels == 0).sum())
    note = (
        f"ROC on test, FAKE positive, n = {results.images('test')} images, of which {reals:,} are REAL; the best trial "
        f"of each of the first {len(trials)} configurations. {_bands(results)} "
        f"{'Right' if columns > 1 else 'Below'}: the same from one false alarm on. Dotted: chance."
    )
    areas = results.trials.set_index("trial")["test_auc"]
    with new_figure(width, 1.0 + 2.7 * 2 // columns, note, *results.provenance.caveats) as figure:
        plots = figure.subplots(2 // columns, columns, squeeze=False).ravel()
        for axes in plots:
            _draw_curves(axes, frame, trials, areas, np.linspace(1 / reals, 1, 500))
        set_log_x(plots[1])
        plots[1].set_xlim(1 / reals, 1)
        plots[1].xaxis.set_major_formatter(percent_tick)
        add_legend(figure)
    first = results.ranked.iloc[0]
    return Drawing(
        figure,
        "ROC",
        f"ROC curves on test; the first, {first['configuration']}, has AUC {first['test_auc']:.4f}.",
        "How many FAKE images are found at how many false alarms; on the logarithmic axis, at few.",
        frame,
    )


def _bands(results: Results) -> str:
    if clusters := results.scores.clusters("test"):
        return f"No bands: the images are in {clusters:,} clusters, and so not independent."
    return "Bands: 95 % intervals at each rate of false alarms, over images, of these trained networks."


def curves(results: Results, trials: dict[str, str]) -> pd.DataFrame:
    """The points of `roc` of each trial (trial → configuration), with both as columns; empty without both labels.

    Where images are in clusters there are no intervals.
    """
    parts = [
        roc(*results.scores.of(trial, "test")).assign(configuration=name, trial=trial) for trial, name in trials.items()
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return frame.assign(low=np.nan, high=np.nan) if len(frame) and results.scores.clusters("test") else frame


def _draw_curves(
    axes: Axes, frame: pd.DataFrame, trials: dict[str, str], areas: "pd.Series[float]", chance: np.ndarray
) -> None:
    axes.plot(chance, chance, color=GREY, linewidth=0.9, linestyle=":")
    for (trial, name), colour, line in zip(trials.items(), PALETTE, LINES, strict=False):
        rows = frame[frame["trial"] == trial]
        rates = rows["false_alarms"]
        axes.fill_between(rates, rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0, step="post")
        look = {"color": colour, "linestyle": line, "linewidth": 1.3}
        label = f"{name}, AUC {areas[trial]:.3f}"
        axes.step(rates, rows["recall"], where="post", label=label, gid=f"{trial}:roc", **look)
    axes.set(xlabel="REAL images called FAKE (%)", ylabel="FAKE images called FAKE (%)", ylim=(-0.02, 1.02))
    axes.xaxis.set_major_formatter(percent_tick)
    axes.yaxis.set_major_formatter(percent_tick)
