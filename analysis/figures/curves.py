"""The curves of every trial in one figure: accuracy and loss against epoch, related networks side by side.

One rule says which curve goes where, for 1 trial or 50: the name of its network decides the panel and the series.
"""

import math
import textwrap
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import (
    GREY,
    INK,
    MARKERS,
    PAGE_WIDTH,
    PALE,
    PALETTE,
    Drawing,
    Panel,
    add_panels,
    legend_columns,
    new_figure,
    percent_tick,
)
from analysis.results.format import percent
from analysis.results.seeds import has_seeds
from analysis.results.trials import Results
from trainables.record import replicate

OTHERS = "other trials"
_MOST_PANELS, _MOST_IN_A_ROW = 8, 4
_COLOURED_TRIALS = 5
_MOST_EPOCHS_WITH_MARKERS = 20
_LEGEND_CHARACTERS, _LEGEND_ROW = 66, 0.17  # of a row, and its height in inches
_LABELS = {"accuracy": "Accuracy (%)", "loss": "Loss (nats)"}
_CHANCE = {"accuracy": 0.5, "loss": math.log(2)}
_TRAIN: dict[str, Any] = {"linestyle": (0, (4, 2)), "alpha": 0.6, "markerfacecolor": "white"}
CAPTION = (
    "Accuracy and loss against epoch, validation solid, training dashed. Training values are means over an epoch in "
    "which the weights change, with the recipe's dropout, augmentation and label smoothing; they may lie above or "
    "below validation."
)
_STYLES: dict[str, dict[str, Any]] = {
    "validation": {"color": INK},
    "training": {"color": INK} | _TRAIN,
    "chance": {"color": GREY, "linestyle": ":"},
}


def draw(results: Results) -> Drawing | None:
    """The curves of `placed_epochs`. A line's gid is `TRIAL:COLUMN`, and its data are that column of the epochs."""
    frame = placed_epochs(results)
    if not len(frame):
        return None
    names = sorted(frame["panel"].unique())
    series, styles = _series_handles(frame), [Line2D([], [], label=name, **look) for name, look in _STYLES.items()]
    columns = legend_columns(series, _LEGEND_CHARACTERS)
    legend_rows = max(math.ceil(len(series) / columns), 1 if columns > 1 else 3)
    in_a_row = len(names) if len(names) <= _MOST_IN_A_ROW else math.ceil(len(names) / 2)
    height = 0.8 + _LEGEND_ROW * legend_rows + 1.85 * 2 * math.ceil(len(names) / in_a_row)
    trials = results.trials[results.trials["trial"].isin(results.epochs["trial"])]
    note = (
        f"{len(trials)} trial{'s' * (len(trials) != 1)}. Validation: n = {results.images('validation')} images. "
        f"Training: n = {results.images('train')}, as a mean over the epoch while the weights change."
        + " Thick: means over seeds; thin: validation of single ones."
        * has_seeds(results.trials)
    )
    with new_figure(PAGE_WIDTH, height, note, *results.provenance.caveats) as figure:
        grid = add_panels(figure, len(names), in_a_row, _LABELS)
        for panel, name in zip(grid, names, strict=True):
            _draw_panel(panel, frame[frame["panel"] == name], str(name), has_seeds(results.trials))
        _set_limits(grid, frame)
        figure.legend(handles=series, loc="outside upper left", ncols=columns)
        figure.legend(handles=styles, loc="outside upper right", ncols=len(styles) if columns == len(series) else 1)
    best = [
        f" The first, {row['configuration']}, reaches {percent(row['validation_accuracy'])} % on validation."
        for row in results.ranked.head(1).to_dict("records")
    ]
    alt = f"Accuracy and loss of {len(trials)} trials against epoch: {', '.join(trials['configuration'].unique())}."
    return Drawing(figure, "Curves", "".join([alt, *best]), CAPTION)


def placed_epochs(results: Results) -> pd.DataFrame:
    """The epochs of the trials, best trial last, with `panel`, `series`, `place`, `rank` and `status` of each.

    `place` counts the series from 0 and is their colour. With more series than colours, only the best trials have one,
    each as a series of its own, and the others are `other trials` at place -1.
    """
    trials = results.trials[["trial", "rank", "status"]].copy()
    split = panels(results.trials["network"])
    trials["panel"] = [split[network][0] for network in results.trials["network"]]
    trials["series"] = [_series(row, split[row["network"]][1], len(split)) for _, row in results.trials.iterrows()]
    names = sorted(trials["series"].unique())
    if len(names) > len(PALETTE):
        coloured = trials["rank"].notna() & (trials.index < _COLOURED_TRIALS)
        of_trial = " (" + results.trials.apply(replicate, axis=1) + ")" if has_seeds(results.trials) else ""
        trials["series"] = ("rank " + trials["rank"].astype(str) + ": " + trials["series"] + of_trial).where(
            coloured, OTHERS
        )
        names = trials.loc[coloured, "series"].unique().tolist()
    trials["place"] = [names.index(name) if name in names else -1 for name in trials["series"]]
    return trials.iloc[::-1].merge(results.epochs, on="trial")


