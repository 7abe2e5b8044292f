"""A sweep under way: which trial runs next, and what its reports mean for the record. Knows no Ray."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from rich.progress import Progress

from data_prep import InputError
from sweeps.engine.progress import Display
from sweeps.engine.sweep import Sweep
from sweeps.record.writer import Record
from trainables.record import UNFINISHED, split_report
from trainables.training import outcome
from trainables.training.recipe import Recipe

#: How often a trial may lose its worker without an epoch in between.
MOST_LOSSES = 3
_SECONDS_BETWEEN_COUNTS = 2.0  # of how many trials fit on the cluster


class Execution:
    """Between a sweep's strategy, its record, and whoever runs the trials.

    `images` is split → number of images; `order` puts recipes into the order in which they are to be run; `before_end`
    is called as soon as the last planned trial begins, unless follow-ups may come. When the record can no longer be
    written, the error is kept as `error`, and KeyboardInterrupt is raised, which Tune lets through.
    """

    def __init__(
        self,
        sweep: Sweep,
        record: Record,
        images: Mapping[str, int],
        order: Callable[[Sequence[Recipe]], Sequence[Recipe]],
        before_end: Callable[[], object],
    ) -> None:
        self.sweep, self.record = sweep, record
        self._images, self._order, self._before_end = images, order, before_end
        self._display: Display | None = None
        self._proposed: list[Recipe] = []  # not in order yet, for that takes the costs of networks
        self._waiting: deque[str] = deque()
        self._handed_out: dict[str, None] = {}
        self._running = 0
        self._has_news = True  # since the strategy was last asked
        self._room, self._counted = 0, 0.0
        #: Counts the trials that fit on the cluster now.
        self.room: Callable[[], int] = lambda: 1
        self.error: OSError | InputError | None = None
        self.is_interrupted = False
        #: Interrupts the thread in which the sweep runs.
        self.interrupt_main: Callable[[], None] = self.interrupt

    def fail(self, error: InputError) -> None:
        """End the sweep with this error, from any thread, unless it is ending already."""
        if not self.is_interrupted:
            self.error = error
            self.interrupt_main()

    @contextlib.contextmanager
    def raising_its_error(self) -> Iterator[None]:
        """Raise the error for which the sweep was interrupted, if there is one, instead of KeyboardInterrupt."""
        try:
            yield
        except KeyboardInterrupt:
            raise self.error or KeyboardInterrupt

    def interrupt(self) -> None:
        """End the sweep, from any thread."""
        self.is_interrupted = True

    def show(self) -> Progress:
        """Show the sweep from where its record stands, within the context of the returned bar."""
        self._display = Display(self.sweep, self.record)
        return self._display.bar

    @property
    def proposed(self) -> list[str]:
        """The trials of this sweep, in the order in which they were proposed."""
        return list(self._handed_out)

    def has_work(self) -> bool:
        """Whether a trial waits to be run. Asks the strategy if none does."""
        if not self._waiting and not self._proposed and self._has_news:
            self._has_news = False
            self._proposed = [recipe for recipe in self.sweep.strategy.next_recipes(self.record) if self._enter(recipe)]
        return bool(self._waiting or self._proposed)

    def _enter(self, recipe: Recipe) -> bool:
        """Enter a recipe's trial into the record as pending. Returns whether it is new here and not complete."""
        trial = self.record.add(recipe)
        if self._display:
            self._display.added(self.record.trials[trial])
        is_new = trial not in self._handed_out and not self.record.is_complete(trial)
        self._handed_out[trial] = None
        if is_new:
            self.record.update(trial, {"status": "pending"})  # also one that failed in an earlier run
        return is_new

    def queue_unfinished(self) -> bool:
        """Queue the trials that have not ended; in later rounds, what Tune left. Returns whether there are any."""
        proposed = {self.record.identity(recipe) for recipe in self._proposed}
        left = [trial for trial in self._handed_out if self.record.trials[trial]["status"] in UNFINISHED]
        self._waiting = deque(trial for trial in left if trial not in proposed)
        self._running, self._has_news = 0, True
        return self.has_work()

    def next_trial(self) -> str | None:
        """Identity of the trial to start now; None while none can start."""
        if time.monotonic() - self._counted > _SECONDS_BETWEEN_COUNTS:
            self._room, self._counted = self.room(), time.monotonic()
        if self._running >= min(self.sweep.strategy.concurrency, self._room) or not self.has_work():
            return None
        self._waiting.extend(self.record.identity(recipe) for recipe in self._order(self._proposed))
        self._proposed = []
        self._running += 1
        trial = self._waiting.popleft()
        strategy = self.sweep.strategy
        if not self._waiting and not strategy.follow_ups and len(self.record.trials) >= strategy.planned:
            self._before_end()
        return trial

    @property
    def is_over(self) -> bool:
        """Whether no trial runs and none will."""
        return not self._running and not self.has_work()

    def mark_running(self, trial: str) -> None:
        """Enter that a trial runs, for the first time or again after its worker was lost."""
        self._update(trial, {"status": "running", "reason": None, "traceback": None})

    def release(self) -> None:
        """Count that a trial no longer occupies resources."""
        self._running -= 1
        self._has_news = True

    def enter_report(self, trial: str, report: dict[str, Any]) -> bool:
        """Enter a trial's report. Returns whether the trial is to be stopped.

        An epoch, and the stop that follows from it, are written to disk together.
        """
        if "storage_errno" in report:
            number = report["storage_errno"]
            self._end(OSError(number, os.strerror(number), report["storage_path"] or str(self.record.folder)))
        columns, epoch = split_report(report)
        is_new = epoch is not None and int(epoch["epoch"]) not in self.record.epochs[trial]
        self.record.update(trial, columns, epoch)
        reason = self.sweep.strategy.stop_reason(self.record, trial) if epoch else None
        ending = outcome.stopped_row(self.record.history(trial), reason, self._images) if reason else {}
        row = self._update(trial, ending)
        if "refusal" in report:
            self._end(InputError(report["refusal"]))
        if self._display and epoch:
            self._display.epoch(row, epoch, is_new)
        if self._display and "status" in columns | ending:
            self._display.ended(row)
        return reason is not None

    def mark_lost(self, trial: str, losses: int, reason: str) -> None:
        """Enter that a trial lost its worker: it has failed after too many losses, and else is pending again."""
        if losses <= MOST_LOSSES:
            self._update(trial, {"status": "pending"})
            return
        row = self._update(trial, outcome.failed_row(f"its worker died {losses} times in a row: {reason}"))
        if self._display:
            self._display.ended(row)

    def _update(self, trial: str, columns: dict[str, Any]) -> dict[str, Any]:
        """Set columns of a trial's row, write the record if that is due, and return the row."""
        try:
            self.record.update(trial, columns)
            self.record.write_if_due()
        except OSError as error:
            self._end(error)
        return self.record.trials[trial]

    def _end(self, error: OSError | InputError) -> NoReturn:
        self.error = error
        raise KeyboardInterrupt
