"""A search under way: between its study, its record, and the trials that Tune runs."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from data_prep.errors import InputError
from sweeps.record.writer import OVER, Record
from sweeps.searching.space import Values, values_of
from sweeps.searching.study import Search, SearchStudy
from trainables import Recipe

#: The study as Optuna stores it, in the record's folder: `optuna-dashboard results/search/study.journal` opens it.
STUDY = "study.journal"

_SECONDS_BETWEEN_SAVES = 10.0


class Seeker:
    """Asks the study for trials, and tells it what the record hears of them.

    `recipe` makes a recipe of a space's values; `sizes` are columns of a stopped trial's row that others report
    themselves; `journal` is a file on this machine in which the study is kept while the search runs.
    """

    def __init__(
        self,
        search: Search,
        record: Record,
        recipe: Callable[[Values], Recipe],
        fingerprint: str,
        sizes: dict[str, int],
        journal: Path,
    ) -> None:
        self.search, self._record, self._recipe = search, record, recipe
        self._fingerprint, self._sizes, self._journal = fingerprint, sizes, journal
        journal.unlink(missing_ok=True)
        self._study = SearchStudy(search, JournalStorage(JournalFileBackend(str(journal))))
        self._stopped: set[str] = set()
        self._is_exhausted = False
        self._saved = time.monotonic()
        curves: dict[str, dict[int, float]] = {}
        for trial, epoch in sorted(record.epochs):
            row = record.epochs[trial, epoch]
            if _is_judged(row) and epoch <= record.trials.get(trial, {}).get("epochs_done", 0):
                curves.setdefault(trial, {})[epoch] = row["validation_accuracy"]  # the rest is told and judged again
        for trial in self.trials:
            row = record.trials[trial]
            values = values_of(search.space, record.recipe(trial))
            self._study.replay(row["number"], values, curves.get(trial, {}))
            if row["status"] in OVER:
                self._tell(row)
        self._unfinished = self._not_over()

    @property
    def trials(self) -> list[str]:
        """The trials of the record that this search made, in the order in which it made them."""
        numbers = {row.get("number"): trial for trial, row in self._record.trials.items()}
        return [numbers[number] for number in sorted(number for number in numbers if number is not None)]

    @property
    def left(self) -> int:
        """How many trials are still to be run, as far as the space has so many."""
        more = 0 if self._is_exhausted else max(0, self.search.trials - len(self.trials))
        return len(self._not_over()) + more

    def begin_round(self) -> None:
        """Before Tune runs: trials that were begun and are not over come first."""
        self._unfinished = self._not_over()

    def next_order(self) -> dict[str, Any] | None:
        """What the next trial is told; None if there is none."""
        trial = self._unfinished.pop(0) if self._unfinished else self._new()
        return {"trial": trial, "hyperparameters": self._record.recipe(trial).hyperparameters()} if trial else None

    def _new(self) -> str | None:
        asked = self._study.ask() if len(self.trials) < self.search.trials else None
        if not asked:
            self._is_exhausted = True
            return None
        number, values = asked
        recipe = self._recipe(values)
        trial = recipe.identity(self._fingerprint)
        self._record.add(trial, recipe)
        self._record.trials[trial]["number"] = number
        return trial

    def hears(self, trial: str, rows: list[dict[str, Any]]) -> bool:
        """Told epochs of a trial, before the record is. Returns whether it is to be stopped."""
        number = self._record.trials[trial]["number"]
        stop = False
        for row in rows:
            if row["epoch"] > self._study.reported(number) and _is_judged(row):
                stop = self._study.report(number, int(row["epoch"]), row["validation_accuracy"]) or stop
        if stop:
            self._stopped.add(trial)
        return stop

    def verdict(self, trial: str, new: list[dict[str, Any]]) -> dict[str, Any]:
        """Columns of a stopped trial's row, from its epochs in the record and `new` ones; nothing of any other."""
        if trial not in self._stopped:
            return {}
        known = {epoch: row for (of, epoch), row in self._record.epochs.items() if of == trial}
        rows = list((known | {int(row["epoch"]): row for row in new}).values())
        best = max(rows, key=lambda row: row["validation_accuracy"])  # the first of equals
        columns = {name: best[name] for name in best if name.startswith("validation_")}
        return {
            **columns,
            **self._sizes,
            "status": "stopped",
            "reason": f"stopped by {self.search.stopping} after epoch {len(rows)}",
            "best_epoch": best["epoch"],
            "wall_seconds": sum(row["wall_seconds"] for row in rows),
        }

    def ended(self, row: dict[str, Any]) -> None:
        """A trial is over: `row` is its row of the record."""
        self._tell(row)
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Write the study into the record's folder."""
        self._record.folder.write_bytes(STUDY, self._journal.read_bytes())
        self._saved = time.monotonic()

    def _tell(self, row: dict[str, Any]) -> None:
        columns = ["validation_accuracy", *([self.search.against] if self.search.against else [])]
        values = [row.get(column) for column in columns]
        known = [value for value in values if value is not None]
        if row["status"] == "finished" and len(known) < len(columns):
            raise InputError(f"{self._record.folder} holds finished trials without {columns[-1]}; use --fresh.")
        self._study.tell(row["number"], row["status"], known)

    def _not_over(self) -> list[str]:
        """The trials of which the study has heard no end. One that failed is tried again by the next run."""
        return [trial for trial in self.trials if self._study.is_open(self._record.trials[trial]["number"])]


def _is_judged(epoch: dict[str, Any]) -> bool:
    """Whether the study is told of an epoch: not where training has diverged."""
    return math.isfinite(epoch["validation_loss"])


class Asking(Searcher):  # type: ignore[misc]
    """Tune's way to ask."""

    def __init__(self, seeker: Seeker) -> None:
        super().__init__()
        self._seeker = seeker

    def suggest(self, trial_id: str) -> Any:
        """The configuration of a trial."""
        order = self._seeker.next_order()
        return {"order": order} if order else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The recorder tells the seeker."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Tune saves its searcher for a restore, and a record needs none."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Stopping(FIFOScheduler):  # type: ignore[misc]
    """Tune's way to ask whether a trial goes on."""

    def __init__(self, seeker: Seeker) -> None:
        super().__init__()
        self._seeker = seeker

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop or continue."""
        is_to_stop = self._seeker.hears(trial.config["order"]["trial"], result["rows"])
        return str(FIFOScheduler.STOP if is_to_stop else FIFOScheduler.CONTINUE)

    def __getstate__(self) -> dict[str, Any]:
        return {}
