"""The lease of a record: one sweep writes, whoever dies."""

import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from data_prep.errors import InputError
from data_prep.storage import Folder
from sweeps.record.lease import Lease, _machine


def lease(folder: Path, **story: Any) -> Lease:
    (folder / "age.running.json").write_text(json.dumps({"token": "other", "since": "noon", "renewed": 0} | story))
    return Lease(Folder(str(folder / "age")))


def test_the_lease_of_another_host_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.record.lease._SECONDS_TO_EXPIRE", 2)
    ours = lease(tmp_path, host=platform.node(), machine="another of that name", process=2**22 + 1)
    started = time.monotonic()
    ours.take()
    assert time.monotonic() - started >= 2
    ours.check()


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours = lease(tmp_path, host=platform.node(), machine=_machine(), process=gone.pid)
    started = time.monotonic()
    ours.take()
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b'{"token": 7}',
        b"[" * 100_000,
        json.dumps({"token": "a", "host": "b", "since": "c", "process": "1"}).encode(),
        json.dumps({"token": "a", "host": "b", "since": "c", "process": 10**30}).encode(),
        json.dumps({"token": "a", "host": "b", "since": "c", "process": -1}).encode(),
    ],
)
def test_what_is_no_lease_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "age.running.json").write_bytes(content)
    ours = Lease(Folder(str(tmp_path / "age")))
    started = time.monotonic()
    ours.take()
    ours.check()
    assert time.monotonic() - started < 1


def test_of_two_that_take_a_lease_at_once_one_goes(tmp_path: Path) -> None:
    first, second = Lease(Folder(str(tmp_path / "age"))), Lease(Folder(str(tmp_path / "age")))
    first.take()
    (tmp_path / "age.running.json").unlink()  # as if the second had looked before the first wrote
    second.take()
    second.check()
    with pytest.raises(InputError, match="written by another sweep"):
        first.check()
    first.give_up()
    assert (tmp_path / "age.running.json").exists()
    second.give_up()
    assert not (tmp_path / "age.running.json").exists()
