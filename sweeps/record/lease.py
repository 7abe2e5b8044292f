"""One sweep at a time on a record: a lease beside its folder, renewed while the sweep runs.

A killed sweep leaves its lease behind. The next one takes it over: at once where it can see that the process has ended,
otherwise once the lease has not been renewed for a while. Clocks are not compared.
"""

import _thread
import contextlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_prep import Folder, InputError

_SECONDS_BETWEEN_RENEWALS = 5.0
_SECONDS_TO_EXPIRE = 20.0


class Lease:
    """A lease that this process holds, unless another process took it at the same moment."""

    def __init__(self, record: Folder) -> None:
        parent, _, name = record.location.rstrip("/").rpartition("/")
        self.folder, self.name = Folder(parent or ".").absolute(), f"{name}.running.json"
        self.error: InputError | None = None
        self._record, self._token, self._renewals = record, secrets.token_hex(8), 0
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._makes_folder = self.folder.is_local and not self.folder.exists()
        self._over = threading.Event()

    def take(self) -> None:
        """Write the lease. Raises InputError if another sweep holds one and renews it."""
        other = self._read()
        if other and not _has_ended(other):
            self._wait_for(other)
        self._write()

    def check(self) -> None:
        """Raise InputError if another sweep has taken the lease since: of two that start at once, one must go."""
        other = self._read()
        if other and other["token"] != self._token:
            raise self._refusal(other)

    def renew(self) -> None:
        """Renew the lease until it is given up. Interrupts the sweep if another sweep has taken the lease."""
        while not self._over.wait(_SECONDS_BETWEEN_RENEWALS):
            try:
                self.check()
                self._renewals += 1
                self._write()
            except InputError as error:
                self.error = error
                _thread.interrupt_main()
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
        try:
            lease: dict[str, Any] = self.folder.read_json(self.name)
            return lease
        except (FileNotFoundError, ValueError):
            return None

    def _write(self) -> None:
        lease = {"token": self._token, "host": platform.node(), "machine": _machine(), "process": os.getpid()}
        self.folder.write_json(self.name, lease | {"since": self._since, "renewed": self._renewals})

    def _wait_for(self, other: dict[str, Any]) -> None:
        """Wait until the other sweep must have renewed its lease. Raises InputError if it has."""
        print(f"{_holder(other)} was at work here: waiting {_SECONDS_TO_EXPIRE:g} s to see if it still is.", flush=True)
        deadline = time.monotonic() + _SECONDS_TO_EXPIRE
        while time.monotonic() < deadline:
            time.sleep(1)
            now = self._read()
            if now is None:
                return
            if now != other:
                raise self._refusal(now)

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
    if other.get("machine") == _machine():
        try:
            os.kill(int(other["process"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
    return False


def _machine() -> str:
    """Where a process number means the same process: host names may be equal, and containers count for themselves."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not on Linux
        return platform.node()


def _holder(other: dict[str, Any]) -> str:
    return f"process {other['process']} on {other['host']}, since {other['since']}"
