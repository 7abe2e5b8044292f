"""How a search progressed: each trial's accuracy and the best so far, by trials and by image passes."""

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.search.style import ACCURACY, LOOKS, MANY, footer, legend_handles, looks
from analysis.figures.style import INK, PAGE_WIDTH, Drawing, add_legend, many_or_one, new_figure, percent_tick
from analysis.results.format import percent
from analysis.results.searches import searched
from analysis.results.trials import Results


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """Every trial's validation accuracy and the best so far, against trials and against image passes."""
    frame = searched(results)
    if not len(frame):
        return None
    columns = many_or_one(width, 2)
    height = 0.8 + 2.2 * 2 // columns
    with new_figure(width, height, footer(results, frame), *results.provenance.caveats) as figure:
        left, right = figure.subplots(2 // columns, columns, sharey=True)
        places = {left: frame["number"].astype(float), right: frame["image_passes"].astype(float) / 1e6}
        for axes, place in places.items():
            for look, rows in frame.groupby(looks(frame)):
                style = {"linestyle": "", "markersize": 4 if len(frame) < MANY else 1.5, **LOOKS[str(look)]}
                axes.plot(place[rows.index], rows["validation_accuracy"], **style)
            axes.step(place, frame["best_so_far"], where="post", color=INK, linewidth=1.2)
        left.set(xlabel="Trial", ylabel=ACCURACY)
        right.set(
            xlabel="Image passes of all trials so far (millions)", ylabel=ACCURACY * (columns == 1), xlim=(0, None)
        )
        left.yaxis.set_major_formatter(percent_tick)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [*legend_handles(frame), Line2D([], [], color=INK, label="best so far")]
        add_legend(figure, handles)
    best = percent(frame["best_so_far"].iloc[-1])
    return Drawing(
        figure,
        "How the search progressed",
        f"Validation accuracy of {len(frame):,} trials in their order; the best reaches {best} %.",
        "Each trial's validation accuracy, and the best so far, against trials and against the training spent.",
        frame,
    )
