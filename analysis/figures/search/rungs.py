"""How far each trial of a search was trained, and at which rungs trials were stopped."""

from matplotlib.ticker import MaxNLocator

from analysis.figures.search.style import LOOKS, footer, legend_handles, looks
from analysis.figures.style import GREY, PAGE_WIDTH, Drawing, add_legend, new_figure
from analysis.results.searches import searched
from analysis.results.trials import Results


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """How far each trial got: a line to the epoch after which it ended."""
    frame, search = searched(results), results.provenance.search
    if not len(frame):
        return None
    most = max(1, int(search.get("epochs", 1)), int(frame["epochs_done"].max()))
    rungs = [3**power for power in range(10) if search.get("stopping") in ("asha", "hyperband") and 3**power < most]
    reading = f"Dotted: rungs, at which trials are compared. {footer(results, frame)}"
    with new_figure(width, min(9.0, 1.4 + 0.09 * len(frame)), reading, *results.provenance.caveats) as figure:
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
        add_legend(figure, legend_handles(frame))
    stopped = f"{(frame['status'] == 'stopped').sum()} of {len(frame)} were stopped early."
    return Drawing(
        figure,
        "Which trials were stopped when",
        f"A line a trial to the epoch after which it ended; {stopped}",
        f"How far each trial got; {stopped}",
        frame,
    )
