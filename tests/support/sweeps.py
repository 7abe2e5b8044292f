"""Sweeps of small networks as a user runs them, their records, and their processes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from support.commands import ROOT

#: The columns of a record that are never twice the same.
TIMES = ["wall_seconds", "seconds_per_image"]

AGE, ZOO = ROOT / "sweeps" / "age.py", ROOT / "sweeps" / "zoo.py"
FORK_SERVER = "trainables.worker.fork_server"
TINY = ("--limit", "400", "--epochs", "3")
#: The sweep that is disturbed: four trials, so that the tests do not take all day.
FOUR = (ZOO, "--models", "age-c2-f1,age-c2-f3,age-c3-f1,age-c4-f2", *TINY)


def trials(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(record_in(folder) / "trials.parquet")


def epochs(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(record_in(folder) / "epochs.parquet")


def record_in(results: Path) -> Path:
    """The record of the one sweep in a results folder, not one that was moved aside."""
    records = [path for path in (results / "age", results / "zoo") if path.exists()]
    assert len(records) == 1
    return records[0]


def assert_same_results(one: Path, other: Path) -> None:
    """Exactly the same curves and metrics, wherever and whenever they were computed."""
    assert not epochs(one).duplicated(["trial", "epoch"]).any()
    for read in (trials, epochs):
        pd.testing.assert_frame_equal(
            read(one).drop(columns=TIMES, errors="ignore").sort_values("trial", kind="stable", ignore_index=True),
            read(other).drop(columns=TIMES, errors="ignore").sort_values("trial", kind="stable", ignore_index=True),
            check_exact=True,
        )


def start_sweep(place: Path, results: str, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start the sweep that is disturbed; it heeds signals, although whoever runs the tests may ignore some."""
    words = ["env", "--default-signal=HUP,INT", sys.executable, *map(str, FOUR), "--results", results, *arguments]
    return subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def checkpoints(results: Path) -> int:
    """How many trials have had an epoch that was the best so far."""
    return len(list(results.glob("zoo/checkpoints/*/best.keras")))


def processes_below(driver: int) -> list[psutil.Process]:
    """The processes that a driver has started, without two of Ray's own, which end a minute after it is killed."""
    agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
    below = psutil.Process(driver).children(recursive=True)
    return [process for process in below if not command_line(process).startswith(agents)]


def command_line(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def is_forked(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and FORK_SERVER in command_line(parent)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
