"""A search as a sweep's strategy: it asks its study for trials, and tells it what the record has of them."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from data_prep import InputError
from sweeps.engine.sweep import Strategy
from sweeps.record.writer import Record
from sweeps.searching.space import Values, arguments_to_check, values_of
from sweeps.searching.study import Search, SearchStudy
from trainables.training.metrics import SELECTION_METRIC
from trainables.training.recipe import Recipe

#: The study as Optuna stores it, in the record's folder: `optuna-dashboard results/search/study.journal` opens it.
STUDY = "study.journal"

_SECONDS_BETWEEN_SAVES = 10.0


class Searching(Strategy):
    """Trials that a study suggests, and then, from the record, the best of them `again`, with new seeds.

    `recipe` makes a recipe of a space's values.
    """

    stops_early = True

    def __init__(
        self,
        search: Search,
        recipe: Callable[[Values], Recipe],
        representatives: Sequence[Recipe],
        max_concurrent: int | None,
        again: Callable[[Record], Sequence[Recipe]] | None,
    ) -> None:
        self.search, self._recipe, self._again = search, recipe, again
        self.representatives, self.planned = representatives, search.trials
        self.concurrency = min(search.trials, max_concurrent or search.trials)
        self.follow_ups = representatives if again else ()
        self._is_exhausted = False
        self._saved = time.monotonic()

    def open(self, record: Record, scratch: Path) -> None:
        """Make the study again from the record."""
        self._journal = scratch / STUDY
        self._journal.unlink(missing_ok=True)
        self._study = SearchStudy(self.search, JournalStorage(JournalFileBackend(str(self._journal))))
        suggested = [row for row in record.trials.values() if row.get("number") is not None]
        self._trials = [row["trial"] for row in sorted(suggested, key=lambda row: int(row["number"]))]
        for trial in self._trials:
            row = record.trials[trial]
            curve = {epoch: value for epoch, value in _curve(record, trial).items() if epoch <= row["epochs_done"]}
            self._study.replay(row["number"], values_of(self.search.space, record.recipe(trial)), curve)
            if record.is_complete(trial):
                self._tell(record, trial)
        self._unfinished = self._open_trials(record)

    def next_recipes(self, record: Record) -> Sequence[Recipe]:
        """A trial that was begun before, or the study's next suggestion; once all are over, the best of them again."""
        for trial in self._open_trials(record):
            if record.is_complete(trial) or (
                record.trials[trial]["status"] == "failed" and trial not in self._unfinished
            ):
                self._tell(record, trial)
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self.close(record)
        if self._unfinished:
            return [record.recipe(self._unfinished.pop(0))]
        if len(self._trials) < self.search.trials and not self._is_exhausted:
            suggestion = self._study.ask()
            if suggestion:
                number, values = suggestion
                recipe = self._recipe(values)
                self._trials.append(record.add(recipe, number))
                return [recipe]
            self._is_exhausted = True
        is_over = all(map(record.is_complete, self._trials))
        return self._again(record) if self._again and is_over else ()

    def stop_reason(self, record: Record, trial: str) -> str | None:
        """Report to the study the epochs that are new to it, and return why it prunes the trial; None if it goes on."""
        number = record.trials[trial].get("number")
        if number is None:
            return None
        reported = self._study.reported(number)
        new = {epoch: accuracy for epoch, accuracy in _curve(record, trial).items() if epoch > reported}
        stops = [self._study.report(number, epoch, accuracy) for epoch, accuracy in new.items()]
        return f"stopped by {self.search.stopping} after epoch {len(record.epochs[trial])}" if any(stops) else None

    def close(self, record: Record) -> None:
        """Write the study into the record's folder."""
        record.folder.write_bytes(STUDY, self._journal.read_bytes())
        self._saved = time.monotonic()

    def describe(self) -> dict[str, Any]:
        """The search, by which records of one search are known."""
        return self.search.describe()

    def network_arguments(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Every argument that the space has of a network, at its ends."""
        return arguments_to_check(self.search.space)

    def _tell(self, record: Record, trial: str) -> None:
        row = record.trials[trial]
        columns = [SELECTION_METRIC, *([self.search.against] if self.search.against else [])]
        values = [row[column] for column in columns if row.get(column) is not None]
        if row["status"] == "finished" and len(values) < len(columns):
            raise InputError(f"{record.folder} holds finished trials without {columns[-1]}; use --fresh.")
        self._study.tell(row["number"], row["status"], values)

    def _open_trials(self, record: Record) -> list[str]:
        """Trials whose end the study has not heard of. One that failed in an earlier run is tried again."""
        return [trial for trial in self._trials if self._study.is_open(record.trials[trial]["number"])]


def _curve(record: Record, trial: str) -> dict[int, float]:
    """Epoch → validation accuracy, without epochs in which training has diverged: the study does not hear of them."""
    epochs = [epoch for epoch in record.history(trial) if math.isfinite(epoch["validation_loss"])]
    return {int(epoch["epoch"]): epoch[SELECTION_METRIC] for epoch in epochs}
