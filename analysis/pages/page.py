"""Results and drawings → one page of HTML that needs nothing else: no file beside it, no network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.figures.style import Drawing
from analysis.pages.answer import Answer
from analysis.pages.checklist import checklist
from analysis.pages.environment import ENVIRONMENT
from analysis.pages.summary import summary
from analysis.pages.tables import (
    configuration_cells,
    flagged_cells,
    metric_cells,
    network_cells,
    networks_note,
    pair_cells,
    probability_cells,
    ranked_cells,
    ranking_note,
    repeat_cells,
    spread_cells,
    trial_metric_cells,
    verdict_cells,
)
from analysis.results.judged import Findings
from analysis.results.seeds import has_spread
from analysis.results.trials import Results

#: What is said of mistakes of which no picture is at hand, and the command that shows them; or two empty texts.
Unseen = tuple[str, str]


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: a PNG, and its words."""

    png: bytes
    title: str
    alt: str
    caption: str


def report(
    results: Results,
    findings: Findings,
    answer: Answer,
    digest: str,
    drawings: Sequence[tuple[Drawing, bytes, bytes]],
    sheets: Sequence[Sheet],
    near_copies: Sheet | None,
    unseen: Unseen,
) -> str:
    """The page, of a record with this digest. Each of the `drawings` comes with its SVG, and the one for a phone."""
    return ENVIRONMENT.get_template("report.html.j2").render(
        provenance=results.provenance,
        answer=answer,
        digest=digest,
        summary=summary(results, findings),
        repeats=repeat_cells(results),
        ranking=ranked_cells(results),
        ranking_note=ranking_note(results),
        networks=network_cells(results) if has_spread(results) and not results.provenance.search else (),
        networks_note=networks_note(results),
        verdicts=verdict_cells(findings),
        pairs=pair_cells(findings),
        compared=findings.compared,
        scope=results.scope,
        unit=results.unit,
        spread=spread_cells(findings),
        probabilities=probability_cells(findings),
        validation_images=results.images("validation"),
        checklist=checklist(results, findings.compared),
        flagged=flagged_cells(results),
        configurations=configuration_cells(results),
        metrics=metric_cells(findings),
        trial_metrics=trial_metric_cells(findings),
        figures=[*(_figure(*drawn) for drawn in drawings), *map(_picture, sheets)],
        unseen=unseen,
        near_copies=_picture(near_copies) if near_copies else None,
    )


def _figure(drawing: Drawing, wide: bytes, narrow: bytes) -> tuple[Drawing, str, str]:
    """A drawing, its image, and the one for a phone."""
    return drawing, _address(wide, "svg+xml"), _address(narrow, "svg+xml")


def _picture(sheet: Sheet) -> tuple[Sheet, str, str]:
    return sheet, _address(sheet.png, "png"), ""


def _address(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
