"""The figures of a record."""

from analysis.detector.robustness_table import SCHEMA
from analysis.figures import drawings
from analysis.figures.style import Drawing
from analysis.results.judged import findings
from analysis.results.trials import Results

FIGURES = {"accuracy", "curves", "grid", "confusion", "roc", "reliability"}


def drawn(results: Results) -> dict[str, Drawing]:
    figures = drawings.figures(results, findings(results), SCHEMA.empty_table().to_pandas())
    return {name: drawing for name, drawing in figures.items() if drawing}
