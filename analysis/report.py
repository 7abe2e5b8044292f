"""Study and drawings → one page of HTML that needs nothing else: no file beside it, no network."""

import base64

import jinja2
import pandas as pd

from analysis._summary import summary
from analysis.figures import Drawing
from analysis.frames import Study, has_seeds
from analysis.tables import flagged_cells, network_cells, note, ranked_cells, repeat_cells, unbroken

_TEMPLATE = "report.html.j2"


def report(study: Study, drawings: dict[str, Drawing], images: dict[str, bytes]) -> str:
    """The page. `images` is the name of each drawing → its SVG."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        provenance=study.provenance,
        summary=[unbroken(paragraph) for paragraph in summary(study)],
        tables=_tables(study),
        figures=[(name, drawing, _data_address(images[name])) for name, drawing in drawings.items()],
    )


def _tables(study: Study) -> list[tuple[str, str, pd.DataFrame]]:
    """Title, caption and cells of each table that has rows."""
    tables = [("Ranking", note(study), ranked_cells(study))]
    if len(repeats := repeat_cells(study)):
        caption = (
            "Mean and 95 % interval (Student's t) over n new seeds, in %. The seed that a trial was chosen by does not "
            "enter: the best of many is partly luck."
        )
        tables.insert(0, ("Trained again with new seeds", caption, repeats))
    if has_seeds(study.results) and not study.provenance.search:
        caption = "Mean ± standard deviation over n ranked trials, in %. Flagged trials do not enter."
        tables.append(("Networks over their seeds", caption, network_cells(study)))
    tables.append(("Not ranked", "Trials that are no results, or not yet.", flagged_cells(study)))
    return [(title, unbroken(caption), cells) for title, caption, cells in tables if len(cells)]


def _data_address(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
