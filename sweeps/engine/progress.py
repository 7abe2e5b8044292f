"""A sweep's progress, for a person: a live bar in a terminal or a notebook, lines in a log."""

import html
import json
import math
import time
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column, Table

from sweeps.engine.sweep import Sweep
from sweeps.record.writer import Record
from trainables.record import replicate
from trainables.training.metrics import SELECTION_METRIC
from trainables.training.recipe import Recipe

_SECONDS_BETWEEN_LOG_LINES = 30.0


class Display:
    """What a sweep shows while it runs, starting from where its record stands.

    Trials that are planned and not in the record yet count with the epochs of the first representative.
    """

    def __init__(self, sweep: Sweep, record: Record) -> None:
        self._is_in_notebook: bool = Console().is_jupyter
        # A kernel asks for colours, as a terminal would, and then shows a bar's every move.
        self._console = Console(
            highlight=False, force_jupyter=False, force_terminal=False if self._is_in_notebook else None
        )
        self._notebook_bar: Any = None
        self._strategy, self._record = sweep.strategy, record
        self._epochs_of_unknown = sweep.strategy.representatives[0].epochs
        self._unknown, self._epochs = sweep.strategy.planned, sweep.strategy.planned * self._epochs_of_unknown
        self._known: set[str] = set()
        self._numbers: dict[Recipe, int] = {}  # in the study of a search, of recipes without their seeds
        self._finished = self._done = 0
        for row in record.trials.values():
            self.added(row)
            self._done += int(row["epochs_done"])
            if record.is_complete(row["trial"]):
                self._count_ended(row)
        self._before = self._done
        self._started = self._logged = time.monotonic()
        self._best: tuple[float, str] | None = None
        for trial, epochs in record.epochs.items():
            for epoch in epochs.values():
                self._note(epoch, record.trials[trial])
        columns = [BarColumn(12), TaskProgressColumn(), TextColumn("{task.description}", table_column=Column())]
        #: The live bar, a context.
        self.bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal, transient=True)
        self._task = self.bar.add_task("starting", total=self._epochs, completed=self._done)

    def added(self, row: dict[str, Any]) -> None:
        """Count a trial that is in the record, unless it has been counted."""
        if row["trial"] in self._known:
            return
        self._known.add(row["trial"])
        self._epochs += int(row["epochs"])
        if self._unknown:
            self._unknown -= 1
            self._epochs -= self._epochs_of_unknown
        if row.get("number") is not None:
            self._numbers[self._without_seed(row)] = row["number"]

    def _without_seed(self, row: dict[str, Any]) -> Recipe:
        return replace(self._record.recipe(row["trial"]), seed=0)

    def epoch(self, row: dict[str, Any], epoch: dict[str, Any], is_new: bool) -> None:
        """Show an epoch of a trial: `row` is the trial's row of the record."""
        self._done += is_new
        self._note(epoch, row)
        text = self._update()
        is_log = not (self._is_in_notebook or self._console.is_terminal)
        if is_log and time.monotonic() - self._logged > _SECONDS_BETWEEN_LOG_LINES:
            self._logged = time.monotonic()
            self._console.print(f"     {text}", soft_wrap=True)

    def _update(self) -> str:
        """Move the bar, and return what stands beside it."""
        text = self.describe()
        self.bar.update(self._task, completed=self._done, total=self._epochs, description=text)
        if self._is_in_notebook:
            self._show_in_notebook(text)
        return text

    def _show_in_notebook(self, text: str) -> None:
        """Update the bar in its place. Without ipywidgets, rich's would be a new one each time."""
        from IPython.display import display

        bar = f'<progress value="{self._done}" max="{self._epochs}"></progress> {html.escape(text)}'
        content = {"text/plain": text, "text/html": bar}
        if self._notebook_bar:
            self._notebook_bar.update(content, raw=True)
        else:
            self._notebook_bar = display(content, raw=True, display_id=True)

    def ended(self, row: dict[str, Any]) -> None:
        """Show that a trial is over."""
        self._count_ended(row)
        result = f"{row['status']}: {row['reason']}"
        if row["status"] in ("finished", "stopped"):
            result = f"{SELECTION_METRIC.replace('_', ' ')} {row[SELECTION_METRIC]:.4f} at epoch {row['best_epoch']}"
            result += f", stopped after {row['epochs_done']}" if row["status"] == "stopped" else ""
        cells = (
            f"{self._finished:>4}/{self._trials}",
            self._name(row),
            f"{result}, {row.get('wall_seconds') or 0:.0f} s",
        )
        if self._console.is_terminal:
            line = Table.grid(Column(no_wrap=True), Column(min_width=24), Column(), padding=(0, 2, 0, 0))
            line.add_row(*map(escape, cells))
            self._console.print(line)
        else:
            self._console.print(f"{cells[0]}  {cells[1]:<24} {cells[2]}", markup=False, soft_wrap=True)
        self._update()

    def _count_ended(self, row: dict[str, Any]) -> None:
        self._finished += 1
        self._epochs -= int(row["epochs"]) - int(row["epochs_done"])

    @property
    def _trials(self) -> int:
        return len(self._known) + self._unknown

    def _name(self, row: dict[str, Any]) -> str:
        """A trial as the report names it: by the number that its configuration has in a search, or by its arguments."""
        if row.get("number") is not None:
            return f"#{row['number']} {row['network']}"
        number = self._numbers.get(self._without_seed(row)) if self._numbers else None
        if number is not None:
            return f"#{number} {row['network']} ({replicate(row)})"
        values = json.loads(row["arguments"]).items()
        arguments = "".join(
            f" {name}={value:.4g}" if type(value) is float else f" {name}={value}" for name, value in values
        )
        return f"{row['network']}{arguments} ({replicate(row)})"

    def _note(self, epoch: dict[str, Any], row: dict[str, Any]) -> None:
        """Keep the best epoch so far."""
        value = epoch[SELECTION_METRIC]
        if math.isfinite(value) and (not self._best or value > self._best[0]):
            self._best = (value, row["network"])

    def describe(self) -> str:
        """How far the sweep is, in words."""
        text = f"{self._finished}/{self._trials} trials, {self._done}/{self._epochs} epochs"
        if self._best:
            text += f", best {SELECTION_METRIC.replace('_', ' ')} {self._best[0]:.4f} ({self._best[1]})"
        new = self._done - self._before
        if new:
            left = (time.monotonic() - self._started) / new * max(self._epochs - self._done, 0)
            text += f", {'at most ' if self._strategy.stops_early else ''}{duration(left)} left"
        return text


def duration(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
