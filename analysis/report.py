"""python -m analysis ROOT/age: a sweep's record in; its tables, figures and report.html out, into the same folder."""

import shlex
import sys
import time
from collections.abc import Iterator
from functools import partial

import click
from rich.console import Console
from rich.table import Column

from analysis.detector.pictures import PICTURES, keep_pictures, kept_pictures
from analysis.detector.robustness_table import robustness_table
from analysis.explain import SHEETS, sheets
from analysis.figures import drawings, mistakes
from analysis.figures.style import COLUMN_WIDTH, FORMATS, PAGE_WIDTH, all_rendered
from analysis.pages.answer import Answer, answer
from analysis.pages.index import INDEX, index, records
from analysis.pages.page import Sheet, report
from analysis.pages.tables import files
from analysis.results.format import number, percent, plain_table
from analysis.results.judged import Findings, findings
from analysis.results.trials import Results, read, read_without_scores
from data_prep import Folder, copies, printable
from data_prep.escaping import as_csv
from data_prep.numbers import Real
from sweeps.record import shown
from trainables.record import MANIFEST, read_manifest, replicate
from trainables.training.metrics import SCORED_SPLITS, SELECTION_METRIC

_SECONDS_BETWEEN_LOOKS = 5.0
_MOST_SHOWN = 12
_NARROW = "_column"  # ends the name of a figure for one column of a journal


@click.command("report")
@click.argument("record")
@click.option("--wait", is_flag=True, hidden=True, help="First wait for a line on standard input.")
@click.option(
    "--watch", is_flag=True, help="First follow the sweep to its end, with a line whenever it has progressed."
)
@click.option("--open", "opens", is_flag=True, help="Show the page in a browser.")
@click.option(
    "--margin",
    type=Real(0, 50, min_open=True),
    metavar="POINTS",
    help="Points of accuracy within which networks are level; by default those that the sweep was given.",
)
@click.option("--data", help="Where the record's shards are, to show the images that most networks get wrong.")
def main(record: str, watch: bool, wait: bool, opens: bool, margin: float | None, data: str | None) -> None:
    """Write tables, figures and report.html into the folder RECORD, which a sweep filled, such as results/age.

    Of a folder of records, such as results, write index.html: every sweep, with its answer and a link to its report.
    """
    if wait and not _may_begin():
        return
    folder = Folder(record)
    if not folder.exists(MANIFEST) and records(folder):
        folder.write_bytes(INDEX, index(folder).encode())
        shown.say(folder, INDEX, opens)
        return
    for line in _changes(folder) if watch else ():
        click.echo(f"{time.strftime('%H:%M:%S')}  {printable(line)}")
    if margin is None and (data is None or folder.exists(PICTURES)) and shown.is_current(folder):
        click.echo(f"Report, tables and figures show what {folder} holds.")
    else:
        digest = shown.digest(folder)
        results = read(folder)
        judged = findings(results, margin if margin is None else margin / 100)
        first = answer(results, judged.compared, folder)
        if data is not None:
            keep_pictures(folder, results, mistakes.shown(judged).get("row", ()), Folder(data))
        written = _write(results, judged, first, digest, folder)
        _show(Console(), results)
        shown.write(folder, digest, " ".join([first.sentence, *results.provenance.caveats]), written)
    shown.say(folder, opens=opens)


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
        is_over = read_manifest(folder).wall_seconds is not None  # if so, the tables read below are final
        line = _progress(read_without_scores(folder))
        if line != last:
            yield line
        if is_over:
            return
        last = line
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _progress(results: Results) -> str:
    """How many trials have which status, the epochs done, and the best accuracy so far."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in results.trials["status"].value_counts().items())
    epochs = f"{len(results.epochs):,} of {results.trials['epochs'].sum():,} epochs"
    if not len(results.ranked):
        return f"{statuses}; {epochs}"
    best = results.ranked.loc[results.ranked[SELECTION_METRIC].idxmax()]
    return f"{statuses}; {epochs}; best validation accuracy {best[SELECTION_METRIC]:.4f} ({best['configuration']})"


def _write(results: Results, judged: Findings, first: Answer, digest: str, folder: Folder) -> list[str]:
    """Write every file, and delete figures of an earlier analysis that no longer apply. Returns the files' names."""
    draw = partial(drawings.figures, results, judged, robustness_table(folder), kept_pictures(folder, results))
    wide, narrow = draw(width=PAGE_WIDTH), draw(width=COLUMN_WIDTH)
    drawn = {name: drawing for name, drawing in wide.items() if drawing}
    both = drawn | {name + _NARROW: drawing for name, drawing in narrow.items() if drawing}
    images = all_rendered({name: drawing.figure for name, drawing in both.items()})
    names = [name + width for name in wide for width in ("", _NARROW)]
    contents = {
        **{f"tables/{name}": content for name, content in files(results, judged).items()},
        **{f"figures/{name}.{kind}": images.get(name, {}).get(kind) for name in names for kind in FORMATS},
        **{f"figures/{name}.csv": as_csv(drawn[name].data) if name in drawn else None for name in wide},
    }
    vectors = [(drawing, images[name]["svg"], images[name + _NARROW]["svg"]) for name, drawing in drawn.items()]
    pictures = [
        Sheet(folder.read_bytes(f"{SHEETS}/{name}"), *words)
        for name, *words in sheets(folder)
        if folder.exists(f"{SHEETS}/{name}")
    ]
    shards = results.provenance.manifest.data.shards or "SHARDS"
    with_shards = f"python -m analysis {shlex.quote(str(folder))} --data {shlex.quote(shards)}"
    unseen = ("", "") if "mistakes" in drawn else (mistakes.words(results, judged), with_shards)
    page = report(results, judged, first, digest, vectors, pictures, _near_copies(folder), unseen)
    contents[shown.REPORT] = page.encode()
    folder.write_all(contents)
    return [name for name, content in contents.items() if content is not None]


