"""data_prep against a bare decode loop: python tests/benchmarks/data_prep.py ARCHIVE [--repeats 3]

The peer reads every image of the archive and decodes it with Pillow, on one core, and keeps nothing. Ours is the whole
command as a user runs it, on all cores: start-up, listing, hashes, audit and shards on disk.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table


def bare_loop(archive: Path) -> float:
    """Seconds to decode every image of the archive, one after another."""
    started = time.perf_counter()
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if not member.is_dir():
                np.asarray(Image.open(io.BytesIO(file.read(member))).convert("RGB"))
    return time.perf_counter() - started


def ours(archive: Path) -> tuple[float, int]:
    """Seconds and peak bytes, all processes together, of `python -m data_prep`."""
    with tempfile.TemporaryDirectory() as place:
        started = time.perf_counter()
        words = [sys.executable, "-m", "data_prep", "--source", str(archive), "--out", f"{place}/shards"]
        job = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        peak = [0]
        watcher = threading.Thread(target=watch_memory, args=(job.pid, peak), daemon=True)
        watcher.start()
        if job.wait():
            raise SystemExit("data_prep failed")
        return time.perf_counter() - started, peak[0]


def watch_memory(pid: int, peak: list[int]) -> None:
    """Keep the largest proportional set size of a process and its children, in bytes, in `peak[0]`."""
    while psutil.pid_exists(pid):
        try:
            processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            peak[0] = max(peak[0], sum(process.memory_full_info().pss for process in processes))
        except psutil.Error:
            pass
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.archive) as file:
        images = sum(not member.is_dir() for member in file.infolist())
    loops, jobs, peaks = [], [], []
    for _ in range(arguments.repeats):  # in turn, so that a busy moment hits both
        loops.append(bare_loop(arguments.archive))
        seconds, peak = ours(arguments.archive)
        jobs.append(seconds)
        peaks.append(peak)
    loop, job = statistics.median(loops), statistics.median(jobs)
    title = f"{images:,} images, {os.cpu_count()} cores, medians of {arguments.repeats}"
    table = Table("", "seconds", "images a second", "ratio", title=title)
    table.add_row("bare Pillow loop, one core", f"{loop:.1f}", f"{images / loop:,.0f}", "1.00")
    table.add_row("python -m data_prep", f"{job:.1f}", f"{images / job:,.0f}", f"{loop / job:.2f}")
    Console().print(table)
    print(f"peak memory of data_prep, all processes: {max(peaks) / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
