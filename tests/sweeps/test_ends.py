"""What ends a sweep and what does not, but for kills: readers that leave, networks that cannot be built, odd places."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data_prep.errors import ENDS
from support.commands import ROOT, copy_of_the_code, memory_of, refused, run_python, small_disk, wait_until
from support.sweeps import TINY, ZOO, assert_same_results, checkpoints, command_line, start_sweep, trials
from trainables import MODELS

pytestmark = pytest.mark.cluster

ONE = (ZOO, "--models", "age-c2-f1", "--smoke")

TROUBLED = """
import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from trainables.layers.blocks import head, image_input


def narrow(image_size: int) -> keras.Model:
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(layers.Conv2D(4, 64)(x)), ()))


def misnamed(image_size: int) -> keras.Model:
    return unknown(image_size)


@keras.saving.register_keras_serializable()
class Troubled(layers.Layer):
    def __init__(self, kind, **options):
        super().__init__(**options)
        self.kind, self.taken = kind, {}
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if not training:
            return x
        self.steps.assign_add(1.0)
        return x + tf.ensure_shape(tf.py_function(self.trouble, [tf.convert_to_tensor(self.steps)], tf.float32), [])

    def trouble(self, steps):
        if steps > 120:  # in epoch 2 of a trial; a plan times fewer
            if self.kind == "raises":
                raise RuntimeError("not in epoch 2")
            while self.kind == "hangs":
                time.sleep(1)
            while self.kind == "fills the memory":
                self.taken[len(self.taken)] = np.ones(2**27)
        return np.float32(0)

    def get_config(self):
        return super().get_config() | {"kind": self.kind}


def troubled(image_size: int, kind: str) -> keras.Model:
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(Troubled(kind)(x)), ()))
"""
TROUBLED_MODELS = """
MODELS["narrow"] = Network("troubled.narrow")
MODELS["misnamed"] = Network("troubled.misnamed")
MODELS["late"] = Network("troubled.troubled", {"kind": "raises"})
MODELS["glutton"] = Network("troubled.troubled", {"kind": "fills the memory"})
MODELS["sleeper"] = Network("troubled.troubled", {"kind": "hangs"})
"""


def test_networks_that_cannot_be_built_fail_alone(tmp_path: Path) -> None:
    copy = copy_of_the_code(tmp_path, {"troubled.py": TROUBLED}, TROUBLED_MODELS)
    done = run_python("sweeps/zoo.py", "--models", "narrow,misnamed,age-c2-f1", "--smoke", **copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "2 trials failed; the same command tries them again."
    rows = trials(tmp_path / "results").set_index("network")
    assert rows["status"].to_dict() == {"narrow": "failed", "misnamed": "failed", "age-c2-f1": "finished"}
    assert "NameError: name 'unknown' is not defined" in rows.loc["misnamed", "reason"]


@pytest.mark.disaster
def test_five_of_twelve_networks_fail_each_for_its_reason_and_alone(tmp_path: Path) -> None:
    """Two that cannot be built, one that raises at epoch 2, one that hangs, and, if memory is limited, a glutton."""
    copy = copy_of_the_code(tmp_path, {"troubled.py": TROUBLED}, TROUBLED_MODELS)
    with memory_of(6 * 2**30) as enter:
        troubled = ["narrow", "misnamed", "late", "sleeper", *["glutton"] * bool(enter)]
        models = ",".join([*troubled, *list(MODELS)[: 12 - len(troubled)]])
        words = ["sweeps/zoo.py", "--models", models, "--batch-size", "4", *TINY]
        plan = run_python(*words, "--plan", **copy, preexec_fn=enter)
        assert plan.returncode == 1, plan.stderr
        *named, last = plan.stderr.splitlines()
        assert named[0].startswith("narrow cannot be built: ValueError")
        assert named[1:] == ["misnamed cannot be built: NameError: name 'unknown' is not defined"]
        assert last == "2 networks cannot be built; their trials would fail."
        assert not (tmp_path / "results").exists()
        done = run_python(*words, "--hang-minutes", "0.4", **copy, preexec_fn=enter)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == f"{len(troubled)} trials failed; the same command tries them again."
    rows = trials(tmp_path / "results").set_index("network")
    failed = rows[rows["status"] == "failed"]["reason"]
    assert set(failed.index) == set(troubled)
    assert "NameError: name 'unknown' is not defined" in failed["misnamed"]
    assert "not in epoch 2" in failed["late"]
    assert "it hung: no sign of life for 0.4 minutes" in failed["sleeper"]
    if enter:
        assert "its worker died 4 times in a row: its process died without a word" in failed["glutton"]
    assert (rows.loc[troubled[2:], "epochs_done"] == 1).all()
    assert (rows.drop(failed.index)["epochs_done"] == 3).all()
    assert not rows.drop(failed.index)["status"].isin(["failed", "diverged"]).any()


def test_a_sweep_in_a_scripts_background_sees_that_its_record_is_taken(tmp_path: Path) -> None:
    words = [*map(str, ONE[:3]), "--limit", "400", "--epochs", "2000"]
    words = ["env", "--ignore-signal=INT", sys.executable, *words]
    sweep = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    lease = tmp_path / "results" / "zoo.running.json"
    wait_until(lambda: checkpoints(tmp_path / "results") == 1)
    lease.write_text(lease.read_text().replace(json.loads(lease.read_text())["token"], "another"))
    _, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 2, errors
    assert "is being written by another sweep" in errors.splitlines()[-1]


def test_readers_that_leave_and_a_window_that_closes_under_nohup_end_nothing(tmp_path: Path) -> None:
    words = ["env", "--ignore-signal=HUP", sys.executable, *map(str, ONE)]
    sweep = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert sweep.stdout
    assert sweep.stderr
    assert b"Started Ray" in sweep.stdout.readline() + sweep.stdout.readline()
    sweep.send_signal(signal.SIGHUP)
    sweep.stdout.close()
    sweep.stderr.close()
    assert sweep.wait(300) == 0
    assert (trials(tmp_path / "results")["status"] == "finished").all()
    assert (tmp_path / "results" / "zoo" / "report.html").exists()


def test_a_report_that_nobody_makes_is_said_to_be_missing(tmp_path: Path) -> None:
    sweep = subprocess.Popen([sys.executable, *map(str, ONE)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    def is_killed() -> bool:
        for process in psutil.Process(sweep.pid).children():
            if "-m analysis" in command_line(process):
                process.kill()
                return True
        return False

    wait_until(is_killed)
    _, errors = sweep.communicate(timeout=300)
    assert sweep.returncode == 1
    assert errors.splitlines()[-1] == "There is no new report; the same command makes it."
    done = run_python(*ONE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "zoo" / "report.html").exists()


def test_odd_places_are_no_obstacle(tmp_path: Path) -> None:
    """A long name for temporary files, a RAY_ADDRESS that names none, and files named as our packages."""
    for name in ("trainables.py", "sweeps.py", "data_prep.py"):
        (tmp_path / name).write_text("raise SystemExit('not ours')")
    long = tmp_path / ("long" * 20)
    long.mkdir()
    done = run_python(*ONE, cwd=tmp_path, env=os.environ | {"TMPDIR": str(long), "RAY_ADDRESS": "local"})
    assert done.returncode == 0, done.stderr
    assert "Started Ray" in done.stdout
    assert (trials(tmp_path / "results")["status"] == "finished").all()


CLOCK = """
import time

