"""The writer of a record: rows in memory, and the parts of its tables that have changed written every two seconds.

Less often where writing takes long, of many trials or on an object store, so that it takes 2 % of the time; but each
minute at least.
"""

import time
from dataclasses import fields
from typing import Any

import pyarrow as pa

from data_prep import Folder
from trainables.record import COMPLETE, EPOCHS, SCHEMAS, TRIALS, TRIALS_PER_PART, part_file, rows
from trainables.training.recipe import Recipe

_SECONDS_BETWEEN_WRITES, _MOST_SECONDS_BETWEEN = 2.0, 60.0
_SHARE = 0.02  # of the time, for writing
_RECIPE = [field.name for field in fields(Recipe)]


class Record:
    """A record being written. `trials` are rows by identity, in the order they were entered, `epochs` rows by epoch.

    `fingerprint` is that of the images that trials are trained on.
    """

    def __init__(self, folder: Folder, fingerprint: str = "") -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.trials: dict[str, dict[str, Any]] = {row["trial"]: row for row in rows(folder, TRIALS)}
        self.epochs: dict[str, dict[int, dict[str, Any]]] = {trial: {} for trial in self.trials}
        for row in rows(folder, EPOCHS):
            # Of a trial that is not here: a kill came after its epochs were written, before the trial was.
            self.epochs.get(row["trial"], {})[row["epoch"]] = row
        self._parts = {trial: place // TRIALS_PER_PART for place, trial in enumerate(self.trials)}
        self._changed: dict[str, set[int]] = (
            {TRIALS: set(), EPOCHS: set()} if self.trials else {TRIALS: {0}, EPOCHS: {0}}
        )
        self._next_write = 0.0

    def identity(self, recipe: Recipe) -> str:
        """Identity of the trial that has this recipe."""
        return recipe.identity(self.fingerprint)

    def add(self, recipe: Recipe, number: int | None = None) -> str:
        """Enter a trial as pending, unless it is here. Returns its identity. `number` is its number in a study."""
        trial = self.identity(recipe)
        if trial not in self.trials:
            self._parts[trial] = len(self.trials) // TRIALS_PER_PART
            self.trials[trial] = {"trial": trial, **recipe.hyperparameters(), "status": "pending", "epochs_done": 0}
            self.epochs[trial] = {}
            self.update(trial, {"number": number})
            self._changed[EPOCHS].add(self._parts[trial])
        return trial

    def is_complete(self, trial: str) -> bool:
        """Whether nothing is left to do for a trial."""
        return trial in self.trials and self.trials[trial]["status"] in COMPLETE

    def recipe(self, trial: str) -> Recipe:
        """A trial's recipe."""
        return Recipe.of(self.hyperparameters(trial))

    def hyperparameters(self, trial: str) -> dict[str, Any]:
        """A trial's hyperparameters by name, without those that are newer than the record."""
        row = self.trials[trial]
        return {name: row[name] for name in _RECIPE if row.get(name) is not None}

    def history(self, trial: str) -> list[dict[str, Any]]:
        """A trial's epochs, in order."""
        return [row for _, row in sorted(self.epochs[trial].items())]

    def update(self, trial: str, columns: dict[str, Any], epoch: dict[str, Any] | None = None) -> None:
        """Set columns of a trial's row, and enter an epoch or replace it."""
        row = self.trials[trial]
        used = row.get("batch_size_used")
        if used and columns.get("batch_size_used", used) != used:  # training began again, in smaller batches
            self.epochs[trial].clear()
            row["epochs_done"] = 0
        if epoch:
            number = int(epoch["epoch"])
            self.epochs[trial][number] = {"trial": trial, **epoch}
            row["epochs_done"] = max(row["epochs_done"], number)
            self._changed[EPOCHS].add(self._parts[trial])
        row.update(columns)
        self._changed[TRIALS].add(self._parts[trial])

    def interrupt(self) -> None:
        """Mark running trials as pending: the sweep has ended before them."""
        for trial, row in self.trials.items():
            if row["status"] == "running":
                self.update(trial, {"status": "pending"})

    def write_if_due(self) -> None:
        """Write, unless that was done a moment ago."""
        if time.monotonic() > self._next_write:
            self.write()

    def write(self) -> None:
        """Write the parts that have changed: epochs first, for a trial's state must not be ahead of them."""
        started, trials = time.monotonic(), list(self.trials)
        for table in (EPOCHS, TRIALS):
            for part in sorted(self._changed[table]):
                members = trials[part * TRIALS_PER_PART : (part + 1) * TRIALS_PER_PART]
                content = [self.trials[trial] for trial in members]
                if table == EPOCHS:
                    content = [row for trial in members for row in self.history(trial)]
                self.folder.write_table(part_file(table, part), pa.Table.from_pylist(content, SCHEMAS[table]))
            self._changed[table].clear()
        now = time.monotonic()
        self._next_write = now + min(max(_SECONDS_BETWEEN_WRITES, (now - started) / _SHARE), _MOST_SECONDS_BETWEEN)
