"""The trackers that follow a sweep while it runs: TensorBoard always, MLflow and Weights & Biases on request.

Each tracker has a thread, which every two seconds exports what the record holds and the tracker lacks. So a tracker
never stops or slows the sweep: one that fails is reported once and tried again. What it lacks at the end, the same
command exports later.

    tracking/NAME.json    token: of this record, since others may hold the same trials
                          complete: where the tool was writing, hashed → trials of which nothing is left to send there
"""

import contextlib
import hashlib
import importlib.util
import secrets
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from data_prep import InputError, printable
from data_prep.escaping import without_passwords
from sweeps.record.lease import Lease
from sweeps.record.writer import Record
from sweeps.trackers.mlflow import MLflow
from sweeps.trackers.tensorboard import TensorBoard
from sweeps.trackers.trial import Tracker, Trial
from sweeps.trackers.wandb import WandB, check_login

#: What `--track` takes beside TensorBoard, which always follows: name → tracker, from a sweep's name and fingerprint.
TRACKERS: dict[str, Callable[[str, str], Tracker]] = {"mlflow": MLflow, "wandb": WandB}

_SECONDS_BETWEEN_ROUNDS = 2.0
_SECONDS_AFTER_FAILURE = 30.0
_SECONDS_TO_FINISH = 30.0


def check(names: Collection[str]) -> None:
    """Raise InputError for a tracker whose package is not installed, or that nobody has logged in to."""
    for name in names:
        if not importlib.util.find_spec(name):
            raise InputError(f'--track {name} needs a package that is not here: pip install -e ".[{name}]"')
    if "wandb" in names:
        check_login()


@contextlib.contextmanager
def following(record: Record, sweep: str, names: Collection[str], lease: Lease) -> Iterator[None]:
    """Let the trackers follow a record while a sweep runs.

    At its end they catch up, unless another sweep has taken the lease.
    """
    exporters = exporters_of(record, sweep, names)
    for exporter in exporters:
        exporter.start()
    try:
        yield
    finally:
        if not lease.error:
            _finish(exporters)


def exporters_of(record: Record, sweep: str, names: Collection[str]) -> "list[Exporter]":
    """An exporter for each tracker that is requested, and one for TensorBoard."""
    trackers: dict[str, Tracker] = {name: TRACKERS[name](sweep, record.fingerprint) for name in names}
    trackers["tensorboard"] = TensorBoard(record.folder)
    return [Exporter(name, tracker, record) for name, tracker in trackers.items()]


def _finish(exporters: "list[Exporter]") -> None:
    """Let all trackers catch up, for half a minute at most, and report what one still lacks."""
    deadline = time.monotonic() + _SECONDS_TO_FINISH
    for exporter in exporters:
        exporter.ending.set()
    for exporter in exporters:
        exporter.join(max(0.0, deadline - time.monotonic()))
        if lacking := len(exporter.behind()):
            print(f"{exporter.name} lacks {lacking} trials; run the same command again to send them.", file=sys.stderr)


class Exporter(threading.Thread):
    """Keeps one tracker up to date with a record, which another thread fills.

    `tracking/NAME.json` is read at the start, and written whenever trials have become complete in the tracker.
    """

    def __init__(self, name: str, tracker: Tracker, record: Record) -> None:
        super().__init__(name=name, daemon=True)
        self.ending = threading.Event()
        self._tracker, self._record, self._folder = tracker, record, record.folder.folder("tracking")
        try:
            self._ledger: dict[str, Any] = self._folder.read_json(f"{name}.json")
            known = {place: set(trials) for place, trials in self._ledger["complete"].items()}
            str(self._ledger["token"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            self._ledger, known = {"token": secrets.token_hex(4), "complete": {}}, {}
        self._destination = hashlib.sha256(tracker.target.encode()).hexdigest()[:12]  # an address may hold a password
        self._complete = known.get(self._destination, set())
        self._exported: dict[str, Any] = {}  # trial that is not complete there → its state when it was exported
        self._failed: set[str] = set()
        self._has_begun = False

    def behind(self) -> list[str]:
        """The trials of which the tracker lacks something; those that it could not take come last."""
        lacking = [
            trial
            for trial, row in list(self._record.trials.items())
            if trial not in self._complete and _state(row) != self._exported.get(trial)
        ]
        return sorted(lacking, key=self._failed.__contains__)

    def run(self) -> None:
        """Catch up, again and again, until the sweep ends; then once more."""
        pause, is_last, has_warned = 0.0, False, False
        while not is_last:
            is_last, started = self.ending.wait(pause), time.monotonic()
            try:
                self._catch_up()
                pause = max(_SECONDS_BETWEEN_ROUNDS, time.monotonic() - started)  # busy half the time at most
            except Exception as error:  # of a tool that is no part of the sweep
                if not has_warned:
                    gist = without_passwords(printable((str(error).strip() or type(error).__name__).splitlines()[0]))
                    print(
                        f"{self.name} failed ({gist}); the sweep goes on and tries again.", file=sys.stderr, flush=True
                    )
                pause, has_warned = _SECONDS_AFTER_FAILURE, True
        with contextlib.suppress(Exception):
            self._tracker.leave()

    def _catch_up(self) -> None:
        lacking, complete = self.behind(), len(self._complete)
        if lacking and not self._has_begun:
            self._save()  # the token must be on disk before the tracker receives it
            self._tracker.begin(str(self._ledger["token"]))
            self._has_begun = True
        try:
            for trial in lacking:
                self._export(trial)
        finally:
            if len(self._complete) > complete:
                self._save()

    def _export(self, identity: str) -> None:
        # In this order: a trial's last epoch is entered before its end.
        trial = Trial(dict(self._record.trials[identity]), dict(self._record.epochs[identity]))
        self._failed.add(identity)
        self._tracker.write(trial)
        self._failed.remove(identity)
        self._exported[identity] = _state(trial.row)
        if trial.is_complete:
            self._complete.add(identity)

    def _save(self) -> None:
        self._ledger["complete"][self._destination] = sorted(self._complete)
        self._folder.write_json(f"{self.name}.json", self._ledger)


def _state(row: dict[str, Any]) -> Any:
    """By which columns of a trial's row a tracker is behind; None as long as there is nothing to export."""
    ending = row["status"] if Trial(row).has_ended else None
    return (ending, row["epochs_done"], row.get("batch_size_used")) if ending or row["epochs_done"] else None
