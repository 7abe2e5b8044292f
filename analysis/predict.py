"""python -m analysis predict RESULTS[:TRIAL] IMAGES…: what a trained network says of images, one row each."""

import csv
import io
import itertools
import json
import os
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
from data_prep.errors import InputError
from data_prep.layout import LABEL_NAMES
from data_prep.storage import Folder

_FORMATS = ("csv", "json", "table")


@click.command()
@click.argument("target", metavar="RESULTS[:TRIAL]")
@click.argument("images", nargs=-1, required=True)
@click.option("--format", "kind", type=click.Choice(_FORMATS), help="Default: table on a terminal, else csv.")
@click.option("--out", help="A file to write instead of standard output.")
def main(target: str, images: tuple[str, ...], kind: str | None, out: str | None) -> int:
    """Say of each of IMAGES whether it is REAL or FAKE, by a network of the record RESULTS, such as results/age.

    IMAGES are files, folders, or `-` for a list of paths on standard input. TRIAL is a network, or a trial's identity;
    without it the best trial on validation is taken. Exit code 1: some could not be read, and their rows say why.
    """
    names = paths(images)
    first = next(names, None)
    if first is None:
        raise InputError("Standard input lists no images; give it a path a line.")
    detector = Detector.of(stored(target))
    tally: Counter[str] = Counter()
    rows = _counted(detector.rows(itertools.chain([first], names)), tally)
    write = _WRITERS[kind or ("table" if out is None and sys.stdout.isatty() else _kind_of(out))]
    if out:
        parent, name = os.path.split(out)
        Folder(parent or ".").write_bytes(name, b"".join(map(_bytes, write(rows))))
    else:
        for text in write(rows):
            click.echo(_bytes(text), nl=False)
    click.echo(summary(detector, tally), err=True)
    return int(bool(tally["unreadable"]))


def summary(detector: Detector, tally: Counter[str]) -> str:
    """What was found by which network, and what must be known about its numbers."""
    counts = ", ".join(f"{tally[name]:,} {name}" for name in (*LABEL_NAMES, "unreadable"))
    found = detector.found
    who = f"By {found.name} of {found.folder}: FAKE above a logit of {detector.threshold:.4g}, best on validation."
    return "\n".join([f"{tally.total():,} images: {counts}.", who, *found.results.provenance.caveats])


def _counted(rows: Iterable[Row], tally: Counter[str]) -> Iterator[Row]:
    for row in rows:
        tally[row.verdict or "unreadable"] += 1
        yield row


def _kind_of(out: str | None) -> str:
    return "json" if out and out.endswith(".json") else "csv"


def _bytes(text: str) -> bytes:
    """A path that is no valid text comes out as it came in."""
    return text.encode("utf-8", "surrogateescape")


def _csv(rows: Iterable[Row]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.DictWriter(line, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        yield _emptied(line)
        writer.writerow(asdict(row) | {"warnings": "; ".join(row.warnings)})
    yield _emptied(line)


def _emptied(line: io.StringIO) -> str:
    text = line.getvalue()
    line.seek(0)
    line.truncate()
    return text


def _json(rows: Iterable[Row]) -> Iterator[str]:
    before = "["
    for row in rows:
        yield f"{before}\n  {json.dumps(asdict(row))}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _table(rows: Iterable[Row]) -> Iterator[str]:
    numbers = [Column(name, justify="right", no_wrap=True) for name in ("FAKE %", "logit")]
    image, remarks = (Column(name, overflow="fold") for name in ("image", "what to know"))
    table = Table(image, *numbers, Column("verdict"), remarks, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for row in rows:
        share = None if row.probability_fake is None else 100 * row.probability_fake
        told = "; ".join([*row.warnings, *filter(None, [row.error])])
        found = [_number(share, 1), _number(row.logit, 2), row.verdict or "–"]
        table.add_row(Text(_printable(row.path)), *found, Text(_printable(told)))
    text = io.StringIO()
    Console(file=text, width=shutil.get_terminal_size().columns).print(table)
    yield text.getvalue()


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _printable(path: str) -> str:
    """A path without what would steer a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in path)


_WRITERS: dict[str, Callable[[Iterable[Row]], Iterator[str]]] = {"csv": _csv, "json": _json, "table": _table}
