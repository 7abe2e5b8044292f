"""Figures of many panels: two metrics below each other in each, and legends as wide as their labels allow."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

#: The axes of one panel, by metric.
Panel = dict[str, Axes]


def add_panels(figure: Figure, count: int, columns: int, labels: Mapping[str, str]) -> list[Panel]:
    """Add `count` panels to a figure, `columns` in a row. `labels` is metric → label of its axis, of both metrics."""
    rows = 2 * math.ceil(count / columns)
    axes = figure.subplots(rows, columns, squeeze=False)
    places = [(row, column) for row in range(0, rows, 2) for column in range(columns)]
    panels = [dict(zip(labels, axes[row : row + 2, column], strict=True)) for row, column in places]
    for unused in [axes for panel in panels[count:] for axes in panel.values()]:
        unused.remove()
    for panel in panels[:count:columns]:
        for metric, label in labels.items():
            panel[metric].set_ylabel(label)
    return panels[:count]


def legend_columns(handles: Sequence[Line2D], characters: int) -> int:
    """How many entries of a legend fit into one row of that many characters."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=0) + 6
    return max(1, min(len(handles), characters // longest))
