"""How every figure looks, and figures → bytes. No pyplot: nothing here is shared between two figures."""

import io
import textwrap
from collections.abc import Iterable
from functools import partial

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis.results.format import unbroken
from analysis.results.parallel import side_by_side

#: Okabe & Ito (2008), without the yellow that white paper swallows: told apart by every kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, GREY, PALE = "#222222", "#7a7a7a", "#c8c8c8"

PAGE_WIDTH = 7.2  # inches: two columns of a journal
_DPI = 200
_FOOTER_CHARACTERS_PER_INCH = 18
#: The kinds of file that a figure is made into, and the metadata that are left out of each.
_KINDS = {"png": ("Software",), "svg": ("Date", "Creator"), "pdf": ("CreationDate", "Creator", "Producer")}

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "cifake-sweeps",  # the same record gives the same file
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that Agg renders. Make it, and draw on it, within `matplotlib.rc_context(RC)`."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def footer(figure: Figure, *paragraphs: str) -> None:
    """Write paragraphs under a figure, wrapped to its width."""
    width = int(figure.get_figwidth() * _FOOTER_CHARACTERS_PER_INCH)
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(unbroken(paragraph), width)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7, color=INK)


def percent_tick(share: float, _position: int = 0) -> str:
    """The label of a tick at a share, 0–1, on an axis in percent: `90`, or `92.5` where ticks are that close."""
    return f"{100 * share:.4g}"


def ink_on(background: tuple[float, ...]) -> str:
    """White or near-black, whichever is read more easily on a colour (RGB, 0–1), by WCAG's relative luminance."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < 0.2 else INK


def svg(figure: Figure) -> bytes:
    """A figure as SVG alone."""
    return rendered(figure, ("svg",))["svg"]


def all_rendered(figures: dict[str, Figure]) -> dict[str, dict[str, bytes]]:
    """Name → `rendered`, on all cores."""
    return dict(zip(figures, side_by_side([partial(rendered, figure) for figure in figures.values()]), strict=True))


def rendered(figure: Figure, kinds: Iterable[str] = tuple(_KINDS)) -> dict[str, bytes]:
    """A figure as `png` at 200 dpi, `svg` and `pdf`, letters as outlines: the same bytes for the same figure.

    The layout, which takes longer than the drawing, is worked out for the first of them only.
    """
    found = {}
    for kind in kinds:
        buffer = io.BytesIO()
        with matplotlib.rc_context(RC):
            figure.savefig(buffer, format=kind, dpi=_DPI, metadata=dict.fromkeys(_KINDS[kind]))
        figure.set_layout_engine("none")
        found[kind] = buffer.getvalue()
    return found
