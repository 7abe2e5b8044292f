"""Confusion matrices of the best and the worst ranked trial on test."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.style import PAGE_WIDTH, Drawing, hide_frame, ink_on, many_or_one, new_figure
from analysis.results.format import percent, span
from analysis.results.judged import confusions
from analysis.results.seeds import has_seeds
from analysis.results.trials import Results
from data_prep.layout.vocabulary import LABEL_NAMES
from trainables.record import replicate
from trainables.training import metrics

_SHARES = matplotlib.colormaps["Blues"]
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """The confusion matrices of the best and the worst ranked trial on test: counts, and shares of the row."""
    matrices = confusions(results)
    if not matrices:
        return None
    rows = [row for row in results.trials.to_dict("records") if row["trial"] in matrices]
    note = (
        "Rows are the truth, percents are of the row. FAKE: above the threshold that is best on validation, which "
        "ranks, too. 95 % intervals over images."
    )
    columns = many_or_one(width, len(matrices))
    shape, height = (len(matrices) // columns, columns), 0.9 + 2.6 * len(matrices) / columns
    with new_figure(width, height, note, *results.provenance.caveats, grid=False) as figure:
        for axes, row in zip(figure.subplots(*shape, squeeze=False).ravel(), rows, strict=True):
            counts = matrices[row["trial"]]
            seed = f", {replicate(row)}" if has_seeds(results.trials) else ""
            interval = span(row["test_low"], row["test_high"])
            measured = f"test, n = {counts.sum():,}, accuracy {percent(metrics.accuracy(counts))} % ({interval})"
            rank = f"rank {row['rank']:,} of {len(results.ranked):,}"
            axes.set_title(f"{row['network']}{seed} ({rank})\n{measured}", loc="left")
            _draw_counts(axes, counts)
    words = " ".join(_words(row, matrices[row["trial"]], len(results.ranked)) for row in rows)
    return Drawing(
        figure, "Confusion matrices", f"Confusion matrices on the test split. {words}", words, _cells(rows, matrices)
    )


def _cells(rows: list[dict[str, Any]], matrices: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row a cell: the trial, what the images are and are called, how many they are, and their share, 0–1."""
    return pd.DataFrame(
        {
            **{name: row[name] for name in ("configuration", "seed", "rank", "trial")},
            **{"truth": LABEL_NAMES[truth], "predicted": LABEL_NAMES[predicted]},
            **{"images": matrices[row["trial"]][truth, predicted], "share": share},
        }
        for row in rows
        for (truth, predicted), share in np.ndenumerate(metrics.row_shares(matrices[row["trial"]]))
    )


def _draw_counts(axes: Axes, counts: np.ndarray) -> None:
    shares = metrics.row_shares(counts)
    axes.imshow(shares, cmap=_SHARES, vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        text = f"{counts[row, column]:,}\n{percent(share, 1)} %"
        axes.text(column, row, text, color=ink_on(_SHARES(float(share))), fontsize=11, **_CENTRED)
    axes.set(xlabel="Predicted", ylabel="Truth", xticks=[0, 1], xticklabels=LABEL_NAMES)
    axes.set_yticks([0, 1], LABEL_NAMES, rotation=90, va="center")
    hide_frame(axes)


def _words(row: dict[str, Any], counts: np.ndarray, ranked: int) -> str:
    """A matrix in words, with all of its numbers, for whoever cannot see the figure."""
    (_, false_fake), (missed, _) = counts
    return (
        f"{row['configuration']}, {replicate(row)}, rank {row['rank']} of {ranked} on validation: of "
        f"{counts[0].sum():,} REAL test images {false_fake:,} are called FAKE, of {counts[1].sum():,} FAKE ones "
        f"{missed:,} are called REAL; recall of FAKE {percent(metrics.recall(counts))} %, precision "
        f"{percent(metrics.precision(counts))} %."
    )