def _near_copies(folder: Folder) -> Sheet | None:
    """The contact sheet of near-copies, which the sweep has copied from the shards; None where there is none."""
    if not folder.exists(copies.SHEET):
        return None
    caption = (
        "The first pairs of near-copies that data_prep found, those between splits before others. Under each image: "
        f"its split and label. {copies.TABLE}, beside the shards, lists all pairs."
    )
    return Sheet(folder.read_bytes(copies.SHEET), "Near-copies", "Contact sheet of pairs of near-copies.", caption)


def _show(console: Console, results: Results) -> None:
    """Print the top of the ranking, and the flagged trials by reason."""
    columns = [Column("rank"), Column("network", overflow="fold")]
    names = ["seed", *["training set"] * results.has_training_sets, "validation %", "test %", "clean test %", "s"]
    columns += [Column(name, justify="right") for name in names]
    rows = [
        [
            *(str(row["rank"]), row["configuration"], str(row["seed"])),
            *[str(row["training_subset"])] * results.has_training_sets,
            *(percent(row[f"{split}_accuracy"]) for split in SCORED_SPLITS),
            number(row["wall_seconds"], 0),
        ]
        for row in results.ranked.head(_MOST_SHOWN).to_dict("records")
    ]
    console.print(plain_table(columns, rows, pad_edge=False) if rows else "No trial is ranked yet.")
    more = len(results.ranked) - _MOST_SHOWN
    lines = [f"… and {more:,} more."] if more > 0 else []
    for (status, reason), trials in results.flagged.groupby(["status", "reason"], sort=False):
        names = [f"{row['configuration']} ({replicate(row)})" for _, row in trials.iterrows()]
        lines.append(f"{status}: {_first_of(names, ', ')}: {reason}")
    for line in lines:
        console.print(printable(line), markup=False, highlight=False)


def _first_of(names: list[str], separator: str) -> str:
    more = f" and {len(names) - _MOST_SHOWN:,} more" if len(names) > _MOST_SHOWN else ""
    return separator.join(names[:_MOST_SHOWN]) + more
