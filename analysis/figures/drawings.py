"""Every figure of the report, in its order. Nothing here reads or writes files."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.figures import (
    accuracy,
    classes,
    confusion,
    curves,
    differences,
    grid,
    mistakes,
    pairs,
    reliability,
    robustness,
    roc,
)
from analysis.figures.search import history, importance, parallel_coordinates, pareto, rungs, slices
from analysis.figures.style import PAGE_WIDTH, Drawing
from analysis.results.judged import Findings
from analysis.results.trials import Results


def figures(
    results: Results,
    findings: Findings,
    robustness_table: pd.DataFrame,
    pictures: Mapping[int, np.ndarray] | None = None,
    width: float = PAGE_WIDTH,
) -> dict[str, Drawing | None]:
    """File name → drawing, of every figure that there can be; None where the record has no data for it.

    `pictures` are test images (side, side, 3) uint8, by their row; `width` is PAGE_WIDTH or COLUMN_WIDTH.
    """
    return {
        "search_history": history.draw(results, width),
        "search_rungs": rungs.draw(results, width),
        "search_slices": slices.draw(results, width),
        "search_parallel": parallel_coordinates.draw(results, width),
        "search_importance": importance.draw(results, width),
        "search_pareto": pareto.draw(results, width),
        "differences": differences.draw(results, findings, width),
        "accuracy": accuracy.draw(results, width),
        "curves": curves.draw(results, width),
        "grid": grid.draw(results, width),
        "roc": roc.draw(results, width),
        "reliability": reliability.draw(results, width),
        "confusion": confusion.draw(results, width),
        "classes": classes.draw(results, findings, width),
        "mistakes": mistakes.draw(results, findings, pictures or {}, width),
        "pairs": pairs.draw(results, findings, width),
        "robustness": robustness.draw(results, robustness_table, width),
    }