real, begun = time.time, time.time()
time.time = lambda: real() + 7200 * (-1) ** int((real() - begun) // 2)
"""


@pytest.mark.disaster
def test_a_clock_that_jumps_changes_nothing(place: Path, undisturbed: Path) -> None:
    """By two hours, to and fro, every two seconds, for all Python of the sweep."""
    (place / "clock").mkdir()
    (place / "clock/sitecustomize.py").write_text(CLOCK)
    path = os.pathsep.join([str(place / "clock"), str(ROOT)])
    sweep = start_sweep(place, "jumps", env=os.environ | {"PYTHONPATH": path})
    _, errors = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, errors
    assert_same_results(undisturbed, place / "jumps")


def _listing() -> list[str]:
    """A line a process: its number, and that of its group."""
    return subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.disaster
@pytest.mark.parametrize("everything", [True, False], ids=["a laptop that sleeps", "Ctrl-Z"])
def test_a_sweep_that_is_halted_goes_on(everything: bool, place: Path, undisturbed: Path) -> None:
    """For longer than a trial may give no sign of life."""
    results = place / f"halted-{everything}"
    sweep = start_sweep(place, results.name, "--hang-minutes", "0.5", start_new_session=True)
    wait_until(lambda: checkpoints(results) >= 1)
    driver = psutil.Process(sweep.pid)
    halted = [driver, *driver.children(recursive=True)]
    if not everything:  # a terminal halts its group
        groups = {int(line.split()[0]): int(line.split()[1]) for line in _listing()}
        halted = [process for process in halted if groups.get(process.pid) == sweep.pid]
    try:
        for process in halted:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        time.sleep(75)
    finally:
        for process in halted:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
    _, errors = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, errors
    assert_same_results(undisturbed, results)


@pytest.mark.disaster
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("HOME", "Ray cannot be started on this machine ([Errno 30] Read-only file system: "),
        ("XDG_CACHE_HOME", ""),
        ("TMPDIR", "the system reports: the disk is full; free some space"),
        ("", "shards: the file system is read-only; choose a folder that you may write to."),
    ],
)
def test_folders_that_cannot_be_written_to(variable: str, said: str, tmp_path: Path) -> None:
    """Each is a disk of 100 kB, which is read-only but for temporary files; without a variable, the working folder."""
    with small_disk(tmp_path / "disk", "100k") as disk:
        if variable != "TMPDIR":
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        (tmp_path / "work").mkdir()
        done = run_python(
            *ONE,
            cwd=tmp_path / "work" if variable else disk,
            env=os.environ | ({variable: str(disk)} if variable else {}),
        )
    if said:
        assert said in refused(done)
    else:
        assert done.returncode == 0, done.stderr
    assert bool(list(tmp_path.glob("work/results/zoo/report.html"))) is not bool(said)


@pytest.mark.disaster
@pytest.mark.parametrize(
    ("limit", "said"), [("-v 3000000", "Ray cannot be started on this machine ("), ("-n 64", ""), ("-c 0", "")]
)
def test_a_shells_limits(limit: str, said: str, tmp_path: Path) -> None:
    words = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", sys.executable, *map(str, ONE)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    if said:
        assert said in refused(done)
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.disaster
def test_a_terminal_that_lacks_letters_gets_question_marks(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run_python(*ONE, cwd=tmp_path, env=bare | ascii_only)
    assert done.returncode == 0, done.stderr
    assert "95 % interval" in done.stdout
    assert not done.stderr


def test_signals_are_heard_once_ray_has_ended(tmp_path: Path) -> None:
    """Whose C++ leaves the system's own handlers behind."""
    code = """
import os, signal, time
import click
from data_prep.errors import run_command
from sweeps.engine import cluster

@click.command()
def main():
    cluster.connect()
    cluster.disconnect()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)

run_command(main, [])
"""
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (ENDS["SIGTERM"].code, ENDS["SIGTERM"].sentence)
