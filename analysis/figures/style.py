"""How every figure looks, alone or in panels, and figures → bytes. No pyplot: two figures share no state."""

import contextlib
import io
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.results.format import unbroken
from analysis.results.processes import side_by_side

#: Okabe & Ito (2008), without the yellow that white paper swallows: told apart by every kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, GREY, PALE = "#222222", "#7a7a7a", "#c8c8c8"

PAGE_WIDTH = 7.2  # inches: two columns of a journal
_DPI = 200
_FOOTER_CHARACTERS_PER_INCH = 18
#: File type of a rendered figure → the metadata to leave out of it.
FORMATS = {"png": ("Software",), "svg": ("Date", "Creator"), "pdf": ("CreationDate", "Creator", "Producer")}

_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "cifake-sweeps",  # the same record gives the same file
}


#: The axes of one panel, by metric.
Panel = dict[str, Axes]


@dataclass(frozen=True)
class Drawing:
    """A figure, its title, the text that stands for it where it cannot be seen, and how to read it."""

    figure: Figure
    title: str
    alt: str
    caption: str

    def _repr_png_(self) -> bytes:
        """The figure, as a notebook shows it."""
        return rendered(self.figure, ("png",))["png"]


@contextlib.contextmanager
def new_figure(width: float, height: float, *footers: str, grid: bool = True) -> Iterator[Figure]:
    """An empty figure, in inches, to draw on within the `with` block; `footers` are the paragraphs under it."""
    with matplotlib.rc_context(_RC | {"axes.grid": grid}):
        figure = Figure(figsize=(width, height))
        characters = int(width * _FOOTER_CHARACTERS_PER_INCH)
        lines = [line for paragraph in footers for line in textwrap.wrap(unbroken(paragraph), characters)]
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7, color=INK)
        yield figure


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


def percent_tick(share: float, _position: float = 0) -> str:
    """The label of a tick at a share, 0–1, on an axis in percent: `90`, or `92.5` where ticks are that close."""
    return f"{100 * share:.4g}"


def ink_on(background: tuple[float, ...]) -> str:
    """White or near-black, whichever is easier to read on a colour (RGB, 0–1), by WCAG's relative luminance."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < 0.2 else INK


def all_rendered(figures: dict[str, Figure]) -> dict[str, dict[str, bytes]]:
    """Name → `rendered`, computed on all cores."""
    return dict(zip(figures, side_by_side([partial(rendered, figure) for figure in figures.values()]), strict=True))


def rendered(figure: Figure, formats: Iterable[str] = tuple(FORMATS)) -> dict[str, bytes]:
    """A figure as `png` at 200 dpi, `svg` and `pdf`, letters as outlines: the same bytes for the same figure.

    The layout, which takes longer than the drawing, is computed for the first of them only.
    """
    files = {}
    for kind in formats:
        buffer = io.BytesIO()
        with matplotlib.rc_context(_RC | {"axes.grid": True}):
            figure.savefig(buffer, format=kind, dpi=_DPI, metadata=dict.fromkeys(FORMATS[kind]))
        figure.set_layout_engine("none")
        files[kind] = buffer.getvalue()
    return files


def hide_frame(axes: Axes) -> None:
    """Leave out the frame and the ticks of axes whose cells speak for themselves."""
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def label_rows(axes: Axes, names: Sequence[str], label: str) -> None:
    """Name the rows from the top, and write the shares along the other axis in percent."""
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6), xlabel=label)
    axes.xaxis.set_major_formatter(percent_tick)
    axes.grid(visible=False, axis="y")
