"""The trackers that follow a sweep while it runs: TensorBoard always, MLflow and Weights & Biases on request.

They receive what the record receives, each in a thread of its own, and never stop or slow the sweep: one that fails is
reported once and tried again. The same command later sends, out of the record, whatever a tracker lacks at the end.

    tracking/NAME.json    token: of this record, since others may hold the same trials
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
from collections.abc import Callable, Collection, Iterator
from typing import Any

from data_prep import InputError
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


class Trackers:
    """The trackers of one run of a sweep."""

    def __init__(self, record: Record, sweep: str, fingerprint: str, names: Collection[str]) -> None:
        self._followers = [_Follower(name, TRACKERS[name](sweep, fingerprint), record) for name in dict.fromkeys(names)]
        self._followers.append(_Follower("tensorboard", TensorBoard(record.folder), record))
        for follower in self._followers:
            follower.start()

    def send(self, row: dict[str, Any], epochs: list[dict[str, Any]]) -> None:
        """Pass on a trial's row of the record, which has changed, and those of its epochs that are new."""
        for follower in self._followers:
            follower.news.put((dict(row), epochs))

    def end(self) -> None:
        """Let all trackers catch up, for half a minute at most, and report what one still lacks."""
        deadline = time.monotonic() + _SECONDS_TO_FINISH
        for follower in self._followers:
            follower.ending.set()
        for follower in self._followers:
            follower.join(max(0.0, deadline - time.monotonic()))
            if follower.behind:
                lacking = f"{follower.name} lacks {len(follower.behind)} trials"
                print(f"{lacking}; run the same command again to send them.", file=sys.stderr)


@contextlib.contextmanager
def following(record: Record, sweep: str, fingerprint: str, names: Collection[str], lease: Lease) -> Iterator[Trackers]:
    """The trackers, while a sweep runs; at its end they catch up, unless another sweep has taken the lease."""
    trackers = Trackers(record, sweep, fingerprint, names)
    try:
        yield trackers
    finally:
        if not lease.error:
            trackers.end()


class _Follower(threading.Thread):
    """Keeps one tracker up to date, beginning with what the record holds and the tracker lacks.

    `tracking/NAME.json` is read at the start, and written whenever trials have become complete in the tracker.
    """

    def __init__(self, name: str, tracker: Tracker, record: Record) -> None:
        super().__init__(name=name, daemon=True)
        self.news: queue.SimpleQueue[tuple[dict[str, Any], list[dict[str, Any]]]] = queue.SimpleQueue()
        self.ending = threading.Event()
        self._tracker, self._folder = tracker, record.folder.folder("tracking")
        try:
            self._ledger: dict[str, Any] = self._folder.read_json(f"{name}.json")
        except (FileNotFoundError, ValueError):
            self._ledger = {"token": secrets.token_hex(4), "complete": {}}
        self._destination = hashlib.sha256(tracker.target.encode()).hexdigest()[:12]  # an address may hold a password
        self._complete = set(self._ledger["complete"].get(self._destination, ()))
        self._trials = {
            identity: Trial(dict(row), dict(record.epochs[identity]))
            for identity, row in record.trials.items()
            if identity not in self._complete and (row["epochs_done"] or record.is_complete(identity))
        }
        self.behind = dict.fromkeys(self._trials)  # the trials with something to write, in this order
        self._has_begun = self._has_warned = False

    def run(self) -> None:
        """Catch up, again and again, until the sweep ends; then once more."""
        pause, is_last = 0.0, False
        while not is_last:
            is_last = self.ending.wait(pause)
            self._read_news()
            pause = self._try_to_write()
        with contextlib.suppress(Exception):
            self._tracker.leave()

    def _try_to_write(self) -> float:
        """Return the seconds to wait until the next time, so that the thread is not busy more than half the time."""
        started = time.monotonic()
        try:
            self._write()
        except Exception as error:  # of a tool that is no part of the sweep
            if not self._has_warned:
                gist = (str(error).strip() or type(error).__name__).splitlines()[0]
                print(f"{self.name} failed ({gist}); the sweep goes on and tries again.", file=sys.stderr, flush=True)
            self._has_warned = True
            return _SECONDS_AFTER_FAILURE
        return max(_SECONDS_BETWEEN_ROUNDS, time.monotonic() - started)

    def _read_news(self) -> None:
        while not self.news.empty():  # only this thread takes any
            row, epochs = self.news.get()
            if row["trial"] not in self._complete:
                trial = self._trials.setdefault(row["trial"], Trial(row))
                trial.row = row
                trial.epochs |= {int(epoch["epoch"]): epoch for epoch in epochs}
                self.behind[row["trial"]] = None

    def _write(self) -> None:
        if self.behind and not self._has_begun:
            self._save()  # the token must be on disk before the tracker receives it
            self._tracker.begin(str(self._ledger["token"]))
            self._has_begun = True
        complete = len(self._complete)
        try:
            for identity in list(self.behind):
                self.behind[identity] = self.behind.pop(identity)  # to the end, in case this trial is what fails
                self._tracker.write(self._trials[identity])
                if self._trials[identity].is_complete:
                    self._complete.add(identity)
                    del self._trials[identity]
                del self.behind[identity]
        finally:
            if len(self._complete) > complete:
                self._save()

    def _save(self) -> None:
        self._ledger["complete"][self._destination] = sorted(self._complete)
        self._folder.write_json(f"{self.name}.json", self._ledger)
