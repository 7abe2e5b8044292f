"""How accuracy and AUC fall as images are spoilt: a pair of panels a corruption, accuracy above AUC."""

import textwrap
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, order
from analysis.detector.robustness_table import SECOND, choices
from analysis.figures.robustness_texts import conditions, name_of, side_of, told_as
from analysis.figures.style import GREY, MARKERS, PAGE_WIDTH, PALE, PALETTE, RC, footer, new_figure, percent_tick
from analysis.results.trials import Results

_COLUMNS = 3
_MOST_COLOURED, _COLOURED_OF_MANY = len(PALETTE), 5
_LEGEND_CHARACTERS = 100
_METRICS = {"accuracy": "Accuracy (%)", "auc": "AUC"}
_CHANCE = 0.5
_MARGIN = 0.02


def has_curves(table: pd.DataFrame) -> bool:
    """Whether there is anything to draw: a run that was stopped early may have scored the clean images only."""
    return any((rows["corruption"] != CLEAN).any() for rows in choices(table)[:1])


def draw(results: Results, table: pd.DataFrame) -> Figure:
    """The figure of the first data set in a robustness table, the record's own if it is there; of the whole test.

    Each line's gid is `TRIAL:CORRUPTION:METRIC`. Of more trials than colours only the best five have one.
    """
    rows = choices(table)[0]
    rows = rows[rows["part"] == "test"]
    looks = _looks(results, rows)
    names = [name for name in CORRUPTIONS if name in set(rows["corruption"])]
    with matplotlib.rc_context(RC):
        figure, grid = _layout(len(names), len(looks))
        for name, panel in zip(names, grid, strict=True):
            for metric, axes in panel.items():
                for trial, look in reversed(looks.items()):
                    _draw_trial(axes, rows[rows["trial"] == trial], trial, name, metric, look, side_of(results))
            _dress(panel, name, rows, side_of(results))
        _set_limits(grid, rows)
        handles = _handles(results, looks)
        figure.legend(handles=handles, loc="outside upper left", ncols=_legend_columns(handles))
        footer(figure, conditions(results, rows), *results.provenance.caveats)
    return figure


def _looks(results: Results, rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Trial → how its lines look, best first."""
    trials = [trial for trial in results.ranked["trial"] if trial in set(rows["trial"])]
    coloured = len(trials) if len(trials) <= _MOST_COLOURED else _COLOURED_OF_MANY
    own = [{"color": PALETTE[place], "marker": MARKERS[place], "linewidth": 1.3} for place in range(coloured)]
    return dict(zip(trials, [*own, *[{"color": PALE, "marker": "", "linewidth": 0.8}] * len(trials)], strict=False))


def _layout(count: int, trials: int) -> tuple[Figure, list[dict[str, Axes]]]:
    """A figure with the axes of each panel by metric."""
    rows = 2 * -(-count // _COLUMNS)
    figure = new_figure(PAGE_WIDTH, 1.2 + 0.1 * min(trials, _MOST_COLOURED) + 1.45 * rows)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    places = [(row, column) for row in range(0, rows, 2) for column in range(_COLUMNS)]
    panels = [dict(zip(_METRICS, (axes[row, column], axes[row + 1, column]), strict=True)) for row, column in places]
    for unused in [one for panel in panels[count:] for one in panel.values()]:
        unused.remove()
    for panel in panels[:count:_COLUMNS]:
        for metric, first in panel.items():
            first.set_ylabel(_METRICS[metric])
    return figure, panels[:count]


def _draw_trial(
    axes: Axes, rows: pd.DataFrame, trial: str, name: str, metric: str, look: dict[str, Any], side: int
) -> None:
    """One line, with its band of 95 % intervals if it is in colour. What is not scored yet is left out."""
    by_setting = rows.set_index(["corruption", "severity"])
    points = [
        (x, by_setting.loc[setting]) for x, setting in enumerate(order(name, side)) if setting in by_setting.index
    ]
    places = [x for x, _ in points]
    values = {end: [point[f"{metric}{end}"] for _, point in points] for end in ("", "_low", "_high")}
    axes.plot(places, values[""], markersize=3.5, gid=f"{trial}:{name}:{metric}", **look)
    if look["color"] != PALE:
        axes.fill_between(places, values["_low"], values["_high"], color=look["color"], alpha=0.18, linewidth=0)


def _dress(panel: dict[str, Axes], name: str, rows: pd.DataFrame, side: int) -> None:
    corruption = CORRUPTIONS[name]
    labels = [told_as(setting) for setting in order(name, side)]
    is_second = rows.loc[rows["corruption"] == name, "note"].str.contains(SECOND).any()
    for axes in panel.values():
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.3, len(labels) - 0.7)
        axes.axhline(_CHANCE, color=GREY, linewidth=0.9, linestyle=":")
        axes.axvline(labels.index(CLEAN), color=GREY, linewidth=0.6)
    panel["accuracy"].set_title(corruption.title, loc="left", fontweight="bold")
    if is_second:
        panel["accuracy"].set_title(SECOND, loc="right", fontsize=7)
    panel["accuracy"].tick_params(labelbottom=False)
    panel["auc"].set_xlabel(corruption.unit.capitalize() if corruption.unit.isascii() else corruption.unit)


def _set_limits(grid: list[dict[str, Axes]], rows: pd.DataFrame) -> None:
    """The same in all panels of a metric."""
    for metric in _METRICS:
        least, most = rows[f"{metric}_low"].min(), rows[f"{metric}_high"].max()
        for panel in grid:
            panel[metric].set_ylim(min(least, _CHANCE) - _MARGIN, min(1, most) + _MARGIN)
            panel[metric].yaxis.set_major_locator(MultipleLocator(0.1))
            panel[metric].tick_params(labelleft=bool(panel[metric].get_ylabel()))
    for panel in grid:
        panel["accuracy"].yaxis.set_major_formatter(FuncFormatter(percent_tick))


def _handles(results: Results, looks: dict[str, dict[str, Any]]) -> list[Line2D]:
    coloured = {trial: look for trial, look in looks.items() if look["color"] != PALE}
    handles = [Line2D([], [], markersize=3.5, label=_label(results, trial), **look) for trial, look in coloured.items()]
    others = len(looks) - len(coloured)
    return handles + [Line2D([], [], color=PALE, linewidth=0.8, label=f"{others} others, worse on validation")] * bool(
        others
    )


def _label(results: Results, trial: str) -> str:
    return textwrap.shorten(name_of(results, trial), _LEGEND_CHARACTERS, placeholder="…")


def _legend_columns(handles: list[Line2D]) -> int:
    longest = max((len(str(handle.get_label())) for handle in handles), default=0) + 6
    return max(1, _LEGEND_CHARACTERS // longest)
