"""Figures with a number in each cell: confusion matrices, differences of pairs, and the grid trunk x head."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Rectangle

from analysis.figures.style import GREY, INK, Drawing, ink_on, new_figure, percent_tick
from analysis.results.format import mean_and_deviation, percent, span
from analysis.results.judged import SIGNIFICANT, Findings, confusions
from analysis.results.seeds import grid, has_seeds
from analysis.results.trials import Results
from data_prep.layout import LABEL_NAMES
from trainables.training import metrics

_SHARES, _DIFFERENCES = matplotlib.colormaps["Blues"], matplotlib.colormaps["PuOr"]
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def draw_confusion(results: Results) -> Drawing | None:
    """The confusion matrices of the best and the worst ranked trial on test: counts, and shares of the row."""
    matrices = confusions(results)
    if not matrices:
        return None
    rows = [row for row in results.trials.to_dict("records") if row["trial"] in matrices]
    note = "Rows are the truth, percents are of the row. FAKE is the positive class: a logit above 0."
    with new_figure(3.6 * len(matrices), 3.9, note, *results.provenance.caveats, grid=False) as figure:
        for axes, row in zip(figure.subplots(1, len(matrices), squeeze=False)[0], rows, strict=True):
            counts = matrices[row["trial"]]
            seed = f", seed {row['seed']}" if has_seeds(results.trials) else ""
            measured = f"test, n = {counts.sum():,}, accuracy {percent(metrics.accuracy(counts))} %"
            rank = f"rank {row['rank']} of {len(results.ranked)}"
            axes.set_title(f"{row['network']}{seed} ({rank})\n{measured}", loc="left")
            _draw_counts(axes, counts)
    words = " ".join(_words(row, matrices[row["trial"]], len(results.ranked)) for row in rows)
    return Drawing(figure, "Confusion matrices", f"Confusion matrices on the test split. {words}", words)


def _draw_counts(axes: Axes, counts: np.ndarray) -> None:
    shares = metrics.row_shares(counts)
    axes.imshow(shares, cmap=_SHARES, vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        text = f"{counts[row, column]:,}\n{percent(share, 1)} %"
        axes.text(column, row, text, color=ink_on(_SHARES(float(share))), fontsize=11, **_CENTRED)
    axes.set(xlabel="Predicted", ylabel="Truth", xticks=[0, 1], xticklabels=LABEL_NAMES)
    axes.set_yticks([0, 1], LABEL_NAMES, rotation=90, va="center")
    _hide_frame(axes)


def _words(row: dict[str, Any], counts: np.ndarray, ranked: int) -> str:
    """A matrix in words, with all of its numbers, for whoever cannot see the figure."""
    (_, false_fake), (missed, _) = counts
    return (
        f"{row['configuration']}, seed {row['seed']}, rank {row['rank']} of {ranked} on validation: of "
        f"{counts[0].sum():,} REAL test images {false_fake:,} are called FAKE, of {counts[1].sum():,} FAKE ones "
        f"{missed:,} are called REAL; recall of FAKE {percent(metrics.recall(counts))} %, precision "
        f"{percent(metrics.precision(counts))} %."
    )


def _hide_frame(axes: Axes) -> None:
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def draw_pairs(results: Results, findings: Findings) -> Drawing | None:
    """Which of the first configurations can be told apart, by their accuracy on test.

    A cell a pair: how many points of accuracy the row is ahead of the column; grey where they are not told apart.
    """
    frame = findings.comparisons
    if not len(frame):
        return None
    names = list(dict.fromkeys([*frame["configuration"], *frame["other"]]))
    most, ends = max(0.001, float(frame["difference"].abs().max())), (-0.5, len(names) - 0.5)
    size = (2.4 + 0.45 * len(names), 2.3 + 0.3 * len(names))
    with new_figure(*size, _note_on_pairs(results, findings), *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        for row in frame.to_dict("records"):
            first, second = names.index(row["configuration"]), names.index(row["other"])
            _draw_pair(axes, second, first, row["difference"], most, row["told_apart"])
            _draw_pair(axes, first, second, -row["difference"], most, row["told_apart"])
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set(yticks=range(len(names)), yticklabels=names, xlim=ends, ylim=ends[::-1])
        _hide_frame(axes)
    apart = f"{int(frame['told_apart'].sum())} of {len(frame)} pairs are told apart"
    return Drawing(
        figure,
        "What can be told apart",
        f"Matrix of differences in test accuracy; {apart}.",
        "How far the row is ahead of the column; in colour where that is more than noise.",
    )


def _draw_pair(axes: Axes, x: int, y: int, difference: float, most: float, told_apart: bool) -> None:
    colour = _DIFFERENCES(0.5 - 0.45 * difference / most) if told_apart else (0.95, 0.95, 0.95, 1.0)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour))
    ink = ink_on(colour) if told_apart else GREY
    axes.text(x, y, f"{100 * difference:+.1f}", fontsize=6.5, color=ink, **_CENTRED)


def _note_on_pairs(results: Results, findings: Findings) -> str:
    """How to read the matrix, with n."""
    frame = findings.comparisons
    seeds = np.unique([*frame["seeds"], *frame["other_seeds"]])
    counts = f"{seeds.min()}" if len(seeds) == 1 else f"{seeds.min()} to {seeds.max()}"
    over = "the same test images and over seeds" if seeds.max() > 1 else "the same test images"
    return (
        f"Points of test accuracy by which the row is ahead of the column, n = {results.images('test')} images, "
        f"{counts} seed{'s' * bool(seeds.max() > 1)} each. Grey: not told apart (p ≥ {SIGNIFICANT:g} over {over}, "
        f"Holm's correction for {len(frame)} pairs)."
    )


def draw_grid(results: Results) -> Drawing | None:
    """The heat map of `grid(results.trials)`. A cell without a ranked trial is hatched, and says why."""
    table = grid(results.trials)
    if not len(table):
        return None
    means = table.pivot(index="trunk", columns="head", values="mean")
    trunks, heads, note = means.index.tolist(), means.columns.tolist(), _note_on_grid(results)
    size = (1.8 + 1.1 * max(2, len(heads)), 1.7 + 0.75 * len(trunks))
    with new_figure(*size, note, *results.provenance.caveats, grid=False) as figure:
        axes = figure.subplots()
        image = axes.imshow(np.ma.masked_invalid(means.to_numpy(float)), cmap="cividis", aspect="auto")
        bar = figure.colorbar(image, ax=axes, format=percent_tick, label="Validation accuracy (%)")
        bar.outline.set_visible(False)
        for row in table.to_dict("records"):
            _draw_cell(axes, heads.index(row["head"]), trunks.index(row["trunk"]), row, image)
        axes.hlines(np.arange(0.5, len(trunks) - 1), -0.5, len(heads) - 0.5, color="white", linewidth=2)
        axes.vlines(np.arange(0.5, len(heads) - 1), -0.5, len(trunks) - 0.5, color="white", linewidth=2)
        axes.set(xlabel="Head", xticks=range(len(heads)), xticklabels=heads)
        axes.set(ylabel="Trunk", yticks=range(len(trunks)), yticklabels=trunks)
        _hide_frame(axes)
    words = "; ".join(
        f"{row['trunk']} {row['head']} {mean_and_deviation(row['mean'], row['std']) if row['n'] else row['states']}"
        for row in table.to_dict("records")
    )
    alt = f"Heat map of validation accuracy in percent, trunk x head: {words}."
    return Drawing(figure, "Trunk x head", alt, note)


def _draw_cell(axes: Axes, x: int, y: int, row: dict[str, Any], scale: ScalarMappable) -> None:
    if row["n"]:
        flagged = f"\n{row['flagged']} {row['states']}" if row["flagged"] else ""
        text = mean_and_deviation(row["mean"], row["std"]) + flagged
        axes.text(x, y, text, color=ink_on(tuple(scale.to_rgba(row["mean"]))), fontsize=8, **_CENTRED)
    else:
        hatched: dict[str, Any] = {"facecolor": "white", "edgecolor": "#b8b8b8", "hatch": "////", "linewidth": 0}
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **hatched))
        plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.text(x, y, row["states"], color=INK, fontsize=8, bbox=plate, **_CENTRED)


def _note_on_grid(results: Results) -> str:
    """How to read the grid, with n."""
    counts, best = grid(results.trials)["n"], results.ranked.iloc[0]
    least, most = min(counts[counts > 0]), max(counts)
    seeds = "one trial a cell" if most == 1 else f"mean ± standard deviation of {least} to {most} seeds a cell"
    hatched = " Hatched: no ranked trial." if (counts == 0).any() else ""
    return (
        f"Validation accuracy in %, n = {results.images('validation')} images, {seeds}. 95 % interval of the best "
        f"single trial: {span(best['validation_low'], best['validation_high'])} %.{hatched}"
    )
