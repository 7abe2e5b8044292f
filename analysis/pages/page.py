"""Results and drawings → one page of HTML that needs nothing else: no file beside it, no network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import pandas as pd

from analysis.figures.style import PAGE_WIDTH, Drawing
from analysis.pages.summary import summary
from analysis.pages.tables import (
    comparison_cells,
    flagged_cells,
    metric_cells,
    network_cells,
    note,
    ranked_cells,
    repeat_cells,
)
from analysis.results.format import unbroken
from analysis.results.judged import Findings
from analysis.results.seeds import has_spread
from analysis.results.trials import Results

_TEMPLATE = "report.html.j2"
_PAGE_REM = 56  # width of a figure that is as wide as a journal's page
#: The columns that hold words, not numbers.
_TEXTS = ("network", "status", "reason", "on", "told apart")
_REPEATS = (
    "Mean and 95 % interval (Student's t) over n new seeds, in %. The seed that a trial was chosen by does not enter: "
    "the best of many is partly luck."
)
_NETWORKS = (
    "Mean ± standard deviation over n ranked trials, in %, and the 95 % interval of the mean (Student's t). Flagged "
    "trials do not enter."
)
_COMPARISONS = (
    "The first configuration less each other one, in points of accuracy on the same test images; p after Holm's "
    "correction for all pairs. AUC: DeLong's test, where each has one seed. Told apart: p of accuracy below 0.05."
)
_METRICS = (
    "With 95 % intervals, at the threshold of the best balanced accuracy on validation, carried to test. FAKE is the "
    "positive class. ECE: 15 bins of equal width, and biased upwards. tables/metrics.csv has all trials."
)


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: a PNG, and its words."""

    title: str
    alt: str
    caption: str
    png: bytes


def report(
    results: Results, findings: Findings, drawings: Sequence[tuple[Drawing, bytes]], sheets: Sequence[Sheet]
) -> str:
    """The page. Each of the `drawings` comes with its SVG."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "pages/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rem_per_inch = _PAGE_REM / PAGE_WIDTH  # so that letters are as large in all figures
    figures = [
        (drawing, _address(svg, "svg+xml"), round(rem_per_inch * drawing.figure.get_figwidth(), 1))
        for drawing, svg in drawings
    ]
    return environment.get_template(_TEMPLATE).render(
        provenance=results.provenance,
        summary=[unbroken(paragraph) for paragraph in summary(results, findings)],
        tables=_tables(results, findings),
        details=_with_rows([("All metrics", _METRICS, metric_cells(findings))]),
        texts=_TEXTS,
        figures=[*figures, *((sheet, _address(sheet.png, "png"), _PAGE_REM) for sheet in sheets)],
    )


def _tables(results: Results, findings: Findings) -> list[tuple[str, str, pd.DataFrame]]:
    """Title, caption and cells of each table at the top of the page."""
    has_networks = has_spread(results) and not results.provenance.search
    tables = [
        ("Trained again with new seeds", _REPEATS, repeat_cells(results)),
        ("Ranking", note(results), ranked_cells(results)),
        ("Networks over their seeds", _NETWORKS, network_cells(results) if has_networks else pd.DataFrame()),
        ("Compared with the first", _COMPARISONS, comparison_cells(findings)),
        ("Not ranked", "Trials that are not results, or not yet.", flagged_cells(results)),
    ]
    return _with_rows(tables)


def _with_rows(tables: list[tuple[str, str, pd.DataFrame]]) -> list[tuple[str, str, pd.DataFrame]]:
    return [(title, unbroken(caption), cells) for title, caption, cells in tables if len(cells)]


def _address(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
