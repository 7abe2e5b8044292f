"""What Tune's driver hears from its trials, written into the record and shown."""

from typing import Any

from ray.tune import Callback

from sweeps._progress import Display
from sweeps._record import Record


class Recorder(Callback):  # type: ignore[misc]
    """Keeps the record and the display up to date while a Tuner runs."""

    def __init__(self, record: Record, display: Display) -> None:
        self._record, self._display = record, display

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore, and a record needs none."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or begins again after its worker was lost."""
        self._record.update(_identity(trial), {"status": "running", "reason": None, "traceback": None})

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A report of `trainables._trial.run_trial`."""
        name = _identity(trial)
        known = self._record.epochs_known(name, result["rows"])
        self._record.update(name, result["result"], result["rows"])
        self._display.epochs(self._record.trials[name]["network"], result["rows"], known)
        if "status" in result["result"]:
            self._display.ended(self._record.trials[name])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial whose worker was lost more often than Ray tries."""
        name = _identity(trial)
        self._record.update(
            name, {"status": "failed", "reason": f"its worker died again and again: {_last_line(trial)}"}
        )
        self._display.ended(self._record.trials[name])


def _identity(trial: Any) -> str:
    return str(trial.config["order"]["trial"])


def _last_line(trial: Any) -> str:
    error = trial.get_pickled_error() or trial.get_error()
    return str(error).strip().splitlines()[-1] if error else "no reason given"
