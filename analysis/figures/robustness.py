"""How accuracy and AUC fall as images are corrupted: a panel a corruption, accuracy above AUC."""

import math
import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, settings_in_order
from analysis.detector.robustness_table import SECOND, data_sets
from analysis.figures.robustness_summary import CHANCE_AUC, conditions, image_side, paragraphs
from analysis.figures.style import (
    GREY,
    MARKERS,
    PAGE_WIDTH,
    PALE,
    PALETTE,
    Drawing,
    add_legend,
    legend_height,
    many_or_one,
    new_figure,
    percent_tick,
)
from analysis.results.seeds import trial_name
from analysis.results.trials import Results

_COLOURED_OF_MANY = 5
_NAME_CHARACTERS = 60
_METRICS = {"accuracy": "Accuracy (%)", "auc": "AUC"}
_MARGIN = 0.02

#: The axes of one panel, by metric.
Panel = dict[str, Axes]


def draw(results: Results, table: pd.DataFrame, width: float = PAGE_WIDTH) -> Drawing | None:
    """The first data set in a robustness table, the record's own if it is there; on the whole test.

    Each line's gid is `TRIAL:CORRUPTION:METRIC`. Of more trials than colours only the best five have one. There is no
    figure of a run that ended before it scored a corruption.
    """
    words = paragraphs(results, table)
    rows = next((rows[rows["part"] == "test"] for rows in data_sets(table)), table)
    names = [name for name in CORRUPTIONS if name in set(rows["corruption"])]
    if not words or not names:
        return None
    looks = _looks(results, rows)
    columns = many_or_one(width, 2) + 1  # on a column of a journal, two: six panels above each other are too many
    handles = [Line2D([], [], markersize=3.5, **look) for look in looks.values() if "label" in look]
    if others := len(looks) - len(handles):
        handles.append(Line2D([], [], color=PALE, linewidth=0.8, label=f"{others} others, worse on validation"))
    height = 1.2 + legend_height(handles, width) + 1.45 * 2 * -(-len(names) // columns)
    with new_figure(width, height, conditions(rows), *results.provenance.caveats) as figure:
        grid = _add_panels(figure, len(names), columns)
        for name, panel in zip(names, grid, strict=True):
            _draw_panel(panel, name, rows, looks, image_side(results))
        _set_limits(grid, rows)
        add_legend(figure, handles)
    alt = f"Accuracy and AUC against the degree of each corruption. {words[0]}"
    return Drawing(figure, "Robustness", alt, " ".join(words), rows)


def _add_panels(figure: Figure, count: int, columns: int) -> list[Panel]:
    """Add `count` panels to a figure, `columns` in a row."""
    rows = 2 * math.ceil(count / columns)
    axes = figure.subplots(rows, columns, squeeze=False)
    places = [(row, column) for row in range(0, rows, 2) for column in range(columns)]
    panels = [dict(zip(_METRICS, axes[row : row + 2, column], strict=True)) for row, column in places]
    for unused in [axes for panel in panels[count:] for axes in panel.values()]:
        unused.remove()
    for panel in panels[:count:columns]:
        for metric, label in _METRICS.items():
            panel[metric].set_ylabel(label)
    return panels[:count]


def _looks(results: Results, rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Trial → how its lines look, best first; those in colour have a label."""
    trials = results.ranked[results.ranked["trial"].isin(rows["trial"])]
    coloured = trials if len(trials) <= len(PALETTE) else trials.head(_COLOURED_OF_MANY)
    looks: dict[str, dict[str, Any]] = {
        trial: {"color": PALE, "marker": "", "linewidth": 0.8} for trial in trials["trial"]
    }
    for colour, marker, (_, row) in zip(PALETTE, MARKERS, coloured.iterrows(), strict=False):
        looks[row["trial"]] = {
            "color": colour,
            "marker": marker,
            "linewidth": 1.3,
            "label": textwrap.shorten(trial_name(row, results), _NAME_CHARACTERS, placeholder="…"),
        }
    return looks


def _draw_panel(panel: Panel, name: str, rows: pd.DataFrame, looks: dict[str, dict[str, Any]], side: int) -> None:
    corruption, drawn = CORRUPTIONS[name], settings_in_order(name, side)
    labels = [CLEAN if setting[0] == CLEAN else f"{setting[1]:g}" for setting in drawn]
    for metric, axes in panel.items():
        for trial, look in reversed(looks.items()):
            by_setting = rows[rows["trial"] == trial].set_index(["corruption", "severity"])
            places = [place for place, setting in enumerate(drawn) if setting in by_setting.index]
            points = by_setting.loc[[drawn[place] for place in places]]
            axes.plot(places, points[metric], markersize=3.5, gid=f"{trial}:{name}:{metric}", **look)
            if "label" in look:  # the band of 95 % intervals of a trial in colour
                band = points[f"{metric}_low"], points[f"{metric}_high"]
                axes.fill_between(places, *band, color=look["color"], alpha=0.3, linewidth=0)
        axes.set(xticks=range(len(labels)), xticklabels=labels, xlim=(-0.3, len(labels) - 0.7))
        axes.tick_params(labelsize=7)
        axes.axhline(_chance(rows, metric), color=GREY, linewidth=0.9, linestyle=":")
        axes.axvline(labels.index(CLEAN), color=GREY, linewidth=0.6)
    panel["accuracy"].set_title(corruption.title, loc="left", fontweight="bold")
    if rows.loc[rows["corruption"] == name, "note"].str.contains(SECOND).any():
        panel["accuracy"].set_title(SECOND, loc="right", fontsize=7)
    panel["accuracy"].tick_params(labelbottom=False)
    panel["accuracy"].yaxis.set_major_formatter(percent_tick)
    panel["auc"].set_xlabel(corruption.unit.capitalize() if corruption.unit.isascii() else corruption.unit)


def _chance(rows: pd.DataFrame, metric: str) -> float:
    """What the best constant answer reaches; NaN where the table is of an earlier version."""
    return CHANCE_AUC if metric == "auc" else float(rows["chance"].max())


def _set_limits(grid: list[Panel], rows: pd.DataFrame) -> None:
    """Give all panels of a metric the same limits."""
    for metric in _METRICS:
        # Where images are not independent, a value of 1 has no interval.
        least, most = rows[[metric, f"{metric}_low"]].min(axis=None), rows[[metric, f"{metric}_high"]].max(axis=None)
        for panel in grid:
            panel[metric].set_ylim(np.nanmin([least, _chance(rows, metric)]) - _MARGIN, min(1, most) + _MARGIN)
            panel[metric].yaxis.set_major_locator(MultipleLocator(0.1))
            panel[metric].tick_params(labelleft=bool(panel[metric].get_ylabel()))
