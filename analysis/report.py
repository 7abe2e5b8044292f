"""python -m analysis ROOT/age: a sweep's record in; its tables, figures and report.html out, into the same folder."""

import sys
import time
from collections.abc import Iterator

import click
from rich.console import Console

from analysis.detector.robustness_table import robustness_table
from analysis.explain import SHEETS, sheets
from analysis.figures import drawings
from analysis.figures.style import FORMATS, all_rendered
from analysis.pages.console import progress, show
from analysis.pages.page import Sheet, report
from analysis.pages.tables import files
from analysis.results.judged import Findings, findings
from analysis.results.trials import Results, read, read_without_scores
from data_prep import Folder
from trainables.record import read_manifest

_REPORT = "report.html"
_SECONDS_BETWEEN_LOOKS = 5.0


@click.command("report")
@click.argument("record")
@click.option("--wait", is_flag=True, hidden=True, help="First wait for a line on standard input.")
@click.option(
    "--watch", is_flag=True, help="First follow the sweep to its end, with a line whenever it has progressed."
)
def main(record: str, watch: bool, wait: bool) -> None:
    """Write tables, figures and report.html into the folder RECORD, which a sweep filled, such as results/age."""
    if wait and not _may_begin():
        return
    folder = Folder(record)
    for line in _changes(folder) if watch else ():
        click.echo(f"{time.strftime('%H:%M:%S')}  {line}")
    results = read(folder)
    judged = findings(results)
    written = _write(results, judged, folder)
    show(Console(), results, judged)
    click.echo("\n".join(f"{folder}/{name}" for name in written))


def _may_begin() -> bool:
    """Wait for a line; False if standard input ends, or Ctrl-C comes, without one: the sweep was then cut short."""
    try:
        return bool(sys.stdin.readline())
    except KeyboardInterrupt:
        return False


def _changes(folder: Folder) -> Iterator[str]:
    """The progress of a sweep, a line whenever it has changed, until the sweep is over. Raises InputError."""
    last = ""
    while True:
        is_over = read_manifest(folder).get("wall_seconds") is not None  # read before the tables, which are final then
        line = progress(read_without_scores(folder))
        if line != last:
            yield line
        if is_over:
            return
        last = line
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _write(results: Results, judged: Findings, folder: Folder) -> list[str]:
    """Write every file, and delete those of an earlier analysis that this record lacks. Returns what to look at."""
    figures = drawings.figures(results, judged, robustness_table(folder))
    drawn = {name: drawing for name, drawing in figures.items() if drawing}
    images = all_rendered({name: drawing.figure for name, drawing in drawn.items()})
    contents = {
        **{f"tables/{name}": content for name, content in files(results, judged).items()},
        **{f"figures/{name}.{kind}": images.get(name, {}).get(kind) for name in figures for kind in FORMATS},
    }
    for name, content in contents.items():
        if content is None:
            folder.delete(name)
        else:
            folder.write_bytes(name, content)
    shown = [(drawing, images[name]["svg"]) for name, drawing in drawn.items()]
    pictures = [
        Sheet(*words, folder.read_bytes(f"{SHEETS}/{name}"))
        for name, *words in sheets(folder)
        if folder.exists(f"{SHEETS}/{name}")
    ]
    folder.write_bytes(_REPORT, report(results, judged, shown, pictures).encode())
    return [_REPORT, "tables/", *(["figures/"] if drawn else [])]
