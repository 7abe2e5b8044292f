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
from analysis.figures.style import Drawing
from analysis.results.judged import Findings
from analysis.results.trials import Results


def figures(
    results: Results,
    findings: Findings,
    robustness_table: pd.DataFrame,
    pictures: Mapping[int, np.ndarray] | None = None,
) -> dict[str, Drawing | None]:
    """File name → drawing, of every figure that there can be; None where the record has no data for it.

    `pictures` are test images (side, side, 3) uint8, by their row.
    """
    return {
        "search_history": history.draw(results),
        "search_rungs": rungs.draw(results),
        "search_slices": slices.draw(results),
        "search_parallel": parallel_coordinates.draw(results),
        "search_importance": importance.draw(results),
        "search_pareto": pareto.draw(results),
        "differences": differences.draw(results, findings),
        "accuracy": accuracy.draw(results),
        "curves": curves.draw(results),
        "grid": grid.draw(results),
        "confusion": confusion.draw(results),
        "roc": roc.draw(results),
        "reliability": reliability.draw(results),
        "classes": classes.draw(results, findings),
        "mistakes": mistakes.draw(results, findings, pictures or {}),
        "pairs": pairs.draw(results, findings),
        "robustness": robustness.draw(results, robustness_table),
    }
