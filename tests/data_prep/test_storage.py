"""Folders on an object store: a real S3 server on this machine, which at times does not answer."""

import errno
import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from data_prep import storage
from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import ROOT, Command, refused
from support.s3 import Server, s3_server
from support.trees import make_tree
from trainables.record import read_epochs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server with a bucket `sweeps`; every process started from here finds it, and in S3_LOG its requests."""
    folder = tmp_path_factory.mktemp("s3")
    with pytest.MonkeyPatch.context() as patch, s3_server(folder) as (server, environment):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("S3_LOG", str(folder / "log"))
        yield server


def test_a_bucket_is_a_folder_like_any_other(server: Server) -> None:
    folder = Folder("s3://sweeps/plain").folder("inner")
    assert not folder.exists("a.json")
    assert folder.names() == []
    folder.write_json("a.json", {"x": 1})
    folder.write_bytes("b/c.bin", b"123")
    assert folder.names() == ["a.json", "b"]
    assert folder.read_json("a.json") == {"x": 1}
    assert folder.size("b/c.bin") == 3
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("d")
    folder.move_to(Folder("s3://sweeps/moved"))
    assert not folder.exists("a.json")
    assert Folder("s3://sweeps/moved").read_bytes("b/c.bin") == b"123"
    Folder("s3://sweeps/moved").delete("a.json")
    assert Folder("s3://sweeps/moved").names() == ["b"]


def requests(work: Callable[[], object]) -> list[str]:
    """The methods of the requests that some work makes, in order."""
    log = Path(os.environ["S3_LOG"])
    before = log.stat().st_size
    work()
    return re.findall(r'"(?:\x1b\[\d+m)*([A-Z]+) /', log.read_text()[before:])


def test_a_file_takes_three_requests_at_most(server: Server) -> None:
    folder = Folder("s3://sweeps/few")
    assert requests(lambda: folder.write_bytes("x", b"1" * 2**20)) == ["PUT"]
    assert requests(lambda: folder.read_bytes("x")) == ["HEAD", "GET", "HEAD"]
    assert requests(lambda: folder.exists("x")) == ["HEAD"]
    assert requests(lambda: folder.write_json("y", {})) == ["PUT"]


@pytest.mark.slow
def test_a_storage_that_hangs_is_waited_for(server: Server) -> None:
    folder = Folder("s3://sweeps/patient")
    folder.write_bytes("x", b"before")
    server.send_signal(signal.SIGSTOP)
    threading.Timer(8, server.send_signal, [signal.SIGCONT]).start()
    started = time.monotonic()
    folder.write_bytes("x", b"after")
    assert time.monotonic() - started >= 7
    assert folder.read_bytes("x") == b"after"


@pytest.mark.slow
def test_waiting_ends_with_a_sentence(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIFAKE_SWEEPS_PATIENCE", "8")
    monkeypatch.setattr(storage, "_said", -math.inf)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="s3://sweeps/gone") as raised:
        Folder("s3://sweeps/gone").read_bytes("x")
    assert raised.value.errno == errno.ETIMEDOUT
    assert capfd.readouterr().err.count("s3://sweeps/gone does not answer, and is waited for") == 1


def test_a_bucket_that_does_not_exist_is_one_sentence(server: Server, command: Command, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    done = command("-m", "data_prep", "--source", tree, "--out", "s3://nowhere/shards")
    assert "s3://nowhere/shards: no such file or folder; check the path." in refused(done)


@pytest.mark.cluster
def test_shards_and_records_can_live_there(server: Server, command: Command, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", images=60)
    Folder("s3://sweeps/shards").write_bytes("train-00000.parquet", b"of a job that was killed")
    done = command("-m", "data_prep", "--source", tree, "--out", "s3://sweeps/shards")
    assert done.returncode == 0, done.stderr
    zoo = (ROOT / "sweeps" / "zoo.py", "--models", "age-c2-f1,age-c4-f1", "--data", "s3://sweeps/shards", "--epochs", 2)
    for place in ("s3://sweeps/results", "results"):
        done = command(*zoo, "--results", place)
        assert done.returncode == 0, done.stderr
    remote, local = (
        read_epochs(Folder(str(place))).drop(columns="wall_seconds").sort_values(["trial", "epoch"], ignore_index=True)
        for place in ("s3://sweeps/results/zoo", tmp_path / "results" / "zoo")
    )
    pd.testing.assert_frame_equal(remote, local, check_exact=True)
    assert Folder("s3://sweeps/results/zoo").size("report.html") > 10_000
    assert not Folder("s3://sweeps/results").exists("zoo.running.json")
    watched = command("-m", "analysis", "s3://sweeps/results/zoo", "--watch")
    assert watched.returncode == 0, watched.stderr
    assert "2 finished; 4 of 4 epochs" in watched.stdout


@pytest.mark.cluster
def test_a_shard_that_is_deleted_under_a_sweep_is_one_sentence(
    server: Server, command: Command, tmp_path: Path
) -> None:
    prepare(str(make_tree(tmp_path / "tree")), "s3://sweeps/lost")
    zoo = (ROOT / "sweeps" / "zoo.py", "--models", "age-c2-f1", "--data", "s3://sweeps/lost", "--epochs", 3)
    Folder("s3://sweeps/lost").delete("validation-00000.parquet")
    assert "validation-00000.parquet is missing" in refused(command(*zoo, env=os.environ))


def test_what_a_killed_process_left_half_written_is_swept_up(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for name in ("checkpoints/t/last.npz", "checkpoints/t/.last.npz.0123abcd", ".manifest.json.89abcdef", ".gitignore"):
        folder.write_bytes(name, b"x")
    folder.clear()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [".gitignore", "checkpoints/t/last.npz"]
