"""The only place that builds a Tuner."""

import contextlib
import math
import signal
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from ray import tune

from sweeps.engine import cluster
from sweeps.engine.progress import Display
from sweeps.engine.recorder import MOST_LOSSES, Recorder
from sweeps.record.writer import Record
from sweeps.searching.seeker import Asking, Seeker, Stopping
from sweeps.trackers.following import Trackers


def tune_trials(
    record: Record,
    trainable: Callable[..., None],
    left: list[str],
    resources: dict[str, float],
    seconds: float = math.inf,
    before_end: Callable[[], object] | None = None,
    trackers: Trackers | None = None,
) -> None:
    """Run the trials that are left on the connected cluster, as many at once as it has room for, in this order.

    It ends after so many seconds at most. `before_end` is called once no trial waits to begin.
    """
    orders = [{"trial": trial, "hyperparameters": record.recipe(trial).hyperparameters()} for trial in left]
    with Display(record) as display:
        config = tune.TuneConfig(reuse_actors=True, time_budget_s=_budget(seconds))
        space = {"order": tune.grid_search(orders)}
        recorder = Recorder(record, display, before_end=before_end, trackers=trackers)
        _fit(tune.with_resources(trainable, resources), recorder, config, space)


def tune_search(
    record: Record,
    trainable: Callable[..., None],
    seeker: Seeker,
    resources: dict[str, float],
    at_once: int,
    seconds: float,
    trackers: Trackers | None = None,
) -> None:
    """Run what a search asks for, so many trials at once, for so many seconds at most."""
    with Display(record, seeker.search) as display:
        config = tune.TuneConfig(
            reuse_actors=True,
            search_alg=Asking(seeker),
            scheduler=Stopping(seeker),
            num_samples=seeker.left,
            max_concurrent_trials=at_once,
            time_budget_s=_budget(seconds),
        )
        recorder = Recorder(record, display, seeker, trackers=trackers)
        _fit(tune.with_resources(trainable, resources), recorder, config, None)


def _budget(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def _fit(
    trainable: Callable[..., None],
    recorder: Recorder,
    config: tune.TuneConfig,
    space: dict[str, Any] | None,
) -> None:
    # For Tune's own state, never read again: on other nodes Tune makes such a folder, too, and leaves it.
    with tempfile.TemporaryDirectory(dir=cluster.session_folder()) as scratch:
        tuner = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=config,
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[recorder],
                failure_config=tune.FailureConfig(max_failures=MOST_LOSSES),
                verbose=0,
            ),
        )
        try:
            with _heard_interrupts(recorder):
                tuner.fit()
            if recorder.is_interrupted:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            if recorder.error:
                raise recorder.error
            raise


@contextlib.contextmanager
def _heard_interrupts(recorder: Recorder) -> Iterator[None]:
    """Ctrl-C interrupts as ever, and the recorder knows of it."""

    def interrupt(number: int, frame: object) -> None:
        recorder.is_interrupted = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
