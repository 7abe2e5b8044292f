"""What Tune's driver hears from its trials, written into the record and shown."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ray.tune import Callback

from data_prep.errors import InputError
from sweeps.engine.progress import Display
from sweeps.record.writer import Record

if TYPE_CHECKING:
    from sweeps.searching.seeker import Seeker
    from sweeps.trackers.following import Trackers

#: So often may a trial lose its worker without an epoch in between.
MOST_LOSSES = 3


class Recorder(Callback):  # type: ignore[misc]
    """Keeps the record, the display, the trackers and, in a search, its seeker up to date while a Tuner runs.

    Where the record can no longer be written the sweep must end. Tune would bury the error in one of its own, so it is
    kept as `error`, and the interrupt that Tune lets through is raised.
    """

    def __init__(
        self,
        record: Record,
        display: Display,
        seeker: "Seeker | None" = None,
        before_end: Callable[[], object] | None = None,
        trackers: "Trackers | None" = None,
    ) -> None:
        self._record, self._display, self._seeker, self._before_end = record, display, seeker, before_end
        self._trackers = trackers
        self.error: OSError | InputError | None = None
        self.is_interrupted = False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore, and a record needs none."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ctrl-C is lost where it meets Python in a place that lets no error out, such as the end of an object."""
        if self.is_interrupted:
            raise KeyboardInterrupt

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or begins again after its worker was lost."""
        self._update(trial, {"status": "running", "reason": None, "traceback": None})
        if self._before_end and all(row["status"] != "pending" for row in self._record.trials.values()):
            self._before_end()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A report of `trainables.worker.trial.run_trial`."""
        if "refusal" in result:
            self._end(InputError(result["refusal"]))
        if "storage" in result:
            number, where = result["storage"]
            self._end(OSError(number, os.strerror(number), where or str(self._record.folder)))
        if result["rows"]:
            trial.run_metadata.num_failures = 0  # what counts are losses in a row, without an epoch between them
        known = self._record.epochs_known(_identity(trial), result["rows"])
        stopped = self._seeker.verdict(_identity(trial), result["rows"]) if self._seeker else {}
        columns = result["result"] | stopped  # at once: an epoch must not be on disk without the verdict on it
        row = self._update(trial, columns, result["rows"])
        self._display.epochs(row["network"], result["rows"], known)
        if "status" in columns:
            self._ended(row)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial whose worker was lost more often than Tune tries; or lost before it began: that is left pending."""
        if trial.num_failures <= MOST_LOSSES:
            self._update(trial, {"status": "pending"})
            return
        reason = f"its worker died {trial.num_failures} times in a row: {_last_line(trial)}"
        self._ended(self._update(trial, {"status": "failed", "reason": reason}))

    def _ended(self, row: dict[str, Any]) -> None:
        self._display.ended(row)
        if self._seeker:
            self._seeker.ended(row)

    def _update(self, trial: Any, columns: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """Enter columns and epochs, and return the trial's row."""
        try:
            self._record.update(_identity(trial), columns, rows)
        except OSError as error:
            self._end(error)
        row = self._record.trials[_identity(trial)]
        if self._trackers:
            self._trackers.hear(row, rows or [])
        return row

    def _end(self, error: OSError | InputError) -> NoReturn:
        self.error = error
        raise KeyboardInterrupt


def _identity(trial: Any) -> str:
    return str(trial.config["order"]["trial"])


def _last_line(trial: Any) -> str:
    error = trial.get_pickled_error() or trial.get_error()
    return str(error).strip().splitlines()[-1] if error else "no reason given"
