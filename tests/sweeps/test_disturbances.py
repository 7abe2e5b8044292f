"""Sweeps in trouble: kills, hangs, memory, full disks. The record ends as if nothing had happened."""

import contextlib
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
from kill_points import disturbed, points, shuffled

from support.commands import copy_of_the_code, refused, run_python, small_disk, wait_until
from support.sweeps import (
    AGE,
    FOUR,
    TINY,
    assert_same_results,
    checkpoints,
    is_alive,
    processes_below,
    start_sweep,
    trials,
)

pytestmark = pytest.mark.cluster


# ── kills, hangs, and memory ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Killed:
    """A sweep whose driver was killed: its results, its processes, and the folders that its trials shared."""

    results: Path
    processes: list[psutil.Process]
    folders: set[Path]


@pytest.fixture(scope="module")
def killed(place: Path) -> Killed:
    """The four, of which at least one had ended."""
    before, results = shared_folders(), place / "killed"
    sweep = start_sweep(place, results.name)
    wait_until(lambda: checkpoints(results) >= 3 and bool(_ended(results)))
    processes = processes_below(sweep.pid)
    folders = shared_folders() - before
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate()
    return Killed(results, processes, folders)


def shared_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("cifake-sweeps-*"))


def test_nothing_is_left_behind(killed: Killed) -> None:
    """By a sweep whose driver was killed: no process, and none of the files that its trials shared."""
    assert killed.folders
    wait_until(lambda: not any(map(is_alive, killed.processes)), 30)
    assert not killed.folders & shared_folders()


def test_a_killed_driver_goes_on_and_repeats_nothing(killed: Killed, place: Path, undisturbed: Path) -> None:
    wait_until(lambda: not any(map(is_alive, killed.processes)), 30)
    before = _ended(killed.results)
    done = run_python(*FOUR, "--results", killed.results.name, cwd=place)
    assert done.returncode == 0, done.stderr
    assert_same_results(undisturbed, killed.results)
    after = _ended(killed.results)
    assert before
    assert before == {trial: after[trial] for trial in before}, "a trial that had ended was trained again"


def _ended(results: Path) -> dict[str, tuple[float, int]]:
    """The trials that have ended, with their time in seconds, and when their best network was written in ns."""
    table = trials(results)
    ended = table[table["status"] == "finished"] if "status" in table else table
    files = {trial: results / "zoo" / "checkpoints" / trial / "best.keras" for trial in ended["trial"]}
    seconds = zip(files, ended["wall_seconds"], strict=True)
    return {trial: (time, files[trial].stat().st_mtime_ns) for trial, time in seconds}


def test_a_second_sweep_on_the_same_record_says_so_and_stops(place: Path, undisturbed: Path) -> None:
    first = start_sweep(place, "two")
    wait_until(lambda: (place / "two" / "zoo.running.json").exists())
    second = run_python(*FOUR, "--results", "two", cwd=place)
    assert f"written by another sweep (process {first.pid} on " in refused(second)
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert_same_results(undisturbed, place / "two")
    assert not (place / "two" / "zoo.running.json").exists()


@pytest.mark.parametrize(
    ("name", "to"),
    [("trial", ""), ("raylet", ""), ("SIGTERM", "group")],
)
def test_a_disturbed_sweep_says_how_it_ends_and_goes_on(name: str, to: str, place: Path, undisturbed: Path) -> None:
    """The short form of `kill_points`."""
    ended, faults = disturbed(undisturbed, place / f"{name}-{to}", name, to, moment=4)
    assert not faults, (ended, faults)


@pytest.mark.disaster
def test_sixty_kills_and_twelve_signals_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    wrong = []
    for told, is_right in points(shuffled(kills=60, signals=12, seed=0), 0, tmp_path):
        print(told, flush=True)
        wrong += [] if is_right else [told]
    assert not wrong


