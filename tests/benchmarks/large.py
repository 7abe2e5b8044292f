"""data_prep on images larger than CIFAKE's against a bare Pillow loop with the same resize, on one core.

    python tests/benchmarks/large.py [--images 20000] [--sizes 224x224 500x375 1024x1024] [--repeats 3]

The images are synthetic JPEGs of quality 90: smooth fields with texture and noise. Ours is the command as a user runs
it, on all cores, with near-copies: start-up, listing, hashes, audit and shards on disk. The loop decodes, brings to 224
pixels as ours does, and keeps nothing.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageOps

SIDE = 224


def write_image(folder: Path, number: int, size: tuple[int, int], is_train: bool) -> None:
    generator = np.random.default_rng(number)
    fields = [
        np.asarray(
            Image.fromarray(generator.integers(0, 256, (*cells, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC),
            np.float32,
        )
        for cells in ((9, 9), (size[1] // 4, size[0] // 4))
    ]
    noise = generator.normal(0, 6, (size[1], size[0], 1))
    pixels = np.clip(0.75 * fields[0] + 0.25 * fields[1] + noise, 0, 255).astype(np.uint8)
    place = folder / ("train" if is_train else "test") / ("REAL", "FAKE")[number % 2]
    Image.fromarray(pixels).save(place / f"{number:06d}.jpg", quality=90)


def make_tree(folder: Path, images: int, size: tuple[int, int]) -> None:
    """Four in five are train."""
    for place in ("train/REAL", "train/FAKE", "test/REAL", "test/FAKE"):
        (folder / place).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        writing = [pool.submit(write_image, folder, n, size, n < 0.8 * images) for n in range(images)]
        for each in writing:
            each.result()


def bare_loop(folder: Path) -> float:
    """Images a second."""
    paths, started = sorted(folder.rglob("*.jpg")), time.perf_counter()
    for path in paths:
        image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
        np.asarray(ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.LANCZOS))
    return len(paths) / (time.perf_counter() - started)


def ours(folder: Path, images: int) -> tuple[float, float]:
    """Images a second, and the peak of the summed PSS of its processes in MiB."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        words = ["-m", "data_prep", "--source", str(folder), "--out", f"{place}/shards", "--image-size", str(SIDE)]
        started = time.perf_counter()
        process, peak = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL), 0.0
        is_over = threading.Event()
        watcher = threading.Thread(target=lambda: process.wait() or is_over.set())
        watcher.start()
        while not is_over.wait(1):
            peak = max(peak, summed_pss(process.pid))
        watcher.join()
        seconds = time.perf_counter() - started
        if process.returncode:
            raise SystemExit("data_prep failed")
        return images / seconds, peak


def summed_pss(process: int) -> float:
    total = 0
    for each in [process, *(child.pid for child in psutil.Process(process).children(recursive=True))]:
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--sizes", nargs="+", default=["224x224", "500x375", "1024x1024"])
    parser.add_argument("--repeats", type=int, default=3)
    words, cores = parser.parse_args(), len(os.sched_getaffinity(0))
    for size in words.sizes:
        with tempfile.TemporaryDirectory() as place:
            width, height = map(int, size.split("x"))
            make_tree(folder := Path(place, "tree"), words.images, (width, height))
            found = [(bare_loop(folder), *ours(folder, words.images)) for _ in range(words.repeats)]
        bare, own, peak = np.median(found, axis=0)
        print(
            f"{size}: ours {own:,.0f} images/s on {cores} cores, a bare loop {bare:,.0f} on one: "
            f"{own / bare / cores:.2f} of it a core; peak {peak / cores:,.0f} MiB a core",
            flush=True,
        )


if __name__ == "__main__":
    main()
