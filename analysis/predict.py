"""python -m analysis predict RESULTS[:TRIAL] IMAGES…: a trained network's verdicts on images, one row each."""

import csv
import io
import itertools
import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields

import click
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from analysis.detector.detector import Detector, Row
from analysis.detector.image_files import paths
from analysis.detector.stored import stored
from analysis.results.decisions import calibration
from analysis.results.format import number
from data_prep import Folder, InputError, printable
from data_prep.errors import ENDS, is_read
from data_prep.escaping import no_formula
from data_prep.layout.vocabulary import LABEL_NAMES
from data_prep.numbers import Real
from sweeps.stats.intervals import intervals
from trainables.training.metrics import judge

_UNREADABLE = "unreadable"


@click.command()
@click.argument("target", metavar="RESULTS[:TRIAL]")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--format", "kind", type=click.Choice(["csv", "json", "table"]), help="Default: table on a terminal, else csv."
)
@click.option("--out", help="A file to write instead of standard output.")
@click.option(
    "--prior",
    type=Real(0, 1, min_open=True, max_open=True),
    help="The share of FAKE to expect among the images; by default as in validation.",
)
@click.option(
    "--false-alarms",
    type=Real(0, 0.5, min_open=True),
    help="Set the threshold by the share of REAL validation images that may be called FAKE.",
)
def main(
    target: str,
    images: tuple[str, ...],
    kind: str | None,
    out: str | None,
    prior: float | None,
    false_alarms: float | None,
) -> int:
    """Say of each of IMAGES whether it is REAL or FAKE, by a network of the record RESULTS, such as results/age.

    IMAGES are files, folders, or `-` for a list of paths on standard input. TRIAL is a network, or a trial's identity;
    without it the best trial on validation is taken. Exit code 1: some could not be read, and their rows say why.
    """
    names = paths(images)
    first = next(names, None)
    if first is None:
        raise InputError("Standard input lists no images; give it a path a line.")
    if prior is not None and false_alarms is not None:
        raise InputError("--prior and --false-alarms both set the threshold; give one of them.")
    detector = Detector.of(stored(target), prior, false_alarms)
    tally: Counter[str] = Counter()
    rows = _counted(detector.rows(itertools.chain([first], names)), tally)
    default = "json" if out and out.endswith(".json") else "table" if not out and sys.stdout.isatty() else "csv"
    # A path that is no valid text comes out as it came in.
    lines = (text.encode("utf-8", "surrogateescape") for text in _WRITERS[kind or default](rows))
    if out is not None:
        parent, slash, name = Folder(out).location.rpartition("/")
        Folder(parent + slash or ".").write_bytes(name, b"".join(lines))
    else:
        for line in lines:
            click.echo(line, nl=False)
            if not is_read():
                return ENDS["unread"].code
    click.echo(summary(detector, tally), err=True)
    return ENDS["unread" if tally[_UNREADABLE] else "done"].code


def summary(detector: Detector, tally: Counter[str]) -> str:
    """How many images got which verdict, from which network, and the caveats of its record."""
    counts = ", ".join(f"{tally[name]:,} {name}" for name in (*LABEL_NAMES, _UNREADABLE))
    rule = (
        f"By {detector.stored.name} of {detector.stored.folder}: FAKE above a probability of "
        f"{detector.probability:.4g}, a logit of {detector.threshold:.4g}: {detector.rule}."
    )
    caveats = detector.stored.results.provenance.caveats
    return "\n".join([f"{tally.total():,} images: {counts}.", rule, *quality(detector), *caveats])


def quality(detector: Detector) -> list[str]:
    """How good threshold and probabilities are on the record's test images, in sentences; none where it has none."""
    parts = detector.stored.results.scores.parts
    if not {"validation", "test"} <= set(parts):
        return []
    labels, logits = detector.stored.scores("test")
    clusters = parts["test"].clusters
    reals = labels == 0
    alarms = intervals(labels, logits, detector.threshold, clusters)["recall_real"]
    rate = float((logits[reals] > detector.threshold).mean())
    slope, offset = calibration(*detector.stored.scores("validation"))
    changed = slope * logits.astype(float) + offset
    before, after = judge(labels, logits), judge(labels, changed)
    low, high = intervals(labels, changed, clusters=clusters)["ece"]
    return [
        f"On {reals.sum():,} REAL test images of the record it calls {100 * rate:.2f} % FAKE (95 % interval "
        f"{100 * (1 - alarms[1]):.2f}–{100 * (1 - alarms[0]):.2f} %).",
        f"Probabilities are calibrated on {len(parts['validation']):,} validation images (slope {slope:.2f}): on "
        f"{len(labels):,} test images the log loss goes from {before['log_loss']:.4f} to {after['log_loss']:.4f}, the "
        f"calibration error from {before['ece']:.4f} to {after['ece']:.4f} (95 % interval {low:.4f}–{high:.4f}).",
    ]


def _counted(rows: Iterable[Row], tally: Counter[str]) -> Iterator[Row]:
    for row in rows:
        tally[row.verdict or _UNREADABLE] += 1
        yield row


def _csv(rows: Iterable[Row]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.DictWriter(line, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    safe = printable if sys.stdout.isatty() else str  # a terminal obeys what a file keeps
    for row in rows:
        cells = asdict(row) | {"warnings": "; ".join(row.warnings)}
        cells = {name: safe(cell) if isinstance(cell, str) else cell for name, cell in cells.items()}
        writer.writerow({name: no_formula(cell) for name, cell in cells.items()})
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _json(rows: Iterable[Row]) -> Iterator[str]:
    before = "["
    for row in rows:
        yield f"{before}\n  {json.dumps(asdict(row))}"
        before = ","
    yield "\n]\n"


def _table(rows: Iterable[Row]) -> Iterator[str]:
    numbers = [Column(name, justify="right", no_wrap=True) for name in ("FAKE %", "logit")]
    image, remarks = (Column(name, overflow="fold") for name in ("image", "remarks"))
    table = Table(image, *numbers, Column("verdict"), remarks, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for row in rows:
        share, logit = (math.nan if value is None else value for value in (row.probability_fake, row.logit))
        path, text = (printable(text) for text in (row.path, "; ".join(filter(None, [*row.warnings, row.error]))))
        table.add_row(Text(path), number(100 * share, 1), number(logit, 2), row.verdict or "–", Text(text))
    output = io.StringIO()
    Console(file=output, width=shutil.get_terminal_size().columns).print(table)
    yield output.getvalue()


_WRITERS: dict[str, Callable[[Iterable[Row]], Iterator[str]]] = {"csv": _csv, "json": _json, "table": _table}
