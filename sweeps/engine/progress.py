"""A sweep's progress, for a person: a live bar in a terminal, lines in a log."""

import json
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from sweeps.record.writer import Record

if TYPE_CHECKING:
    from sweeps.searching.study import Search

_SECONDS_BETWEEN_LOG_LINES = 30.0


class Display:
    """What a sweep shows while it runs, starting from where its record stands. A search makes its trials as it goes."""

    def __init__(self, record: Record, search: "Search | None" = None) -> None:
        self._console = Console(highlight=False)
        self._is_search = search is not None
        trials = [row for row in record.trials.values() if not search or row.get("number") is not None]
        over = [row for row in trials if record.is_over(row["trial"])]
        self._trials, self._finished = search.trials if search else len(trials), len(over)
        self._done = self._before = sum(int(row["epochs_done"]) for row in trials)
        epochs = search.trials * search.epochs if search else sum(int(row["epochs"]) for row in trials)
        self._epochs = epochs - sum(map(_epochs_saved, over))
        self._started = self._said = time.monotonic()
        known = [
            (row["validation_accuracy"], record.trials[trial]["network"]) for (trial, _), row in record.epochs.items()
        ]
        self._best: tuple[float, str] | None = max(known, default=None)
        columns = [BarColumn(), TaskProgressColumn(), TextColumn("{task.description}")]
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("starting", total=self._epochs, completed=self._done)

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epochs(self, network: str, rows: list[dict[str, Any]], known: int) -> None:
        """Epochs of a trial arrived, of which `known` were counted before."""
        self._done += len(rows) - known
        for row in rows:
            self._best = max(self._best or (0.0, ""), (row["validation_accuracy"], network))
        self._show()

    def ended(self, row: dict[str, Any]) -> None:
        """A trial is over: `row` is its row of the record."""
        self._finished += 1
        self._epochs -= _epochs_saved(row)
        told = f"#{row['number']} {row['network']}" if self._is_search else f"{_named(row)} (seed {row['seed']})"
        if row["status"] in ("finished", "stopped"):
            result = f"validation accuracy {row['validation_accuracy']:.4f} at epoch {row['best_epoch']}"
            result += f", stopped after {row['epochs_done']}" if row["status"] == "stopped" else ""
        else:
            result = f"{row['status']}: {row['reason']}"
        line = f"{self._finished:>4}/{self._trials}  {told:<24} {result}, {row.get('wall_seconds') or 0:.0f} s"
        self._console.print(line, markup=False, soft_wrap=True)

    def _show(self) -> None:
        told = self._describe()
        self._bar.update(self._task, completed=self._done, total=self._epochs, description=told)
        if not self._console.is_terminal and time.monotonic() - self._said > _SECONDS_BETWEEN_LOG_LINES:
            self._said = time.monotonic()
            self._console.print(f"     {told}", soft_wrap=True)

    def _describe(self) -> str:
        told = f"{self._finished}/{self._trials} trials, {self._done}/{self._epochs} epochs"
        if self._best:
            told += f", best validation accuracy {self._best[0]:.4f} ({self._best[1]})"
        new = self._done - self._before
        if new:
            left = (time.monotonic() - self._started) / new * (self._epochs - self._done)
            told += f", {'at most ' if self._is_search else ''}{duration(left)} left"
        return told


def _named(row: dict[str, Any]) -> str:
    """The network, with the options that it was given."""
    return " ".join([row["network"], *(f"{name}={value}" for name, value in json.loads(row["arguments"]).items())])


def _epochs_saved(row: dict[str, Any]) -> int:
    """How many of its epochs a trial that is over was not trained for."""
    return int(row["epochs"]) - int(row["epochs_done"])


def duration(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
