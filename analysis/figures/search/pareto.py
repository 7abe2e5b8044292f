"""The Pareto front of a search for two objectives."""

from analysis.figures.search.style import ACCURACY, footer
from analysis.figures.style import PAGE_WIDTH, PALE, PALETTE, Drawing, add_legend, new_figure, percent_tick, set_log_x
from analysis.results.searches import front, searched
from analysis.results.trials import Results

#: The second objective → its label, and how many of its unit are one of the trials' (operations, seconds).
_OBJECTIVES = {"flops": ("Operations an image (MFLOPs)", 1e-6), "seconds_per_image": ("Time an image (µs)", 1e6)}


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """Validation accuracy against the second objective of a search, with the Pareto front."""
    best = front(results)
    if not len(best):
        return None
    against = str(results.provenance.search["against"])
    frame, ordered = searched(results).dropna(subset=["validation_accuracy", against]), best.sort_values(against)
    label, scale = _OBJECTIVES[against]
    xs, ys = ordered[against] * scale, ordered["validation_accuracy"]
    with new_figure(width, 3.6, footer(results, frame), *results.provenance.caveats) as figure:
        axes = figure.subplots()
        axes.plot(frame[against] * scale, frame["validation_accuracy"], "o", color=PALE, markersize=4, label="trial")
        axes.step(xs, ys, where="post", color=PALETTE[0], marker="o", markersize=4, label="Pareto front")
        for *place, name in zip(xs, ys, ordered["configuration"], strict=True):
            axes.annotate(name, tuple(place), (3, -8), textcoords="offset points", fontsize=6)
        set_log_x(axes)
        axes.set(xlabel=label, ylabel=ACCURACY)
        axes.yaxis.set_major_formatter(percent_tick)
        add_legend(figure)
    names = ", ".join(best["configuration"])
    return Drawing(
        figure,
        "Pareto front",
        f"Validation accuracy against {against}; on the front: {names}.",
        f"No trial is better in both than one on the front: {names}.",
        frame.assign(is_on_front=frame["configuration"].isin(best["configuration"])),
    )
