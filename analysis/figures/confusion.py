"""Confusion matrices of the best and the worst ranked trial on the test split."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from analysis.figures.style import Drawing, ink_on, new_figure
from analysis.results.format import percent
from analysis.results.judged import confusions
from analysis.results.seeds import has_seeds
from analysis.results.trials import Results
from data_prep.layout import LABEL_NAMES
from trainables.training import metrics

_COLOURS = matplotlib.colormaps["Blues"]
_READING = "Rows are the truth, percents are of the row. FAKE is the positive class: a logit above 0."


def draw(results: Results) -> Drawing | None:
    """The matrices side by side: counts, and shares of the row in percent."""
    matrices = confusions(results)
    if not matrices:
        return None
    rows = [row for row in results.trials.to_dict("records") if row["trial"] in matrices]
    with new_figure(3.6 * len(matrices), 3.9, _READING, *results.provenance.caveats, grid=False) as figure:
        for axes, row in zip(figure.subplots(1, len(matrices), squeeze=False)[0], rows, strict=True):
            counts = matrices[row["trial"]]
            seed = f", seed {row['seed']}" if has_seeds(results.trials) else ""
            measured = f"test, n = {counts.sum():,}, accuracy {percent(metrics.accuracy(counts))} %"
            title = f"{row['network']}{seed} (rank {row['rank']} of {len(results.ranked)})\n{measured}"
            axes.set_title(title, loc="left")
            _draw_matrix(axes, counts)
    words = " ".join(_words(row, matrices[row["trial"]], len(results.ranked)) for row in rows)
    return Drawing(figure, "Confusion matrices", f"Confusion matrices on the test split. {words}", words)


def _draw_matrix(axes: Axes, counts: np.ndarray) -> None:
    shares = metrics.row_shares(counts)
    axes.imshow(shares, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        share = float(shares[row, column])
        ink = ink_on(_COLOURS(share))
        axes.text(column, row, f"{count:,}\n{percent(share, 1)} %", ha="center", va="center", color=ink, fontsize=11)
    axes.set(xlabel="Predicted", ylabel="Truth", xticks=[0, 1], xticklabels=LABEL_NAMES)
    axes.set_yticks([0, 1], LABEL_NAMES, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _words(row: dict[str, Any], counts: np.ndarray, ranked: int) -> str:
    """A matrix in words, with all of its numbers, for whoever cannot see the figure."""
    (_, false_fake), (missed, _) = counts
    return (
        f"{row['configuration']}, seed {row['seed']}, rank {row['rank']} of {ranked} on validation: of "
        f"{counts[0].sum():,} REAL test images {false_fake:,} are called FAKE, of {counts[1].sum():,} FAKE ones "
        f"{missed:,} are called REAL; recall of FAKE {percent(metrics.recall(counts))} %, precision "
        f"{percent(metrics.precision(counts))} %."
    )
