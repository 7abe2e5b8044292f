"""One sweep at a time on a record: a lease beside its folder, renewed while the sweep runs.

A killed sweep leaves its lease behind. The next one takes it over: at once where it can see that the process has ended,
otherwise once the lease has not been renewed for a while. Clocks are not compared.
"""

import contextlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_prep import Folder, InputError, printable

_SECONDS_BETWEEN_RENEWALS = 5.0
_SECONDS_TO_EXPIRE = 20.0


class Lease:
    """A lease that this process holds, unless another process took it at the same moment."""

    def __init__(self, record: Folder) -> None:
        parent, _, name = record.location.rstrip("/").rpartition("/")
        self.folder, self.name = Folder(parent or ".").absolute(), f"{name}.running.json"
        self.error: InputError | None = None
        #: Interrupts the sweep; before it runs, `check` suffices.
        self.interrupt: Callable[[], None] = lambda: None
        self._record = record
        self._content: dict[str, Any] = {
            "token": secrets.token_hex(8),
            "host": platform.node(),
            "machine": _machine(),
            "process": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "renewed": 0,
        }
        self._makes_folder = self.folder.is_local and not self.folder.exists()
        self._over = threading.Event()

    def take(self) -> None:
        """Write the lease. Raises InputError if another sweep holds one, and renews it while this one waits for it."""
        other = self._read()
        if other and not _has_ended(other):
            line = f"{_holder(other)} was at work here: waiting {_SECONDS_TO_EXPIRE:g} s to see if it still is."
            print(printable(line), flush=True)
            now: dict[str, Any] | None = other
            deadline = time.monotonic() + _SECONDS_TO_EXPIRE
            while now == other and time.monotonic() < deadline:
                time.sleep(1)
                now = self._read()
            if now and now != other:
                raise self._refusal(now)
        self.folder.write_json(self.name, self._content)

    def check(self) -> None:
        """Raise InputError if another sweep has taken the lease since: of two that start at once, one must go."""
        other = self._read()
        if other and other["token"] != self._content["token"]:
            raise self._refusal(other)

    def renew(self) -> None:
        """Renew the lease until it is given up. Interrupts the sweep if another sweep has taken the lease."""
        while not self._over.wait(_SECONDS_BETWEEN_RENEWALS):
            try:
                self.check()
                self._content["renewed"] += 1
                self.folder.write_json(self.name, self._content)
            except InputError as error:
                self.error = error
                self.interrupt()
                return
            except OSError:  # the record's own writes meet it too, and report it
                continue

    def give_up(self) -> None:
        """Delete the lease if it is still this sweep's."""
        self._over.set()
        with contextlib.suppress(OSError, InputError):
            self.check()
            self.folder.delete(self.name)
            if self._makes_folder:
                self.folder.local_path().rmdir()  # unless there is something in it

    def _read(self) -> dict[str, Any] | None:
        """The lease that lies there; None where there is none, or what no sweep has written."""
        try:
            found = self.folder.read_json(self.name)
        except (FileNotFoundError, ValueError):
            return None
        texts = ("token", "host", "since")
        is_lease = isinstance(found, dict) and all(isinstance(found.get(name), str) for name in texts)
        is_process = is_lease and type(found.get("process")) is int and 0 < found["process"] < 2**31
        return found if is_process else None

    def _refusal(self, other: dict[str, Any]) -> InputError:
        return InputError(
            f"{self._record} is being written by another sweep ({_holder(other)}); wait for it to end, or give another "
            "--results."
        )


@contextlib.contextmanager
def held(record: Folder) -> Iterator[Lease]:
    """Hold the lease of a record. Raises InputError if another sweep does."""
    lease = Lease(record)
    lease.take()
    threading.Thread(target=lease.renew, daemon=True).start()
    try:
        yield lease
    except KeyboardInterrupt:
        raise lease.error or KeyboardInterrupt
    finally:
        lease.give_up()


def _has_ended(other: dict[str, Any]) -> bool:
    """Whether the process of another sweep can be seen to have ended."""
    try:
        if other.get("machine") == _machine():
            os.kill(int(other["process"]), 0)
        return False
    except OSError as error:  # or the process belongs to somebody else
        return isinstance(error, ProcessLookupError)


def _machine() -> str:
    """Where a process number means the same process: host names may be equal, and containers count for themselves."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not on Linux
        return platform.node()


def _holder(other: dict[str, Any]) -> str:
    return f"process {other['process']} on {other['host']}, since {other['since']}"
