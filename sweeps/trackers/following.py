"""Who follows a sweep while it runs: TensorBoard always, MLflow and Weights & Biases where they are asked for.

They are told what the record is told, each in a thread of its own, and never stop or slow the sweep: one that fails is
spoken of once and tried again. Whatever one lacks at the end, the same command sends later, out of the record.

    tracking/NAME.json    token: of this record, for others may hold the same trials
                          complete: where the tool was writing, hashed → trials of which nothing is left to send there
"""

import contextlib
import hashlib
import importlib.util
import queue
import secrets
import sys
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

from data_prep.errors import InputError
from data_prep.storage import Folder
from sweeps.record.lease import Lease
from sweeps.record.writer import Record
from sweeps.trackers.mlflow import MLflow
from sweeps.trackers.tensorboard import TensorBoard
from sweeps.trackers.tracked import Tracked, Tracker
from sweeps.trackers.wandb import WandB
from sweeps.trackers.wandb import check as check_wandb

#: What `--track` takes, beside TensorBoard, which needs no asking.
TRACKERS = ("mlflow", "wandb")

_SECONDS_BETWEEN_ROUNDS = 2.0
_SECONDS_AFTER_FAILURE = 30.0
_SECONDS_TO_FINISH = 30.0


def check(names: Collection[str]) -> None:
    """Raises InputError for a tracker whose package is not installed, or that nobody has logged in to."""
    for name in names:
        if not importlib.util.find_spec(name):
            raise InputError(f'--track {name} needs a package that is not here: pip install -e ".[{name}]"')
    if "wandb" in names:
        check_wandb()


class Trackers:
    """The trackers of one run of a sweep."""

    def __init__(self, record: Record, sweep: str, fingerprint: str, names: Collection[str]) -> None:
        trackers: dict[str, Tracker] = {"tensorboard": TensorBoard(record.folder)}
        trackers |= {"mlflow": MLflow(sweep, fingerprint)} if "mlflow" in names else {}
        trackers |= {"wandb": WandB(sweep, fingerprint)} if "wandb" in names else {}
        self._followers = [_Follower(name, tracker, record) for name, tracker in trackers.items()]
        for follower in self._followers:
            follower.start()

    def hear(self, row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """A trial's row of the record has changed, and these of its epochs are new."""
        for follower in self._followers:
            follower.heard.put((dict(row), rows))

    def end(self) -> None:
        """Let all catch up, for half a minute at most."""
        until = time.monotonic() + _SECONDS_TO_FINISH
        for follower in self._followers:
            follower.ending.set()
        for follower in self._followers:
            follower.join(max(0.0, until - time.monotonic()))
            follower.say_what_it_lacks()


@contextlib.contextmanager
def following(record: Record, sweep: str, fingerprint: str, names: Collection[str], lease: Lease) -> Iterator[Trackers]:
    """The trackers, while a sweep runs; at its end they catch up, unless the record has become another's."""
    trackers = Trackers(record, sweep, fingerprint, names)
    try:
        yield trackers
    finally:
        if not lease.error:
            trackers.end()


class _Follower(threading.Thread):
    """Keeps one tracker up to date. It begins with what the record holds and the tracker lacks."""

    def __init__(self, name: str, tracker: Tracker, record: Record) -> None:
        super().__init__(name=name, daemon=True)
        self.heard: queue.SimpleQueue[tuple[dict[str, Any], list[dict[str, Any]]]] = queue.SimpleQueue()
        self.ending = threading.Event()
        self._tracker, self._ledger = tracker, _Ledger(record.folder, name, tracker.target)
        self._is_begun = self._is_spoken_of = False
        self._trials = _tracked(record, self._ledger.complete)
        self._behind = dict.fromkeys(self._trials)  # in this order

    def run(self) -> None:
        """Catch up, again and again, until the sweep ends; then once more."""
        pause = 0.0
        while not self.ending.wait(pause):
            pause = self._try_to_catch_up()
        self._try_to_catch_up()
        with contextlib.suppress(Exception):
            self._tracker.leave()

    def say_what_it_lacks(self) -> None:
        """Say so if the tracker could not be brought up to date."""
        if self._behind:
            print(f"{self.name} lacks {len(self._behind)} trials; the same command sends them.", file=sys.stderr)

    def _try_to_catch_up(self) -> float:
        """Returns the seconds to wait until the next time: not to be busy more than half the time."""
        self._listen()
        started = time.monotonic()
        try:
            self._catch_up()
        except Exception as error:  # of a tool that is no part of the sweep
            if not self._is_spoken_of:
                gist = (str(error).strip() or type(error).__name__).splitlines()[0]
                print(f"{self.name} cannot be told ({gist}); the sweep goes on.", file=sys.stderr, flush=True)
            self._is_spoken_of = True
            return _SECONDS_AFTER_FAILURE
        return max(_SECONDS_BETWEEN_ROUNDS, time.monotonic() - started)

    def _listen(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                row, rows = self.heard.get_nowait()
                if row["trial"] in self._ledger.complete:
                    continue
                tracked = self._trials.setdefault(row["trial"], Tracked(row))
                tracked.row = row
                tracked.epochs |= {int(epoch["epoch"]): epoch for epoch in rows}
                self._behind[row["trial"]] = None

    def _catch_up(self) -> None:
        if self._behind and not self._is_begun:
            self._tracker.begin(self._ledger.token)
            self._is_begun = True
        try:
            for trial in list(self._behind):
                del self._behind[trial]
                self._write(trial)
        finally:
            self._ledger.save()

    def _write(self, trial: str) -> None:
        try:
            self._tracker.write(self._trials[trial])
        except BaseException:
            self._behind[trial] = None  # behind the others, should the fault be its own
            raise
        if self._trials[trial].is_complete:
            self._ledger.complete.add(trial)
            del self._trials[trial]


class _Ledger:
    """What a tracker has been told in full, kept in the record."""

    def __init__(self, record: Folder, name: str, target: str) -> None:
        self._folder, self._name = record.folder("tracking"), f"{name}.json"
        self._target = hashlib.sha256(target.encode()).hexdigest()[:12]  # for an address may hold a password
        try:
            self._known: dict[str, Any] = self._folder.read_json(self._name)
        except (FileNotFoundError, ValueError):
            self._known = {"token": secrets.token_hex(4), "complete": {}}
        self.complete = set(self._known["complete"].get(self._target, ()))
        self._saved = len(self.complete)

    @property
    def token(self) -> str:
        """Of this record. It is on disk before a tracker is told of it."""
        if not self._folder.exists(self._name):
            self._folder.write_json(self._name, self._known)
        return str(self._known["token"])

    def save(self) -> None:
        """Write it, if a trial was completed since."""
        if len(self.complete) > self._saved:
            self._known["complete"][self._target] = sorted(self.complete)
            self._folder.write_json(self._name, self._known)
            self._saved = len(self.complete)


def _tracked(record: Record, complete: Collection[str]) -> dict[str, Tracked]:
    """The trials of a record that have begun and are not complete, by identity."""
    begun = {
        trial: Tracked(dict(row))
        for trial, row in record.trials.items()
        if trial not in complete and (row["epochs_done"] or record.is_complete(trial))
    }
    for trial, tracked in begun.items():
        tracked.epochs |= record.epochs[trial]
    return begun
