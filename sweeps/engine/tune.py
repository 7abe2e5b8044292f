"""The only place that builds a Tuner.

Of Ray Tune a sweep uses placement of trials on a cluster, warm actors between trials, the restart of trials whose
worker died, and the transport of reports. Three thin adapters hand Tune's questions to the execution: a searcher for
the next trial, a scheduler for whether a trial goes on, a callback for starts and losses.

Four parts of Tune are not used. Its experiment state is up to ten seconds old after a kill, and `restore` cannot take
more trials or another space; a sweep goes on from its record. Its loggers and tables would be a second record. Its
search algorithms and its schedulers forget, when a sweep goes on, what earlier runs have shown.

Tune copies and formats every configuration, so it is given only a trial's identity and its recipe as text.
"""

import contextlib
import importlib
import json
import logging
import math
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from sweeps.engine import cluster
from sweeps.engine.execution import MOST_LOSSES, Execution
from trainables.worker.actor import supervise_trial
from trainables.worker.assignment import Shared

# Tune imports its integrations to count which of them are used; importing W&B leaves folders behind after a kill.
_IS_HIDDEN = sys.modules.setdefault("wandb", None) is None  # type: ignore[arg-type]
importlib.import_module("ray.air.integrations.wandb")
if _IS_HIDDEN:
    del sys.modules["wandb"]

_MOST_ROUNDS = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_trials(execution: Execution, shared: Shared, request: dict[str, float], deadline: float = math.inf) -> None:
    """Run trials on the connected cluster until none is left, or until `deadline` on the monotonic clock.

    Each trial gets the resources of `request`. Tune does not repeat a trial whose node goes while it is being placed:
    another round does.
    """
    run(execution, tune.with_resources(tune.with_parameters(supervise_trial, shared=shared), request), deadline)


def run(execution: Execution, trainable: Any, deadline: float = math.inf) -> None:
    """Run trials by any trainable that reports as `supervise_trial` does."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # of each lost worker a screenful; the record has why
    for _ in range(_MOST_ROUNDS):
        seconds = deadline - time.monotonic()
        if seconds > 0 and execution.queue_unfinished():
            with execution.show():
                _fit(execution, trainable, seconds)


def _fit(execution: Execution, trainable: Any, seconds: float) -> None:
    # For Tune's own state, never read again: on other nodes Tune makes such a folder, too, and leaves it.
    with tempfile.TemporaryDirectory(dir=cluster.session_folder) as scratch:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_Searcher(execution),
                scheduler=_Scheduler(execution),
                num_samples=-1,
                reuse_actors=True,
                time_budget_s=seconds if math.isfinite(seconds) else None,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[_Callback(execution)],
                failure_config=tune.FailureConfig(max_failures=MOST_LOSSES),
                verbose=0,
            ),
        )
        with execution.raising_its_error():
            with _interrupts(execution):
                tuner.fit()
            if execution.is_interrupted:
                raise KeyboardInterrupt


class _Adapter:
    """What the adapters share. Tune pickles them for its `restore`, which a sweep does not use."""

    def __init__(self, execution: Execution) -> None:
        super().__init__()
        self._execution = execution

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Searcher(_Adapter, Searcher):  # type: ignore[misc]
    """Tune's question which trial is next."""

    def suggest(self, trial_id: str) -> Any:
        """The configuration of a trial."""
        trial = self._execution.next_trial()
        if trial is None:
            return Searcher.FINISHED if self._execution.is_over else None
        return {"trial": trial, "recipe": json.dumps(self._execution.record.hyperparameters(trial))}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has left the cluster."""
        self._execution.release()

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Save nothing."""


class _Scheduler(_Adapter, FIFOScheduler):  # type: ignore[misc]
    """Tune's question whether a trial goes on."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Enter a report, and stop the trial or continue."""
        if result.get("done"):  # the last report once more
            return str(FIFOScheduler.CONTINUE)
        name = trial.config["trial"]
        if "epoch" in result and int(result["epoch"]) not in self._execution.record.epochs[name]:
            trial.run_metadata.num_failures = 0  # what counts are losses in a row, without a new epoch between them
        is_to_stop = self._execution.enter_report(name, result)
        return str(FIFOScheduler.STOP if is_to_stop else FIFOScheduler.CONTINUE)


class _Callback(_Adapter, tune.Callback):  # type: ignore[misc]
    """Tune's news of trials."""

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Raise Ctrl-C again: Python drops an exception that is raised within `__del__`."""
        if self._execution.is_interrupted:
            raise KeyboardInterrupt

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins."""
        self._execution.mark_running(trial.config["trial"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial was lost for good."""
        self._execution.mark_lost(trial.config["trial"], trial.num_failures, _last_line(trial.error_file))


def _last_line(errors: str | None) -> str:
    """The last line of the file of tracebacks that Tune keeps, without the name of the error's class."""
    lines = Path(errors).read_text(errors="replace").strip().splitlines() if errors and os.path.exists(errors) else []
    return re.sub(r"^[\w.]+Error: ", "", lines[-1].strip()) if lines else "no reason given"


@contextlib.contextmanager
def _interrupts(execution: Execution) -> Iterator[None]:
    """Let Ctrl-C and other signals interrupt as ever, and the execution know of it. Only the main thread gets them."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _SIGNALS} if is_main else {}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}

    def interrupt(number: int, frame: Any) -> None:
        execution.interrupt()
        handlers[signal.Signals(number)](number, frame)

    try:
        for number in handlers:
            signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
