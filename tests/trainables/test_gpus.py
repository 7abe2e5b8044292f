"""A node's GPUs: places on them, what a trial's row says of them, and MPS by a stand-in for its control program."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray import tune

from data_prep.storage import Folder
from support.commands import wait_until
from trainables.training.selection import DataSelection
from trainables.worker import actor, fork_server, mps
from trainables.worker.assignment import Report, Shared
from trainables.worker.gpus import nvidia, place

CARD = """#!/bin/sh
case "$*" in
*memory.total*) echo 81559; echo 40960 ;;
*--id=1*) echo "NVIDIA H100 80GB HBM3, 580.159" ;;
*) exit 6 ;;
esac
"""
#: Its daemon is a process that sleeps.
CONTROL = """#!/bin/sh
folder=$CUDA_MPS_PIPE_DIRECTORY
if [ "$1" = -d ]; then
    echo "start ${CUDA_VISIBLE_DEVICES-all}" >> LOG
    setsid sleep 3600 > /dev/null 2>&1 & echo $! > "$folder/daemon"
else
    read word && [ "$word" = quit ] && kill $(cat "$folder/daemon") && echo quit >> LOG
fi
"""


def shared(folder: Path, **options: bool) -> Shared:
    return Shared("", DataSelection(Folder(str(folder))), {}, {}, Folder(str(folder)), "tensorflow", 1.0, **options)


def program(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of this name first on the path."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


# ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_trial_takes_its_place_where_the_least_is_taken(tmp_path: Path) -> None:
    gpus = ["3", "GPU-0a-1b"]
    with place(tmp_path, gpus, 0.5) as first, place(tmp_path, gpus, 0.25) as second:
        with place(tmp_path, gpus, 0.25) as third:
            assert (first, second, third) == ("3", "GPU-0a-1b", "GPU-0a-1b")
        with place(tmp_path, gpus, 0.75) as again:
            assert again == "GPU-0a-1b"
    with place(tmp_path, gpus, 1.0) as whole:
        assert whole == "3"


def test_a_trial_waits_until_there_is_room_and_others_wait_behind_it(tmp_path: Path) -> None:
    order = list[str]()

    def hold(share: float) -> None:
        with place(tmp_path, ["0"], share):
            order.append(f"{share}")

    with place(tmp_path, ["0"], 0.25):
        threads = [threading.Thread(target=hold, args=[share]) for share in (1.0, 0.25)]
        for thread in threads:
            thread.start()
            thread.join(0.5)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["1.0", "0.25"]


def test_the_place_of_a_killed_trial_is_free(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trainables.worker.gpus import place; "
        "held = place(Path(sys.argv[1]), ['0'], 1.0); held.__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    with place(tmp_path, ["0"], 1.0) as gpu:
        assert gpu == "0"


# ── what a row says ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_names_the_card_and_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "nvidia-smi", CARD, monkeypatch)
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: [0])
    monkeypatch.setattr(actor, "node_gpus", lambda: ["1"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    actor._card.cache_clear()
    with actor._gpu(0.5, tmp_path, shared(tmp_path, mps=True)) as columns:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        assert columns["device"].endswith(", GPU 1 (NVIDIA H100 80GB HBM3)")
        assert (columns["driver"], columns["mps"]) == ("580.159", True)
    with actor._gpu(0.5, tmp_path, shared(tmp_path, has_all_gpus=False)) as columns:
        assert columns["device"].endswith(", GPU 0")  # the one that Ray gave, which this nvidia-smi does not know
        assert (columns["driver"], columns["mps"]) == (None, False)
    assert nvidia("memory.total") == [["81559"], ["40960"]]


def test_a_trial_without_a_gpu_sees_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get_gpu_ids", list)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with actor._gpu(0.0, tmp_path, shared(tmp_path)) as columns:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        assert list(columns) == ["device"]


# ── MPS ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def place_with_mps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a node whose fork server, once it starts, starts MPS."""
    program(tmp_path, mps.CONTROL, CONTROL.replace("LOG", str(tmp_path / "log")), monkeypatch)
    for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
        monkeypatch.setenv(name, "")  # and so it is as before, afterwards
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # of whoever starts the server first
    folder = fork_server.node_folder(f"mps-{os.getpid()}")
    mps.choose(folder)
    yield folder
    fork_server.stop()


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


def ended(folder: Path, tmp_path: Path) -> None:
    """Wait until the daemon has been ended, and left nothing."""
    wait_until(lambda: log(tmp_path) == ["start all", "quit"], 30, lambda: log(tmp_path))
    wait_until(lambda: not Path(f"{folder}-mps").exists(), 10)


def daemon(folder: Path, tmp_path: Path) -> psutil.Process:
    """The daemon, once it runs."""
    wait_until(lambda: log(tmp_path) == ["start all"], 30)
    wait_until(lambda: Path(f"{folder}-mps", "daemon").exists(), 10)
    return psutil.Process(int(Path(f"{folder}-mps", "daemon").read_text()))


def test_mps_serves_the_trials_of_a_node_and_ends_with_them(place_with_mps: Path, tmp_path: Path) -> None:
    fork_server.start(place_with_mps)
    process = daemon(place_with_mps, tmp_path)
    seen = "[__import__('os').environ['CUDA_MPS_PIPE_DIRECTORY']]"
    assert list(fork_server.stream(place_with_mps, "builtins:eval", seen)) == [f"{place_with_mps}-mps"]
    fork_server.stop()
    ended(place_with_mps, tmp_path)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_mps_waits_for_the_trials_of_a_server_that_was_killed(place_with_mps: Path, tmp_path: Path) -> None:
    fork_server.start(place_with_mps)
    process = daemon(place_with_mps, tmp_path)
    numbers = fork_server.stream(place_with_mps, "itertools:count")
    assert next(numbers) == 0
    fork_server._servers[-1][0].send_signal(signal.SIGKILL)
    fork_server._servers[-1][0].wait()
    assert next(numbers) == 1
    assert process.is_running()
    numbers.close()
    ended(place_with_mps, tmp_path)


def test_mps_ends_after_its_sweep_was_killed(place_with_mps: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trainables.worker import fork_server; "
        "fork_server.start(Path(sys.argv[1])); input()"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(place_with_mps)], stdin=subprocess.PIPE)
    daemon(place_with_mps, tmp_path)
    starter.kill()
    starter.wait()
    ended(place_with_mps, tmp_path)


def test_without_mps_a_sweep_that_wants_it_ends_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[Report]()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tune, "report", told.append)
    Folder(str(tmp_path)).write_json("manifest.json", {})
    actor.supervise_trial({}, shared=shared(tmp_path, mps=True))
    assert [list(report) for report in told] == [["refusal"]]
    assert told[0]["refusal"].endswith(
        " has no nvidia-cuda-mps-control, which --mps needs; install it with NVIDIA's driver, or leave --mps out."
    )
