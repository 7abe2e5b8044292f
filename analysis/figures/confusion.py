"""Confusion matrices of the best and the worst ranked trial on the test split."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import RC, footer, ink_on, new_figure
from analysis.results.format import percent
from analysis.results.trials import Results, confusions, has_seeds
from data_prep.layout import LABEL_NAMES
from trainables.training import metrics

_COLOURS = matplotlib.colormaps["Blues"]
_READING = "Rows are the truth, percents are of the row. FAKE is the positive class: a logit above 0."


def draw(results: Results) -> Figure:
    """The matrices of `confusions(results)` side by side: counts, and shares of the row in percent."""
    matrices = confusions(results)
    with matplotlib.rc_context(RC | {"axes.grid": False}):
        figure = new_figure(3.6 * len(matrices), 3.9)
        for axes, (trial, counts) in zip(
            figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True
        ):
            _draw_matrix(axes, counts)
            axes.set_title(_title(results, trial, counts), loc="left")
        footer(figure, _READING, *results.provenance.caveats)
    return figure


def _draw_matrix(axes: Axes, counts: np.ndarray) -> None:
    shares = metrics.row_shares(counts)
    axes.imshow(shares, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        share = float(shares[row, column])
        ink = ink_on(_COLOURS(share))
        axes.text(column, row, f"{count:,}\n{percent(share, 1)} %", ha="center", va="center", color=ink, fontsize=11)
    axes.set(xlabel="Predicted", ylabel="Truth")
    axes.set_xticks([0, 1], LABEL_NAMES)
    axes.set_yticks([0, 1], LABEL_NAMES, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _title(results: Results, trial: str, counts: np.ndarray) -> str:
    row = results.trials.set_index("trial").loc[trial]
    seed = f", seed {row['seed']}" if has_seeds(results.trials) else ""
    measured = f"test, n = {counts.sum():,}, accuracy {percent(metrics.accuracy(counts))} %"
    return f"{row['network']}{seed} (rank {row['rank']} of {len(results.ranked)})\n{measured}"


def texts(results: Results) -> list[str]:
    """Each matrix in words: the whole of its numbers, for whoever cannot see the figure."""
    return [_text(results, trial, counts) for trial, counts in confusions(results).items()]


def _text(results: Results, trial: str, counts: np.ndarray) -> str:
    row = results.trials.set_index("trial").loc[trial]
    (_, false_fake), (missed, _) = counts
    return (
        f"{row['configuration']}, seed {row['seed']}, rank {row['rank']} of {len(results.ranked)} on validation: of "
        f"{counts[0].sum():,} REAL test images {false_fake:,} are called FAKE, of {counts[1].sum():,} FAKE ones "
        f"{missed:,} are called REAL; recall of FAKE {percent(metrics.recall(counts))} %, precision "
        f"{percent(metrics.precision(counts))} %."
    )
