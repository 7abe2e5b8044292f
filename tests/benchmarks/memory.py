"""Peak memory of all processes of a sweep together, with 1, 2 and 4 trials at once, and of one bare Keras process."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
import psutil

ZOO = Path(__file__).parent.parent.parent / "sweeps" / "zoo.py"
MODELS = "age-c4-f1,age-c4-f2,age-c4-f3,age-c4-f4"
LIMIT = 40_000
BARE = """
import keras, numpy
from keras import layers
model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(32, 3), layers.Flatten(), layers.Dense(1)])
model.compile("adam", "mse")
model.fit(numpy.zeros((320, 32, 32, 3), "uint8"), numpy.zeros(320), verbose=0)
"""


def measure(work: Path, repeats: int) -> pd.DataFrame:
    """One row a number of trials at once and repeat: peak MiB, proportional set sizes of all processes added up."""
    cores = os.cpu_count() or 1
    rows = []
    for repeat in range(repeats):
        rows.append(("a bare Keras process", peak([sys.executable, "-c", BARE])))
        for at_once in (1, 2, 4):
            with tempfile.TemporaryDirectory() as results:
                words = [sys.executable, str(ZOO), "--data", str(work / "shards"), "--models", MODELS]
                words += ["--limit", str(LIMIT), "--epochs", "1", "--results", results]
                rows.append((f"{at_once} at once", peak([*words, "--cpus-per-trial", str(cores / at_once)])))
        print(f"  repeat {repeat + 1}: {rows[-4:]}", flush=True)
    return pd.DataFrame(rows, columns=["what", "MiB"])


def peak(words: list[str]) -> float:
    """The largest proportional set size of a command and its children, in MiB, while it runs."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = [0]
    watcher = threading.Thread(target=watch, args=(process.pid, found), daemon=True)
    watcher.start()
    if process.wait():
        raise SystemExit(f"{' '.join(words)} failed")
    return found[0] / 2**20


def watch(pid: int, found: list[int]) -> None:
    """Keep the largest sum of proportional set sizes of a process and its children, in bytes, in `found[0]`."""
    while psutil.pid_exists(pid):
        total = 0
        try:
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                total += _pss(process)
        except psutil.Error:
            continue
        found[0] = max(found[0], total)
        time.sleep(0.2)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has ended
        return 0
