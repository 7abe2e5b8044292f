"""Which trials of a search were stopped, and when."""

from matplotlib.ticker import MaxNLocator

from analysis.figures.search.status import LOOKS, legend_handles, looks, note
from analysis.figures.style import GREY, PAGE_WIDTH, Drawing, new_figure
from analysis.results.searches import searched
from analysis.results.trials import Results


def draw(results: Results) -> Drawing | None:
    """How far each trial got: a line to the epoch after which it ended."""
    frame = searched(results)
    if not len(frame):
        return None
    search, reading = results.provenance.search, "Dotted: rungs, at which trials are compared."
    most = max(1, int(search.get("epochs", 1)), int(frame["epochs_done"].max()))
    footers = [f"{reading} {note(results, frame)}", *results.provenance.caveats]
    with new_figure(PAGE_WIDTH, min(9.0, 1.4 + 0.09 * len(frame)), *footers) as figure:
        axes = figure.subplots()
        for rung in range(10) if search.get("stopping") in ("asha", "hyperband") else ():
            if 3**rung < most:
                axes.axvline(3**rung, color=GREY, linewidth=0.9, linestyle=":")
        for look, rows in frame.groupby(looks(frame)):
            style = LOOKS[str(look)]
            numbers, ends = rows["number"].astype(float), rows["epochs_done"].astype(float)
            axes.hlines(numbers, 0, ends, color=style["color"], linewidth=1)
            axes.plot(ends, numbers, linestyle="", markersize=4, **style)
        first, last = frame["number"].min(), frame["number"].max()
        axes.set(xlabel="Epochs", ylabel="Trial", xlim=(0, 1.03 * most), ylim=(last + 0.7, first - 0.7))
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
