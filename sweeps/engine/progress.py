"""A sweep's progress, for a person: a live bar in a terminal or a notebook, lines in a log."""

import html
import json
import math
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from sweeps.engine.sweep import Sweep
from sweeps.record.writer import Record
from trainables.training.metrics import SELECTION_METRIC

_SECONDS_BETWEEN_LOG_LINES = 30.0


class Display:
    """What a sweep shows while it runs, starting from where its record stands.

    Trials that are planned and not yet in the record count with the epochs of the first representative.
    """

    def __init__(self, sweep: Sweep, record: Record) -> None:
        self._is_in_notebook: bool = Console().is_jupyter
        # A kernel asks for colours, as a terminal would, and then shows a bar's every move.
        self._console = Console(
            highlight=False, force_jupyter=False, force_terminal=False if self._is_in_notebook else None
        )
        self._notebook_bar: Any = None
        self._strategy = sweep.strategy
        rows = list(record.trials.values())
        self._unknown = max(0, sweep.strategy.planned - len(rows))
        self._trials = len(rows) + self._unknown
        self._done = self._before = sum(int(row["epochs_done"]) for row in rows)
        self._finished = sum(record.is_complete(row["trial"]) for row in rows)
        to_do = [row["epochs_done" if record.is_complete(row["trial"]) else "epochs"] for row in rows]
        self._epochs = self._unknown * sweep.strategy.representatives[0].epochs + sum(map(int, to_do))
        self._started = self._logged = time.monotonic()
        self._best: tuple[float, str] | None = None
        for trial, epochs in record.epochs.items():
            for epoch in epochs.values():
                self._note(epoch, record.trials[trial])
        columns = [BarColumn(), TaskProgressColumn(), TextColumn("{task.description}")]
        #: The live bar, a context.
        self.bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self.bar.add_task("starting", total=self._epochs, completed=self._done)

    def added(self, row: dict[str, Any]) -> None:
        """Count a trial that has come into the record."""
        if self._unknown:
            self._unknown -= 1
        else:
            self._trials += 1
            self._epochs += int(row["epochs"])

    def epoch(self, row: dict[str, Any], epoch: dict[str, Any], is_new: bool) -> None:
        """Show an epoch of a trial: `row` is the trial's row of the record."""
        self._done += is_new
        self._note(epoch, row)
        text = self._describe()
        self.bar.update(self._task, completed=self._done, total=self._epochs, description=text)
        if self._is_in_notebook:
            self._show_in_notebook(text)
        elif not self._console.is_terminal and time.monotonic() - self._logged > _SECONDS_BETWEEN_LOG_LINES:
            self._logged = time.monotonic()
            self._console.print(f"     {text}", soft_wrap=True)

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
        self._finished += 1
        self._epochs -= int(row["epochs"]) - int(row["epochs_done"])
        arguments = "".join(f" {name}={value}" for name, value in json.loads(row["arguments"]).items())
        name = f"{row['network']}{arguments} (seed {row['seed']})"
        if row.get("number") is not None:
            name = f"#{row['number']} {row['network']}"
        result = f"{row['status']}: {row['reason']}"
        if row["status"] in ("finished", "stopped"):
            result = f"{SELECTION_METRIC.replace('_', ' ')} {row[SELECTION_METRIC]:.4f} at epoch {row['best_epoch']}"
            result += f", stopped after {row['epochs_done']}" if row["status"] == "stopped" else ""
        line = f"{self._finished:>4}/{self._trials}  {name:<24} {result}, {row.get('wall_seconds') or 0:.0f} s"
        self._console.print(line, markup=False, soft_wrap=True)

    def _note(self, epoch: dict[str, Any], row: dict[str, Any]) -> None:
        """Keep the best epoch so far."""
        value = epoch[SELECTION_METRIC]
        if math.isfinite(value) and (not self._best or value > self._best[0]):
            self._best = (value, row["network"])

    def _describe(self) -> str:
        text = f"{self._finished}/{self._trials} trials, {self._done}/{self._epochs} epochs"
        if self._best:
            text += f", best {SELECTION_METRIC.replace('_', ' ')} {self._best[0]:.4f} ({self._best[1]})"
        new = self._done - self._before
        if new:
            left = (time.monotonic() - self._started) / new * (self._epochs - self._done)
            text += f", {'at most ' if self._strategy.stops_early else ''}{duration(left)} left"
        return text


def duration(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
