"""The curves of every trial in one figure: accuracy and loss against epoch, related networks side by side."""

import math
import textwrap
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.figures.panels import OTHERS, curves
from analysis.figures.style import GREY, INK, MARKERS, PAGE_WIDTH, PALE, PALETTE, RC, footer, new_figure, percent_tick
from analysis.results.trials import Results, has_seeds

_MOST_COLUMNS = 4
_MOST_EPOCHS_WITH_MARKERS = 20
_LEGEND_CHARACTERS, _LEGEND_ROW = 66, 0.17  # of a row, and its height in inches
_LABELS = {"accuracy": "Accuracy (%)", "loss": "Loss (nats)"}
_CHANCE = {"accuracy": 0.5, "loss": math.log(2)}
_TRAIN: dict[str, Any] = {"linestyle": (0, (4, 2)), "alpha": 0.6, "markerfacecolor": "white"}

#: The axes of one panel, by metric.
Panel = dict[str, Axes]


def draw(results: Results) -> Figure:
    """The figure of `curves(results)`. Each line's gid is `TRIAL:COLUMN`, and its data are that column of the epochs."""
    frame = curves(results)
    names = sorted(frame["panel"].unique())
    with matplotlib.rc_context(RC):
        series, styles = _series_handles(frame), _style_handles()
        columns = _legend_columns(series)
        figure, grid = _layout(len(names), legend_rows=max(math.ceil(len(series) / columns), 1 if columns > 1 else 3))
        for panel, name in zip(grid, names, strict=True):
            _draw_panel(panel, frame[frame["panel"] == name], str(name), thin=has_seeds(results.trials))
        _set_limits(grid, frame)
        figure.legend(handles=series, loc="outside upper left", ncols=columns)
        figure.legend(handles=styles, loc="outside upper right", ncols=len(styles) if columns == len(series) else 1)
        footer(figure, _note(results, frame), *results.provenance.caveats)
    return figure


def _layout(count: int, legend_rows: int) -> tuple[Figure, list[Panel]]:
    """A figure with the axes of each panel, accuracy above loss, in up to two rows of panels."""
    columns = count if count <= _MOST_COLUMNS else math.ceil(count / 2)
    rows = 2 * math.ceil(count / columns)
    figure = new_figure(PAGE_WIDTH, 0.8 + _LEGEND_ROW * legend_rows + 1.85 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    places = [(row, column) for row in range(0, rows, 2) for column in range(columns)]
    panels = [{"accuracy": axes[row, column], "loss": axes[row + 1, column]} for row, column in places]
    for unused in [one for panel in panels[count:] for one in panel.values()]:
        unused.remove()
    for panel in panels[:count:columns]:
        for metric, first in panel.items():
            first.set_ylabel(_LABELS[metric])
    return figure, panels[:count]


def _draw_panel(panel: Panel, frame: pd.DataFrame, name: str, thin: bool) -> None:
    for metric, axes in panel.items():
        axes.axhline(_CHANCE[metric], color=GREY, linewidth=0.9, linestyle=":")
        for _, trial in frame.groupby("trial", sort=False):
            _draw_trial(axes, trial, metric, thin)
    panel["accuracy"].set_title(name, loc="left", fontweight="bold")
    panel["accuracy"].set_title(_flags(frame), loc="right", fontsize=7, color=INK)


def _draw_trial(axes: Axes, trial: pd.DataFrame, metric: str, thin: bool) -> None:
    """One trial: validation solid; training dashed, but not of grey trials, which would drown the others."""
    place, identity = int(trial["place"].iloc[0]), trial["trial"].iloc[0]
    look = _look(place) | {"linewidth": 0.8 if thin or place < 0 else 1.4}
    if len(trial) > 1 and (thin or len(trial) > _MOST_EPOCHS_WITH_MARKERS):
        look["marker"] = ""
    splits = {"train": look | _TRAIN, "validation": look} if place >= 0 else {"validation": look}
    for split, style in splits.items():
        column = f"{split}_{metric}"
        axes.plot(trial["epoch"], trial[column], gid=f"{identity}:{column}", **style)


def _look(place: int) -> dict[str, Any]:
    """Colour and marker of a series; a place of -1 is grey."""
    if place < 0:
        return {"color": PALE, "marker": "."}
    return {"color": PALETTE[place], "marker": MARKERS[place], "markersize": 3.5}


def _flags(frame: pd.DataFrame) -> str:
    """Which of a panel's trials are no results: `f4 collapsed`, or `3 collapsed, 1 failed` where they are many."""
    flagged = frame[frame["rank"].isna()].drop_duplicates("trial")
    if len(flagged) == 1 and flagged["series"].iloc[0] != OTHERS and frame["panel"].iloc[0]:
        return f"{flagged['series'].iloc[0]} {flagged['status'].iloc[0]}"
    return ", ".join(f"{count} {status}" for status, count in flagged["status"].value_counts().items())


def _set_limits(grid: list[Panel], frame: pd.DataFrame) -> None:
    """The same axes in all panels. Flagged trials whose loss exploded are cut off, or nothing else could be seen."""
    shown = frame[frame["rank"].notna()] if frame["rank"].notna().any() else frame
    limits = {"accuracy": _range(frame, "accuracy"), "loss": _range(shown, "loss")}
    most = int(frame["epoch"].max())
    for panel in grid:
        for metric, axes in panel.items():
            axes.set(ylim=limits[metric], xlim=(1 - 0.05 * most, 1.05 * most))
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
            axes.tick_params(labelleft=bool(axes.get_ylabel()), labelbottom=metric == "loss")
        panel["accuracy"].yaxis.set_major_formatter(FuncFormatter(percent_tick))
        panel["loss"].set_xlabel("Epoch")


def _range(frame: pd.DataFrame, metric: str) -> tuple[float, float]:
    """The limits of an axis: all that is drawn of `frame`, and chance, with a margin."""
    values = [_CHANCE[metric], *frame[f"validation_{metric}"], *frame.loc[frame["place"] >= 0, f"train_{metric}"]]
    finite = [value for value in values if math.isfinite(value)]
    margin = 0.05 * (max(finite) - min(finite)) or 0.05
    return min(finite) - margin, max(finite) + margin


def _series_handles(frame: pd.DataFrame) -> list[Line2D]:
    """A line for each series, in the order of their colours, grey last."""
    series = frame.drop_duplicates("series").sort_values("place", key=lambda place: place.replace(-1, len(PALETTE)))
    pairs = zip(series["series"], series["place"], strict=True)
    return [
        Line2D([], [], label=textwrap.shorten(name, _LEGEND_CHARACTERS, placeholder="…"), **_look(place))
        for name, place in pairs
    ]


def _style_handles() -> list[Line2D]:
    styles: dict[str, dict[str, Any]] = {"validation": {}, "training": _TRAIN, "chance": {"linestyle": ":"}}
    return [
        Line2D([], [], color=GREY if name == "chance" else INK, label=name, **look) for name, look in styles.items()
    ]


def _legend_columns(handles: list[Line2D]) -> int:
    """How many of the entries stand in one row beside the styles."""
    longest = max(len(str(handle.get_label())) for handle in handles) + 6
    return max(1, min(len(handles), _LEGEND_CHARACTERS // longest))


def _note(results: Results, frame: pd.DataFrame) -> str:
    """What must be known to read the curves, with n."""
    count = frame["trial"].nunique()
    return (
        f"{count} {'trial' if count == 1 else 'trials'}. Validation: n = {results.images('validation')} images. "
        f"Training: n = {results.images('train')}, as a mean over the epoch while the weights change."
    )
