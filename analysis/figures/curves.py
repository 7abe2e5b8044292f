"""The curves of every network: validation accuracy and loss against epoch, each named at its line.

The first three configurations stand out in colour, with their training; the others are grey.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.special import entr
from sklearn.isotonic import IsotonicRegression

from analysis.figures.style import (
    FIRST,
    GREY,
    INK,
    MARKERS,
    PAGE_WIDTH,
    PALE,
    PALETTE,
    Drawing,
    add_legend,
    many_or_one,
    new_figure,
    percent_tick,
    without_outliers,
)
from analysis.results.format import percent
from analysis.results.seeds import has_seeds, in_order
from analysis.results.trials import Results
from trainables.training.metrics import chance

_MOST_NAMED = 16
_MOST_EPOCHS_WITH_MARKERS = 20
_NAME_CHARACTERS, _NAME_SIZE, _NAME_HEIGHT = 20, 7, 0.125  # of a row: letters, points, inches
_LABELS = {"accuracy": "Accuracy (%)", "loss": "Loss (nats)"}
_LEADER: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 3}
_TRAIN: dict[str, Any] = {"linestyle": (0, (4, 2)), "alpha": 0.6, "marker": ""}
CAPTION = (
    "Validation accuracy and loss against epoch. Training values, dashed, are means over an epoch in which the weights "
    "change, with the recipe's dropout, augmentation and label smoothing; they may lie above or below validation."
)


@dataclass(frozen=True)
class _Line:
    """One configuration: its place in the order, from 0, its name with what became of it, and its epochs."""

    place: int
    name: str
    epochs: pd.DataFrame

    @property
    def colour(self) -> str | None:
        """Its colour, if it is one of the first."""
        return PALETTE[self.place] if self.place < FIRST else None

    def mean(self, column: str) -> "pd.Series[float]":
        """The mean over its trials by epoch, of the epochs that all of them have."""
        if self.epochs["epoch"].is_unique:  # of one trial, as ten thousand lines are
            return self.epochs.set_index("epoch", drop=False)[column]
        by_epoch = self.epochs.groupby("epoch")[column]
        return by_epoch.mean()[by_epoch.size() == self.epochs["trial"].nunique()]


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """The curves of `placed_epochs`. The gid of a trial's line is `TRIAL:COLUMN`, of a mean's `NAME:COLUMN`."""
    frame = placed_epochs(results)
    if not len(frame):
        return None
    lines = [_Line(int(place), _name(rows), rows) for place, rows in frame.groupby("place")]
    named = lines if len(lines) <= _MOST_NAMED else lines[:FIRST]
    rows = sum(len(_wrapped(line.name)) for line in named)
    columns = many_or_one(width, 2)
    tall = max(2.2, _NAME_HEIGHT * (rows + 2))  # inches, of one plot without what is around it
    height, constant = 0.9 + (tall + 0.55) * (2 // columns), _constant(results)
    with new_figure(width, height, _note(results, lines), *results.provenance.caveats) as figure:
        plots = figure.subplots(2 // columns, columns, squeeze=False).ravel()
        for axes, metric in zip(plots, _LABELS, strict=True):
            limits = _limits(results, frame, metric)
            axes.set(ylim=limits, ylabel=_LABELS[metric], xlabel="Epoch")
            axes.axhline(constant[metric], color=GREY, linewidth=0.9, linestyle=":")
            for line in reversed(lines):
                _draw_line(axes, line, metric, has_seeds(results.trials), line in named)
            _name_lines(axes, named, metric, (limits[1] - limits[0]) * _NAME_HEIGHT / tall)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        plots[0].yaxis.set_major_formatter(percent_tick)
        add_legend(figure, _legend(list(plots), constant, has_seeds(results.trials), len(lines) > FIRST))
    first = results.ranked.head(1).to_dict("records")
    reached = [f" The first reaches {percent(row['validation_accuracy'])} % on validation." for row in first]
    alt = (
        f"Accuracy and loss against epoch of {', '.join(line.name for line in lines[:_MOST_NAMED])}.{''.join(reached)}"
    )
    columns_shown = ["configuration", "seed", "training_subset", "status", "trial", "epoch"]
    metrics = [f"{split}_{metric}" for split in ("train", "validation") for metric in _LABELS]
    return Drawing(figure, "Curves", alt, CAPTION, frame[[*columns_shown, *metrics]])


def placed_epochs(results: Results) -> pd.DataFrame:
    """The epochs of the trials, with the columns of `results.trials` that tell them apart, and `place`.

    `place` counts the configurations from 0, as `in_order` has them. Of a configuration with ranked trials, only
    these are there.
    """
    places = {name: place for place, name in enumerate(in_order(results))}
    trials = results.trials
    has_rank = trials["rank"].notna()
    trials = trials[has_rank | ~has_rank.groupby(trials["configuration"]).transform("any")]
    trials = trials[["trial", "configuration", "seed", "training_subset", "rank", "status"]]
    frame = trials.assign(place=trials["configuration"].map(places)).merge(results.epochs, on="trial")
    return frame.sort_values(["place", "trial", "epoch"], kind="stable", ignore_index=True)


def _name(rows: pd.DataFrame) -> str:
    """A configuration, and what became of it where that is no result."""
    first = rows.iloc[0]
    return f"{first['configuration']}{'' if rows['rank'].notna().any() else ': ' + first['status']}"


def _wrapped(name: str) -> list[str]:
    return textwrap.wrap(name, _NAME_CHARACTERS)


def _draw_line(axes: Axes, line: _Line, metric: str, has_seeds: bool, is_named: bool) -> None:
    """The mean of a configuration over its seeds; of one in colour also single seeds, thin, and training, dashed."""
    if not line.colour:
        look: dict[str, Any] = {"color": PALE, "linewidth": 0.9, "alpha": 1 if is_named else 0.4}
        look |= {} if line.epochs["rank"].notna().any() else {"linestyle": (0, (1, 1))}
    else:
        marker = MARKERS[line.place] if len(line.mean("epoch")) <= _MOST_EPOCHS_WITH_MARKERS else ""
        look = {"color": line.colour, "linewidth": 1.6, "marker": marker, "markersize": 3.5}
        for trial, epochs in line.epochs.groupby("trial") if has_seeds else ():
            column = f"validation_{metric}"
            thin = look | {"linewidth": 0.7, "alpha": 0.45, "marker": ""}
            axes.plot(epochs["epoch"], epochs[column], gid=f"{trial}:{column}", **thin)
    for split, style in {"train": look | _TRAIN, "validation": look}.items():
        if split == "validation" or line.colour:
            mean = line.mean(f"{split}_{metric}")
            axes.plot(mean.index, mean, gid=f"{line.name}:{split}_{metric}", **style)


def _name_lines(axes: Axes, lines: list[_Line], metric: str, row: float) -> None:
    """Write each line's name to its right, as near to its end as the others allow; `row` is a row's height, in data."""
    low, high = axes.get_ylim()
    means = [(line, line.mean(f"validation_{metric}")) for line in lines]
    ends = [
        (float(np.clip(mean.iloc[-1], low, high)), mean.index[-1], line)
        for line, mean in means
        if len(mean) and math.isfinite(mean.iloc[-1])
    ]
    ends.sort(key=itemgetter(0))
    if not ends:
        return
    heights = row * np.array([len(_wrapped(line.name)) for _, _, line in ends])
    before = np.cumsum(heights) - heights / 2  # the middles of names that are stacked without a gap
    middles = before + IsotonicRegression(y_min=low, y_max=max(low, high - heights.sum())).fit_transform(
        np.arange(len(ends)), np.array([end for end, _, _ in ends]) - before
    )
    for (end, epoch, line), middle in zip(ends, middles, strict=True):
        axes.annotate(
            "\n".join(_wrapped(line.name)),
            (epoch, end),
            (1.06, middle),
            textcoords=axes.get_yaxis_transform(),
            arrowprops=_LEADER | {"color": line.colour or PALE},
            color=line.colour or INK,
            fontsize=_NAME_SIZE,
            fontweight="bold" if line.colour else "normal",
            va="center",
        )


def _limits(results: Results, frame: pd.DataFrame, metric: str) -> tuple[float, float]:
    """The limits of an axis: ranked trials' validation and the first ones' training, but no run far off the rest."""
    shown = frame[frame["rank"].notna()] if frame["rank"].notna().any() else frame
    values, of_first = shown[f"validation_{metric}"].to_numpy(float), shown[shown["place"] < FIRST]
    if not np.isfinite(values).any():
        return 0.0, 1.0
    coloured = of_first[[f"validation_{metric}", f"train_{metric}"]].to_numpy(float)
    kept = [*without_outliers(values), *coloured[np.isfinite(coloured)]]
    low, high = min(kept), max(kept)
    margin = 0.04 * (high - low) or 0.02
    return low - margin, high + margin


def _constant(results: Results) -> dict[str, float]:
    """What a constant answer reaches on validation: the commoner label's share, and the loss at that probability.

    NaN where no trial is scored.
    """
    part = results.scores.parts.get("validation")
    share = chance(part.labels) if part else math.nan
    return {"accuracy": share, "loss": float(entr([share, 1 - share]).sum())}


def _legend(plots: Sequence[Axes], constant: dict[str, float], has_seeds: bool, has_others: bool) -> list[Line2D]:
    """An entry for each kind of line that the plots show."""
    styles: dict[str, dict[str, Any]] = {
        "validation": {"color": INK, "linewidth": 1.6},
        "training": {"color": INK} | _TRAIN,
        "one seed": {"color": PALETTE[0], "linewidth": 0.7, "alpha": 0.6},
        "others": {"color": PALE, "linewidth": 1.6},
        "chance": {"color": GREY, "linestyle": ":"},
    }
    limits = [axes.get_ylim() for axes in plots]
    has_chance = any(low < constant[metric] < high for metric, (low, high) in zip(_LABELS, limits, strict=True))
    is_shown = {"one seed": has_seeds, "others": has_others, "chance": has_chance}
    return [Line2D([], [], label=name, **look) for name, look in styles.items() if is_shown.get(name, True)]


def _note(results: Results, lines: list[_Line]) -> str:
    """How to read the figure, with n."""
    count, flagged = len(results.trials), results.flagged["status"].value_counts()
    without = ", ".join(f"{number} {status}" for status, number in flagged.items())
    seeds = " Thick: means over seeds." * has_seeds(results.trials)
    colours = (
        f" In colour: the first {FIRST} by validation, each trial at its best epoch." if len(lines) > FIRST else ""
    )
    return (
        f"{count:,} trial{'s' * (count != 1)}{f', of which {without}' if without else ''}. Validation: n = "
        f"{results.images('validation')} images; training: n = {results.images('train')}.{colours}{seeds}"
    )
