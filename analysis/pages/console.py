"""Results → what the terminal shows: the progress of a sweep, and the top of the ranking."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Column, Table

from analysis.results.format import number, percent
from analysis.results.judged import Findings
from analysis.results.trials import Results
from trainables.training.metrics import SELECTION_METRIC, SPLITS

_MOST_SHOWN = 12


def progress(results: Results) -> str:
    """How many trials have which status, the epochs done, and the best accuracy so far."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in results.trials["status"].value_counts().items())
    epochs = f"{len(results.epochs):,} of {results.trials['epochs'].sum():,} epochs"
    if not len(results.ranked):
        return f"{statuses}; {epochs}"
    best = results.ranked.loc[results.ranked[SELECTION_METRIC].idxmax()]
    return f"{statuses}; {epochs}; best validation accuracy {best[SELECTION_METRIC]:.4f} ({best['configuration']})"


def show(console: Console, results: Results, findings: Findings) -> None:
    """Print the top of the ranking, the flagged trials by reason, and what must be said beside the numbers."""
    columns = [Column("rank"), Column("network", overflow="fold")]
    columns += [Column(name, justify="right") for name in ("seed", "validation %", "test %", "clean test %", "s")]
    rows = [
        [
            *(str(row["rank"]), row["configuration"], str(row["seed"])),
            *(percent(row[f"{split}_accuracy"]) for split in SPLITS),
            number(row["wall_seconds"], 0),
        ]
        for row in results.ranked.head(_MOST_SHOWN).to_dict("records")
    ]
    console.print(plain_table(columns, rows, pad_edge=False) if rows else "No trial is ranked yet.")
    more = len(results.ranked) - _MOST_SHOWN
    lines = [f"… and {more:,} more."] if more > 0 else []
    for (status, reason), trials in results.flagged.groupby(["status", "reason"], sort=False):
        names = [f"{row['configuration']} (seed {row['seed']})" for _, row in trials.iterrows()]
        lines.append(f"{status}: {_first_of(names, ', ')}: {reason}")
    if level := findings.level_with_first():
        first = findings.comparisons["configuration"].iloc[0]
        lines.append(f"On the same test images {first} cannot be told apart from {_first_of(level, '; ')}.")
    for line in [*lines, *results.provenance.caveats]:
        console.print(line, markup=False, highlight=False)


def _first_of(names: list[str], separator: str) -> str:
    more = f" and {len(names) - _MOST_SHOWN:,} more" if len(names) > _MOST_SHOWN else ""
    return separator.join(names[:_MOST_SHOWN]) + more


def plain_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], pad_edge: bool = True) -> Table:
    """A table with a line under its headings and none around it."""
    table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=pad_edge)
    for row in rows:
        table.add_row(*row)
    return table
