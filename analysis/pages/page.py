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
from analysis.results.trials import Results, has_spread

_TEMPLATE = "report.html.j2"
_PAGE_REM = 56  # of a figure that is as wide as a journal's page
#: The columns that hold words, not numbers.
_TEXTS = ("network", "status", "reason", "on", "told apart")


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: a PNG, and its words."""

    title: str
    alt: str
    caption: str
    png: bytes


def report(
    results: Results, found: Findings, drawings: dict[str, Drawing], images: dict[str, bytes], sheets: Sequence[Sheet]
) -> str:
    """The page. `images` is the name of each drawing → its SVG."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "pages/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        provenance=results.provenance,
        summary=[unbroken(paragraph) for paragraph in summary(results, found) if paragraph],
        tables=_tables(results, found),
        details=_details(found),
        texts=_TEXTS,
        figures=[
            *((drawing, _address(images[name], "svg+xml"), _width(drawing)) for name, drawing in drawings.items()),
            *((sheet, _address(sheet.png, "png"), _PAGE_REM) for sheet in sheets),
        ],
    )


def _width(drawing: Drawing) -> float:
    """How wide a figure is shown, in rem: letters are as large in all of them."""
    return round(_PAGE_REM * drawing.figure.get_figwidth() / PAGE_WIDTH, 1)


def _tables(results: Results, found: Findings) -> list[tuple[str, str, pd.DataFrame]]:
    """Title, caption and cells of each table that has rows."""
    tables = [("Ranking", note(results), ranked_cells(results))]
    if len(repeats := repeat_cells(results)):
        caption = (
            "Mean and 95 % interval (Student's t) over n new seeds, in %. The seed that a trial was chosen by does not "
            "enter: the best of many is partly luck."
        )
        tables.insert(0, ("Trained again with new seeds", caption, repeats))
    if has_spread(results) and not results.provenance.search:
        caption = (
            "Mean ± standard deviation over n ranked trials, in %, and the 95 % interval of the mean (Student's t). "
            "Flagged trials do not enter."
        )
        tables.append(("Networks over their seeds", caption, network_cells(results)))
    caption = (
        "The first configuration less each other one, in points of accuracy on the same test images; p after Holm's "
        "correction for all pairs. AUC: DeLong's test, where each has one seed. Told apart: p of accuracy below 0.05."
    )
    tables.append(("Beside the first", caption, comparison_cells(found)))
    tables.append(("Not ranked", "Trials that are no results, or not yet.", flagged_cells(results)))
    return [(title, unbroken(caption), cells) for title, caption, cells in tables if len(cells)]


def _details(found: Findings) -> list[tuple[str, str, pd.DataFrame]]:
    """What stands at the end of the page."""
    caption = (
        "With 95 % intervals, at the threshold of the best balanced accuracy on validation, carried to test. FAKE is "
        "the positive class. ECE: 15 bins of equal width, and biased upwards. tables/metrics.csv has all trials."
    )
    cells = metric_cells(found)
    return [("All metrics", unbroken(caption), cells)] if len(cells) else []


def _address(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
