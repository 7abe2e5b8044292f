"""python -m analysis ROOT/age: a sweep's record in, its tables, figures and report.html out, into the same folder.

The other commands are in files of their own name: `python -m analysis --help` lists them.
"""

import importlib
import sys
import time

import click
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Column, Table

from analysis.detector.robustness_table import robustness_table
from analysis.explain import SHEETS, sheets
from analysis.figures.drawings import figures
from analysis.figures.style import all_rendered
from analysis.pages.page import Sheet, report
from analysis.pages.tables import files
from analysis.results.format import number, percent
from analysis.results.judged import Findings, findings
from analysis.results.trials import SPLITS, Results, read
from analysis.results.watch import changes
from data_prep.errors import run_command
from data_prep.storage import Folder

_MOST_SHOWN = 12
_REPORT = "report.html"
_SEARCH = [f"search_{name}" for name in ("history", "rungs", "slices", "parallel", "importance", "pareto")]
_OF_SCORES = ["accuracy", "pairs", "confusion", "roc", "reliability", "classes"]
_FIGURES = [
    "curves",
    "grid",
    *_OF_SCORES,
    *_SEARCH,
]  # `robustness` writes its own
_PLAIN_TABLES = ["metrics", "comparisons", "classes", "repeats", "front", "importance"]
_OURS = [
    *[f"tables/{name}.{kind}" for name in ("results", "networks") for kind in ("csv", "parquet", "md")],
    *[f"tables/{name}.{kind}" for name in _PLAIN_TABLES for kind in ("csv", "parquet")],
    *[f"figures/{name}.{kind}" for name in _FIGURES for kind in ("png", "svg", "pdf")],
]
_NUMBERS = [Column(name, justify="right") for name in ("seed", "validation %", "test %", "clean test %", "s")]


#: The commands besides `report`; each is `main` of the file of that name.
_COMMANDS = ("robustness", "explain", "compare", "predict", "export")


class _Commands(click.Group):
    """Commands that are imported when they are called. Without the name of one it is `report`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_named = bool(args) and args[0] in (*_COMMANDS, "report", "--help")
        return super().parse_args(ctx, args if is_named else ["report", *args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["report", *_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"analysis.{cmd_name}").main
        return command


@click.group(cls=_Commands, no_args_is_help=False)
def main() -> None:
    """Make tables, figures and a report of a sweep's record, and use its networks."""


@main.command("report")
@click.argument("record")
@click.option("--wait", is_flag=True, hidden=True, help="First wait for a line on standard input.")
@click.option("--watch", is_flag=True, help="First follow the sweep until it is over, a line whenever it has got on.")
def _report(record: str, watch: bool, wait: bool) -> None:
    """Write tables, figures and report.html into the folder RECORD, which a sweep filled, such as results/age."""
    if wait and not _is_told():
        return
    folder = Folder(record)
    for told in changes(folder) if watch else ():
        click.echo(f"{time.strftime('%H:%M:%S')}  {told}")
    results = read(folder)
    found = findings(results)
    written = _write(results, found, folder)
    _show(Console(), results, found)
    click.echo("\n".join([f"{folder}/{name}" for name in written]))


def _is_told() -> bool:
    """Wait for a line; False if standard input ends, or Ctrl-C comes, without one: the sweep then has ended so."""
    try:
        return bool(sys.stdin.readline())
    except KeyboardInterrupt:
        return False


def _write(results: Results, found: Findings, folder: Folder) -> list[str]:
    """Write every file and delete those of an earlier analysis that this one has not. Returns what to look at."""
    drawings = figures(results, found, robustness_table(folder))
    images = all_rendered({name: drawing.figure for name, drawing in drawings.items()})
    contents = {f"tables/{name}": content for name, content in files(results, found).items()}
    contents |= {f"figures/{name}.{kind}": image for name, kinds in images.items() for kind, image in kinds.items()}
    for name in _OURS:
        if name not in contents:
            folder.delete(name)
    for name, content in contents.items():
        folder.write_bytes(name, content)
    vectors = {name: kinds["svg"] for name, kinds in images.items()}
    folder.write_bytes(_REPORT, report(results, found, drawings, vectors, _sheets(folder)).encode())
    return [_REPORT, "tables/", *(["figures/"] if drawings else [])]


def _sheets(folder: Folder) -> list[Sheet]:
    """The contact sheets that `python -m analysis explain` has left in the record."""
    place = folder.folder(SHEETS)
    return [
        Sheet(title, alt, caption, place.read_bytes(name))
        for name, title, alt, caption in sheets(folder)
        if place.exists(name)
    ]


def _show(console: Console, results: Results, found: Findings) -> None:
    """Print the top of the ranking, the flagged trials by reason, and what must be said beside the numbers."""
    console.print(_ranking(results.ranked.head(_MOST_SHOWN)) if len(results.ranked) else "No trial is ranked yet.")
    lines = [f"… and {len(results.ranked) - _MOST_SHOWN:,} more."] if len(results.ranked) > _MOST_SHOWN else []
    for (status, reason), trials in results.flagged.groupby(["status", "reason"], sort=False):
        names = [f"{row['configuration']} (seed {row['seed']})" for _, row in trials.iterrows()]
        more = f" and {len(names) - _MOST_SHOWN:,} more" if len(names) > _MOST_SHOWN else ""
        lines.append(f"{status}: {', '.join(names[:_MOST_SHOWN])}{more}: {reason}")
    level = found.level_with_first()
    if level:
        first, others = found.comparisons["configuration"].iloc[0], "; ".join(level[:_MOST_SHOWN])
        rest = f" and {len(level) - _MOST_SHOWN} more" if len(level) > _MOST_SHOWN else ""
        lines.append(f"On the same test images {first} cannot be told apart from {others}{rest}.")
    for line in [*lines, *results.provenance.caveats]:
        console.print(line, markup=False, highlight=False)


def _ranking(ranked: pd.DataFrame) -> Table:
    columns = [Column("rank"), Column("network", overflow="fold"), *_NUMBERS]
    table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for _, row in ranked.iterrows():
        accuracies = [percent(row[f"{split}_accuracy"]) for split in SPLITS]
        table.add_row(
            str(row["rank"]), row["configuration"], str(row["seed"]), *accuracies, number(row["wall_seconds"], 0)
        )
    return table


if __name__ == "__main__":
    run_command(main)
