"""A node's GPUs: places on them, what a trial's row says of them, and MPS by a stand-in for its control program."""

import contextlib
import os
import shutil
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
from support.commands import ROOT, refused, run_python, wait_until
from sweeps.engine import cluster
from trainables import Recipe
from trainables.training import pipeline
from trainables.training.selection import DataSelection
from trainables.worker import actor, fork_server, gpus, mps, trial
from trainables.worker.assignment import Assignment, Report, Shared
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


@pytest.mark.parametrize("text", ["sleep 30", "printf '\\377\\n'", "echo 0", "echo '[N/A]'", "exit 9"])
def test_an_nvidia_smi_that_does_not_tell_is_done_without(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "_SECONDS_TO_ANSWER", 1)
    program(tmp_path, "nvidia-smi", f"#!/bin/sh\n{text}\n", monkeypatch)
    assert cluster._smallest_gpu_bytes(7.0) == 7.0


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
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # of whoever starts the server first
    folder = fork_server.node_folder(f"mps-{os.getpid()}-{tmp_path.name}")
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
    number = Path(f"{folder}-mps", "daemon")
    wait_until(lambda: number.exists() and number.read_text() != "", 30)
    assert log(tmp_path) == ["start all"]
    return psutil.Process(int(number.read_text()))


@pytest.mark.slow
def test_mps_serves_the_trials_of_a_node_and_ends_with_them(place_with_mps: Path, tmp_path: Path) -> None:
    fork_server.start(place_with_mps)
    process = daemon(place_with_mps, tmp_path)
    seen = "[__import__('os').environ['CUDA_MPS_PIPE_DIRECTORY']]"
    assert list(fork_server.stream(place_with_mps, "builtins:eval", seen)) == [f"{place_with_mps}-mps"]
    fork_server.stop()
    ended(place_with_mps, tmp_path)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize("daemon", ["exit 1", "sleep 60"])
def test_mps_that_does_not_start_is_a_refusal(
    daemon: str, place_with_mps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, mps.CONTROL, f"#!/bin/sh\n{daemon}\n", monkeypatch)
    monkeypatch.setattr(mps, "_SECONDS_TO_START", 1)
    assert mps.serve(place_with_mps) is None
    assert not Path(f"{place_with_mps}-mps").exists()
    monkeypatch.delenv(mps.PIPES, raising=False)
    assignment = Assignment("t", Recipe("age-c2-f1"), 1, shared(tmp_path, mps=True), 0.5)
    monkeypatch.setattr(pipeline, "set_up", lambda *arguments, **options: None)
    (report,) = trial.run_trial(assignment, tmp_path)
    assert "could not start NVIDIA's MPS" in report["refusal"]


@pytest.mark.slow
def test_mps_that_does_not_quit_is_killed(
    place_with_mps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = CONTROL.replace('daemon"\n', f'daemon"; cp "$folder/daemon" "$folder/{mps.CONTROL}.pid"\n')
    program(
        tmp_path,
        mps.CONTROL,
        deaf.replace("read word &&", "exit 1;").replace("LOG", str(tmp_path / "log")),
        monkeypatch,
    )
    fork_server.start(place_with_mps)
    process = daemon(place_with_mps, tmp_path)
    fork_server.stop()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10)
    wait_until(lambda: not Path(f"{place_with_mps}-mps").exists(), 10)


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


@pytest.mark.cluster
def test_a_sweep_starts_mps_and_ends_it_even_if_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [ROOT / "sweeps" / "zoo.py", "--models", "age-c2-f1", "--smoke", "--mps"]
    assert "has no nvidia-cuda-mps-control, which --mps needs" in refused(run_python(*words, cwd=tmp_path))
    program(tmp_path, mps.CONTROL, CONTROL.replace("LOG", str(tmp_path / "log")), monkeypatch)
    killed = subprocess.Popen([sys.executable, *words], cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_until(lambda: log(tmp_path) == ["start all"])
    killed.kill()
    killed.wait()
    wait_until(lambda: log(tmp_path) == ["start all", "quit"], state=lambda: log(tmp_path))
    done = run_python(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: log(tmp_path) == ["start all", "quit"] * 2, 30, lambda: log(tmp_path))


# ── who touches a GPU ─────────────────────────────────────────────────────────────────────────────────────────────────

#: NVIDIA's driver, as a library that finds no GPU and writes down who loads it and who initialises it. JAX comes to it
#: only by its plugin for CUDA, which does not start without a GPU.
DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void note(const char *event) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    FILE *file = fopen(getenv("DRIVER_LOG"), "a");
    fprintf(file, "%s %d %s\\n", event, (int)getpid(), visible ? visible : "all");
    fclose(file);
}

__attribute__((constructor)) static void loaded(void) { note("loaded"); }
int cuInit(unsigned flags) { note("cuInit"); return 100; }
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuGetErrorName(int error, const char **name) { *name = "CUDA_ERROR_NO_DEVICE"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "no CUDA-capable device is detected"; return 0; }
"""


@pytest.mark.slow
def test_only_trials_touch_a_gpu_and_each_only_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler, for a stand-in for NVIDIA's driver")
    (tmp_path / "driver.c").write_text(DRIVER)
    words = [compiler, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", tmp_path / "driver.c"]
    subprocess.run(words, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}{os.pathsep}{os.environ.get('LD_LIBRARY_PATH', '')}")
    monkeypatch.setenv("DRIVER_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: [0])
    monkeypatch.setattr(actor, "node_gpus", lambda: ["0", "1"])
    folder = fork_server.node_folder(f"driver-{os.getpid()}")
    fork_server.start(folder)
    try:
        server = next(fork_server.stream(folder, "builtins:eval", "[__import__('os').getppid()]"))
        assert log(tmp_path) == []
        with contextlib.ExitStack() as running:
            for _ in range(2):
                running.enter_context(actor._gpu(0.5, folder, shared(tmp_path)))
                assignment = Assignment("t", Recipe("age-c2-f1"), 1, shared(tmp_path), 0.5)
                trial = fork_server.stream(folder, "trainables.worker.trial:run_trial", assignment, folder)
                assert "sees none" in next(trial)["refusal"]
    finally:
        fork_server.stop()
    seen: dict[str, set[tuple[str, str]]] = {}
    for event, process, visible in map(str.split, log(tmp_path)):
        seen.setdefault(process, set()).add((event, visible))
    assert str(server) not in seen
    assert list(seen.values()) == [{("loaded", gpu), ("cuInit", gpu)} for gpu in "01"]
