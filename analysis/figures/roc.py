"""ROC curves of the first configurations on test."""

import numpy as np

from analysis.figures.style import GREY, PAGE_WIDTH, PALETTE, Drawing, new_figure, percent_tick
from analysis.results.decisions import roc
from analysis.results.seeds import first_of_each
from analysis.results.trials import Results

_MOST_CURVES = 6
_LEAST_RATE = 1e-3


def draw(results: Results) -> Drawing | None:
    """The curves on a linear and on a logarithmic axis of the false positive rate: detectors work at the left end."""
    trials = first_of_each(results, _MOST_CURVES)
    if not trials:
        return None
    curves = {trial: roc(*results.scores.of(trial, "test")) for trial in trials}
    note = (
        f"ROC on test, FAKE positive, n = {results.images('test')} images; the best trial of each of the first "
        f"{len(trials)} configurations. Right: the same, with the rate of false alarms on a logarithmic axis. Dotted: "
        "chance."
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
