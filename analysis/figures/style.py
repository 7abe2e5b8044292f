"""How every figure looks, alone or in panels, and figures → bytes. No pyplot: two figures share no state."""

import contextlib
import io
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from analysis.results.format import unbroken
from analysis.results.processes import side_by_side

#: Okabe & Ito (2008), without the yellow that white paper swallows: told apart by every kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)))  # of the first configurations, for grey print
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, GREY, PALE = "#222222", "#7a7a7a", "#c8c8c8"
#: How many configurations stand out, in the first colours of the palette; the same ones in all figures.
FIRST = 3

#: The widths of a journal, in inches: of two columns, and of one, which a phone shows too.
PAGE_WIDTH, COLUMN_WIDTH = 7.2, 3.5
_DPI = 200
_MOST_POINTS = 10_000  # that the lines of a plot have together as vectors
_FOOTER_CHARACTERS_PER_INCH, _LEGEND_CHARACTERS_PER_INCH = 18, 14
_NAME_CHARACTERS_PER_INCH = 6
_LEGEND_ROW, _FOOTER_ROW, _LEAST_HEIGHT = 0.17, 0.12, 1.3  # inches
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
    "text.parse_math": False,  # for a name may hold dollar signs
    "svg.hashsalt": "cifake-sweeps",  # the same record gives the same file
}


@dataclass(frozen=True)
class Drawing:
    """A figure, its title, the text that stands for it where it cannot be seen, how to read it, and what it shows."""

    figure: Figure
    title: str
    alt: str
    caption: str
    data: pd.DataFrame

    def _repr_png_(self) -> bytes:
        """The figure, as a notebook shows it."""
        return rendered(self.figure, ("png",))["png"]


@contextlib.contextmanager
def new_figure(width: float, height: float, *footers: str, grid: bool = True) -> Iterator[Figure]:
    """An empty figure to draw on within the `with` block; `footers` are the paragraphs under it.

    Width and height are in inches; the height grows with the footers.
    """
    with matplotlib.rc_context(_RC | {"axes.grid": grid}):
        characters = int(width * _FOOTER_CHARACTERS_PER_INCH)
        lines = [line for paragraph in footers for line in textwrap.wrap(unbroken(paragraph), characters)]
        figure = Figure(figsize=(width, max(height, _LEAST_HEIGHT + _FOOTER_ROW * len(lines))))
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7, color=INK)
        yield figure


def many_or_one(width: float, many: int) -> int:
    """How many plots stand side by side in a figure of this width: `many`, or one in a journal's column."""
    return many if width > COLUMN_WIDTH else 1


def add_legend(figure: Figure, handles: Sequence[Any] = ()) -> None:
    """Put the legend above the plots, as many entries in a row as fit: `handles`, or those of the first plot."""
    handles = handles or figure.axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside upper left", ncols=_legend_columns(handles, figure.get_figwidth()))


def legend_height(handles: Sequence[Any], width: float) -> float:
    """The height of the legend of `handles`, in inches, on a figure of that width."""
    return _LEGEND_ROW * math.ceil(len(handles) / _legend_columns(handles, width))


def _legend_columns(handles: Sequence[Any], width: float) -> int:
    longest = max((len(str(handle.get_label())) for handle in handles), default=0) + 6
    return max(1, min(len(handles), int(width * _LEGEND_CHARACTERS_PER_INCH) // longest))


def without_outliers(values: np.ndarray) -> tuple[float, float]:
    """The ends of a scale for these values: one far from all others, as of a run that failed, does not stretch it."""
    finite = values[np.isfinite(values)]
    first, third = np.quantile(finite, (0.25, 0.75))
    reach = 3 * (third - first)
    return float(max(finite.min(), first - reach)), float(min(finite.max(), third + reach))


def set_log_x(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with labels in plain text, which matplotlib's own are not."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(LogFormatter())
    axes.xaxis.set_minor_formatter(LogFormatter())


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
    _rasterize_crowds(figure)
    with matplotlib.rc_context(_RC | {"axes.grid": True, "figure.constrained_layout.use": False}):
        for kind in formats:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=_DPI, metadata=dict.fromkeys(FORMATS[kind]))
            figure.set_layout_engine(None)  # rather than "none", which draws twice
            files[kind] = buffer.getvalue()
    return files


def _rasterize_crowds(figure: Figure) -> None:
    """Have vector formats hold thousands of pale lines, or of points, as pixels: else they are megabytes, and slow."""
    for axes in figure.axes:
        points = [np.size(line.get_xdata()) for line in axes.lines]
        if len(points) + sum(points) > _MOST_POINTS:
            for line, count in zip(axes.lines, points, strict=True):
                line.set_rasterized(line.get_color() == PALE or count > _MOST_POINTS // 10)


def hide_frame(axes: Axes) -> None:
    """Leave out the frame and the ticks of axes whose cells speak for themselves."""
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def row_names(names: Iterable[str], width: float) -> list[str]:
    """The names of rows, broken into lines that leave two thirds of the width to what the rows show."""
    return ["\n".join(textwrap.wrap(name, int(width * _NAME_CHARACTERS_PER_INCH))) for name in names]


def rows_height(names: Sequence[str]) -> float:
    """The height of rows with these names, in inches."""
    return (0.08 + 0.14 * max(name.count("\n") + 1 for name in names)) * len(names)


def label_rows(axes: Axes, names: Sequence[str], label: str) -> None:
    """Name the rows from the top, and write the shares along the other axis in percent."""
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6), xlabel=label)
    axes.xaxis.set_major_formatter(percent_tick)
    axes.grid(visible=False, axis="y")


def cut_outliers(axes: Axes, rows: np.ndarray, *shown: float) -> None:
    """End the axis of rows so that one far from all others does not squeeze them: its numbers are written at the end.

    `rows` (n, 3) are each one's value and the ends of its interval; the axis holds the other rows and what is `shown`.
    """
    values = rows[:, 0]
    low, high = without_outliers(values)
    is_far = (values < low) | (values > high)
    kept = np.array([*rows[~is_far].ravel(), *shown])
    if not is_far.any() or np.ptp(rows) < 2 * np.ptp(kept):  # it would not be squeezed much
        return
    margin = 0.05 * (kept.max() - kept.min())
    room = 6 * margin  # for what is written
    axes.set_xlim(kept.min() - margin - room * (values < low).any(), kept.max() + margin + room * (values > high).any())
    write = axes.xaxis.get_major_formatter()
    for place in np.flatnonzero(is_far):
        value, *ends = (write(number, 0) for number in rows[place])
        words, is_left = f"{value} ({' to '.join(ends)})", values[place] < low
        axes.annotate(
            f"◂ {words}" if is_left else f"{words} ▸",
            (0.01 if is_left else 0.99, place),
            xycoords=axes.get_yaxis_transform(),
            ha="left" if is_left else "right",
            va="center",
            fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