def panels(networks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Network → (panel, series): `age-c4-f2` is the series f2 of the panel age-c4.

    Where that would give many panels, or panels of one network each, all networks share one panel, named "".
    """
    names = sorted(set(networks))
    split = {name: (name.rpartition("-")[0] or name, name.rpartition("-")[2]) for name in names}
    count = len({panel for panel, _ in split.values()})
    if count > _MOST_PANELS or count == len(names):
        return {name: ("", name) for name in names}
    heads = [series for _, series in split.values()]
    return {name: (panel, series if heads.count(series) > 1 else name) for name, (panel, series) in split.items()}


def _series(row: "pd.Series[str]", name: str, networks: int) -> str:
    """A series' name: its network, and the hyperparameters that vary. With one network, these alone, if any vary."""
    if row["configuration"].startswith("#"):  # of a search
        return str(row["configuration"])
    varied = row["configuration"].removeprefix(row["network"]).removeprefix(", ")
    return ", ".join(part for part in (name if networks > 1 or not varied else "", varied) if part)


def _draw_panel(panel: Panel, frame: pd.DataFrame, name: str, thin: bool) -> None:
    for metric, axes in panel.items():
        axes.axhline(_CHANCE[metric], color=GREY, linewidth=0.9, linestyle=":")
        for _, trial in frame.groupby("trial", sort=False):
            _draw_trial(axes, trial, metric, thin)
        for _, trials in frame[frame["place"] >= 0].groupby("series", sort=False) if thin else ():
            _draw_mean(axes, trials, metric)
    panel["accuracy"].set_title(name, loc="left", fontweight="bold")
    panel["accuracy"].set_title(_flags(frame), loc="right", fontsize=7, color=INK)


def _draw_trial(axes: Axes, trial: pd.DataFrame, metric: str, thin: bool) -> None:
    """Validation solid; training dashed, but not of grey trials, which would drown the others."""
    place, identity = int(trial["place"].iloc[0]), trial["trial"].iloc[0]
    look = _look(place) | {"linewidth": 0.8 if thin or place < 0 else 1.4}
    look |= {"alpha": 0.35} if thin and place >= 0 else {}
    if len(trial) > 1 and (thin or len(trial) > _MOST_EPOCHS_WITH_MARKERS):
        look["marker"] = ""
    splits = {"train": look | _TRAIN, "validation": look} if place >= 0 and not thin else {"validation": look}
    for split, style in splits.items():
        column = f"{split}_{metric}"
        axes.plot(trial["epoch"], trial[column], gid=f"{identity}:{column}", **style)


def _draw_mean(axes: Axes, trials: pd.DataFrame, metric: str) -> None:
    """The mean over the seeds of a series, of the epochs that all of them have."""
    look = _look(int(trials["place"].iloc[0])) | {"linewidth": 1.6}
    epochs = trials.groupby("epoch")
    is_common = epochs["trial"].nunique() == trials["trial"].nunique()
    for split, style in {"train": look | _TRAIN, "validation": look}.items():
        means = epochs[f"{split}_{metric}"].mean()[is_common]
        axes.plot(means.index, means, **style | {"marker": ""} if len(means) > _MOST_EPOCHS_WITH_MARKERS else style)


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
    """Give all panels the same axes. They cut off flagged trials whose loss exploded, which would hide the rest."""
    shown = frame[frame["rank"].notna()] if frame["rank"].notna().any() else frame
    limits = {"accuracy": _range(frame, "accuracy"), "loss": _range(shown, "loss")}
    most = int(frame["epoch"].max())
    for panel in grid:
        for metric, axes in panel.items():
            axes.set(ylim=limits[metric], xlim=(1 - 0.05 * most, 1.05 * most))
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
            axes.tick_params(labelleft=bool(axes.get_ylabel()), labelbottom=metric == "loss")
        panel["accuracy"].yaxis.set_major_formatter(percent_tick)
        panel["loss"].set_xlabel("Epoch")


def _range(frame: pd.DataFrame, metric: str) -> tuple[float, float]:
    """The limits of an axis: everything of `frame` that is drawn, and chance, with a margin."""
    values = [_CHANCE[metric], *frame[f"validation_{metric}"], *frame.loc[frame["place"] >= 0, f"train_{metric}"]]
    finite = [value for value in values if math.isfinite(value)]
    margin = 0.05 * (max(finite) - min(finite)) or 0.05
    return min(finite) - margin, max(finite) + margin


def _series_handles(frame: pd.DataFrame) -> list[Line2D]:
    """A line for each series, in the order of their colours, grey last."""
    series = frame.drop_duplicates("series").sort_values("place", key=lambda place: place.replace(-1, len(PALETTE)))
    return [
        Line2D([], [], label=textwrap.shorten(name, _LEGEND_CHARACTERS, placeholder="…"), **_look(place))
        for name, place in zip(series["series"], series["place"], strict=True)
    ]
