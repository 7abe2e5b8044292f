"""Every figure of the report, in its order. Nothing here reads or writes files."""

import pandas as pd

from analysis.figures import accuracy, curves, hyperparameters, matrices, probabilities, robustness, search
from analysis.figures.style import Drawing
from analysis.results.judged import Findings
from analysis.results.trials import Results


def figures(results: Results, findings: Findings, robustness_table: pd.DataFrame) -> dict[str, Drawing | None]:
    """File name → drawing, of every figure that there can be; None where the record has no data for it."""
    return {
        "search_history": search.draw_history(results),
        "search_rungs": search.draw_rungs(results),
        "search_slices": hyperparameters.draw_slices(results),
        "search_parallel": hyperparameters.draw_parallel(results),
        "search_importance": hyperparameters.draw_importance(results),
        "search_pareto": search.draw_front(results),
        "accuracy": accuracy.draw_configurations(results),
        "pairs": matrices.draw_pairs(results, findings),
        "curves": curves.draw(results),
        "grid": matrices.draw_grid(results),
        "confusion": matrices.draw_confusion(results),
        "roc": probabilities.draw_roc(results),
        "reliability": probabilities.draw_reliability(results),
        "classes": accuracy.draw_classes(results, findings),
        "robustness": robustness.draw(results, robustness_table),
    }
