"""What ends a sweep and what does not, but for kills: readers that leave, networks that cannot be built, odd places."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.commands import copy_of_the_code, run_python, wait_until
from support.sweeps import ZOO, command_line, trials

pytestmark = pytest.mark.cluster

ONE = (ZOO, "--models", "age-c2-f1", "--smoke")

BROKEN = """
import keras
from keras import layers

from trainables.layers.blocks import head, image_input


def narrow(image_size: int) -> keras.Model:
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(layers.Conv2D(4, 64)(x)), ()))


def misnamed(image_size: int) -> keras.Model:
    return unknown(image_size)


def late(image_size: int) -> keras.Model:
    pixels, x = image_input(image_size)

    @keras.saving.register_keras_serializable()
    class Late(layers.Layer):
        def call(self, x, training=False):
            if training:
                raise RuntimeError("not while training")
            return x

    return keras.Model(pixels, head(layers.Flatten()(Late()(x)), ()))
"""
BROKEN_MODELS = "".join(f'MODELS["{name}"] = Network("broken.{name}")\n' for name in ("narrow", "misnamed", "late"))


def test_networks_that_cannot_be_built_fail_alone(tmp_path: Path) -> None:
    copy = copy_of_the_code(tmp_path, {"broken.py": BROKEN}, BROKEN_MODELS)
    words = ("sweeps/zoo.py", "--models", "narrow,misnamed,late,age-c2-f1", "--smoke")
    plan = run_python(*words, "--plan", **copy)
    assert plan.returncode == 1, plan.stderr
    assert "narrow cannot be built: ValueError" in plan.stderr
    assert "misnamed cannot be built: NameError: name 'unknown' is not defined" in plan.stderr
    assert not (tmp_path / "results").exists()
    done = run_python(*words, **copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "3 trials failed; the same command tries them again."
    rows = trials(tmp_path / "results").set_index("network")
    assert rows["status"].to_dict() == dict.fromkeys(("narrow", "misnamed", "late"), "failed") | {
        "age-c2-f1": "finished"
    }
    assert "NameError: name 'unknown' is not defined" in rows.loc["misnamed", "reason"]


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
