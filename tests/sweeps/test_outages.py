"""A sweep whose object store is paused, busy, and without its disk, one after another: nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import fs

from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import run_python, wait_until
from support.s3 import s3_server
from support.sweeps import FOUR, assert_same_results
from support.trees import make_tree
from trainables.record import read_epochs

pytestmark = [pytest.mark.cluster, pytest.mark.disaster]

WORK = (*FOUR[:3], "--epochs", "300", "--cpus-per-trial", "1", "--set", "early_stopping_epochs=0")
REMOTE = Folder("s3://sweeps/results/zoo")
SECONDS = 60


def epochs_done() -> int:
    return len(read_epochs(REMOTE)) if REMOTE.exists("manifest.json") else 0


def test_a_store_that_pauses_is_busy_and_loses_its_disk_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree", images=250)
    prepare(str(tree), str(tmp_path / "shards"))
    done = run_python(*WORK, "--data", "shards", "--results", "undisturbed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with s3_server(tmp_path) as (server, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        prepare(str(tree), "s3://sweeps/shards")
        words = [sys.executable, *map(str, WORK), "--data", "s3://sweeps/shards", "--results", "s3://sweeps/results"]
        sweep = subprocess.Popen(words, cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE, text=True)

        def further() -> None:
            """Wait until more of the sweep is on the store, which it has not ended."""
            before = epochs_done()
            wait_until(lambda: epochs_done() > before)
            assert sweep.poll() is None, "the sweep was over before it was disturbed"

        try:
            further()
            server.send_signal(signal.SIGSTOP)
            time.sleep(SECONDS)
            server.send_signal(signal.SIGCONT)
            further()
            (tmp_path / "fault").write_text("busy")
            time.sleep(SECONDS / 2)
            assert sweep.poll() is None, "the sweep was over before its store lost its disk"
            (tmp_path / "fault").write_text("no disk")
            time.sleep(SECONDS)
            (tmp_path / "fault").unlink()
            errors = sweep.communicate(timeout=300)[1]
            assert sweep.returncode == 0, errors
            assert "is waited for" in errors
        finally:
            sweep.kill()
        answers = (tmp_path / "log").read_text()
        assert answers.count(" 503 ")
        assert answers.count(" 500 ")
        system, path = fs.FileSystem.from_uri("s3://sweeps/results")
        fs.copy_files(path, str(tmp_path / "remote"), source_filesystem=system)
    assert_same_results(tmp_path / "undisturbed", tmp_path / "remote")