GREEDY = """
import keras
import tensorflow as tf
from keras import layers

from trainables.layers.blocks import head, image_input


class Greedy(layers.Layer):
    def __init__(self, enough):
        super().__init__()
        self.enough = enough

    def call(self, x, training=False):
        if not training:
            return x
        numbers = tf.where(tf.shape(x)[0] > self.enough, tf.constant([2**45], tf.int64), tf.constant([1], tf.int64))
        return x + tf.fill(numbers, 0.0)[0]


def greedy(image_size: int, enough: int) -> keras.Model:
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(Greedy(enough)(x)), ()))


def poisoned(image_size: int) -> keras.Model:
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(layers.Rescaling(float("nan"))(x)), ()))
"""
GREEDY_MODELS = """
MODELS["greedy"] = Network("greedy.greedy", {"enough": 4})
MODELS["insatiable"] = Network("greedy.greedy", {"enough": 3})
MODELS["poisoned"] = Network("greedy.poisoned")
"""


def test_trials_short_of_memory_or_poisoned_do_not_disturb_the_others(tmp_path: Path) -> None:
    """TensorFlow is asked for 140 TB, and says that its memory is exhausted."""
    copy = copy_of_the_code(tmp_path, {"greedy.py": GREEDY}, GREEDY_MODELS)
    models = "greedy,insatiable,poisoned,age-c2-f1"
    done = run_python("sweeps/zoo.py", "--models", models, "--smoke", "--batch-size", 32, **copy)
    rows = pd.read_parquet(tmp_path / "results" / "zoo" / "trials.parquet").set_index("network")
    assert rows["status"].to_dict() == {
        "greedy": "finished",
        "insatiable": "failed",
        "poisoned": "diverged",
        "age-c2-f1": "finished",
    }
    assert (rows["batch_size"] == 32).all()
    assert rows["batch_size_used"].to_dict() == {"greedy": 4, "insatiable": 4, "poisoned": 32, "age-c2-f1": 32}
    assert "trained with batch size 4 instead of 32: out of memory" in rows.loc["greedy", "reason"]
    assert (rows["learning_rate"] == 1e-3).all()
    assert "no longer finite after epoch 1" in rows.loc["poisoned", "reason"]
    assert done.returncode == 1
    assert "failed: insatiable (seed 0): ResourceExhaustedError" in done.stderr


# ── what is not there ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_more_gpus_than_there_are_is_one_sentence(place: Path) -> None:
    done = run_python(AGE, *TINY, "--gpus-per-trial", "9", "--results", "nine", cwd=place)
    assert "asks for 9 GPUs" in refused(done)
    assert not (place / "nine").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize("size", ["32k", "3m"], ids=["at the start", "at a checkpoint"])
def test_a_full_disk_is_waited_for_and_then_ends_the_sweep_in_one_sentence(size: str, place: Path) -> None:
    with small_disk(place / f"disk-{size}", size) as disk:
        environment = os.environ | {"CIFAKE_SWEEPS_PATIENCE": "3"}
        done = run_python(AGE, *TINY, "--results", disk.name, cwd=place, env=environment)
        assert done.returncode == 2, done.stderr
        *waiting, last = done.stderr.splitlines()
        assert all("is waited for" in line for line in waiting)
        assert "disk is full" in last
        for file in disk.rglob("*.parquet"):
            pd.read_parquet(file)  # what is there is whole


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_disk_that_is_full_for_a_while_changes_nothing(place: Path, undisturbed: Path) -> None:
    with small_disk(place / "while", "40m") as disk:
        sweep = start_sweep(place, disk.name)
        wait_until(lambda: checkpoints(disk) >= 1)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", 0) as filler:
            while True:
                filler.write(bytes(2**16))
        time.sleep(8)
        (disk / "filler").unlink()
        _, errors = sweep.communicate(timeout=300)
        assert sweep.returncode == 0, errors
        assert "is waited for" in errors
        assert_same_results(undisturbed, disk)
