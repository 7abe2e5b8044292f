"""data_prep against what else reads a folder of JPEGs, over the whole archive.

Ours is the command as a user runs it, on all cores: start-up, listing, hashes, audit and shards on disk. The peers
decode and keep nothing: a bare Pillow loop on one core, and, over the unzipped folder and start-up included, Keras's
`image_dataset_from_directory` and Ray Data.
"""

import io
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def bare_loop(archive: Path) -> float:
    """Seconds to decode every image of the archive, one after another."""
    started = time.perf_counter()
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if not member.is_dir():
                np.asarray(Image.open(io.BytesIO(file.read(member))).convert("RGB"))
    return time.perf_counter() - started


def ours(archive: Path) -> float:
    """Seconds of `python -m data_prep`, without near-copies, which no peer looks for."""
    with tempfile.TemporaryDirectory() as place:
        return command(["-m", "data_prep", "--source", str(archive), "--out", f"{place}/shards", "--no-near-copies"])


def command(words: list[str]) -> float:
    """Seconds of a Python process."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return time.perf_counter() - started


KERAS = """
import sys, keras
images = keras.utils.image_dataset_from_directory(
    sys.argv[1], label_mode="binary", image_size=(32, 32), batch_size=500, shuffle=False, verbose=False
)
print(sum(len(labels) for _, labels in images))
"""
RAY_DATA = """
import sys, ray
ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ray.data.DataContext.get_current().enable_progress_bars = False
images = ray.data.read_images(sys.argv[1], file_extensions=["jpg"])
print(sum(len(batch["image"]) for batch in images.iter_batches(batch_size=500)))
"""


def measure(archive: Path, repeats: int) -> pd.DataFrame:
    """One row a contender and repeat: seconds for the whole archive."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        train = f"{folder}/train"
        for _ in range(repeats):  # in turn, so that a busy moment hits all
            rows += [("bare Pillow loop, one core", bare_loop(archive)), ("ours", ours(archive))]
            whole = command(["-c", KERAS, train]) + command(["-c", KERAS, f"{folder}/test"])
            rows.append(("image_dataset_from_directory", whole))
            rows.append(("Ray Data", command(["-c", RAY_DATA, folder])))
            print(f"  decoding: {rows[-4:]}", flush=True)
    return pd.DataFrame(rows, columns=["contender", "seconds"])
