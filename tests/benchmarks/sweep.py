"""The sweep against what users do today: the twelve networks on 8,000 images, 2 epochs, batches of 32.

Every contender is a command, timed from start to exit, imports included, in turn, so that a busy moment hits all. All
build the same networks, train from fresh weights, validate after each epoch and score the test images once. Ours also
writes its record, checkpoints, tables, figures and report.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data_prep import shards
from data_prep.layout.vocabulary import SPLITS
from data_prep.storage import Folder
from trainables.training.selection import DataSelection

HERE = Path(__file__).parent
AGE = HERE.parent.parent / "sweeps" / "age.py"
LIMIT = 8_000
WORK = ("--data", "shards", "--limit", str(LIMIT), "--epochs", "2")
PEERS = {
    "floor": ["floor.py"],
    "notebook": ["notebook.py"],
    "plain Ray Tune": ["tune_guide.py"],
    "Ray Tune, reused actors": ["tune_guide.py", "--reuse"],
    "Ray Tune, reused actors, decoded arrays": ["tune_guide.py", "--reuse", "--arrays"],
    "Optuna alone, threads": ["optuna_alone.py"],
    "KerasTuner": ["keras_tuner_alone.py"],
}


def prepare(archive: Path, work: Path) -> None:
    """What the contenders train on, made beforehand: shards, arrays, and a folder of the same images as JPEGs."""
    run([sys.executable, "-m", "data_prep", "--source", str(archive), "--out", str(work / "shards")])
    folder = Folder(str(work / "shards"))
    data = DataSelection(folder, LIMIT).load()
    with zipfile.ZipFile(archive) as file:
        for name in SPLITS:
            split = getattr(data, name)
            np.save(work / f"{name}-images.npy", split.images)
            np.save(work / f"{name}-labels.npy", split.labels)
            table = pa.concat_tables(shards.read_tables(folder, name, ["path", "label"])).take(pa.array(split.rows))
            for place, (path, label) in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True)):
                target = work / "jpegs" / name / ("REAL", "FAKE")[label] / f"{place:05d}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read(path))


def measure(archive: Path, work: Path, repeats: int, chosen: list[str]) -> pd.DataFrame:
    """One row a contender and repeat: seconds, and the mean validation accuracy of the twelve."""
    prepare(archive, work)
    rows = []
    for repeat in range(repeats):
        for name in chosen:
            out = work / f"{name.replace(' ', '-').replace(',', '')}-{repeat}.json"
            seconds, accuracies = ours(work, repeat) if name == "ours" else peer(PEERS[name], work, out)
            assert len(accuracies) == 12, (name, accuracies)
            rows.append({"contender": name, "seconds": seconds, "accuracy": statistics.mean(accuracies.values())})
            print(f"  {name}: {seconds:.1f} s, mean validation accuracy {rows[-1]['accuracy']:.4f}", flush=True)
    return pd.DataFrame(rows)


def pairs(archive: Path, work: Path, seeds: int) -> pd.Series:
    """The validation accuracy of ours minus that of bare steps from the same initial weights, by network and seed.

    The orders of the images differ, so a difference is noise of training unless the mean of many is not.
    """
    if not (work / "shards").exists():
        prepare(archive, work)
    run([sys.executable, str(AGE), *WORK, "--results", "pairs", "--seeds", str(seeds)], work)
    bare = {}
    for seed in range(seeds):
        run([sys.executable, str(HERE / "peers" / "floor.py"), str(work), str(work / f"seed-{seed}.json"), str(seed)])
        for network, accuracy in json.loads((work / f"seed-{seed}.json").read_text()).items():
            bare[network, seed] = accuracy
    return last_accuracies(work / "pairs" / "age") - pd.Series(bare).rename_axis(["network", "seed"])


def ours(work: Path, repeat: int) -> tuple[float, dict[str, float]]:
    seconds = run([sys.executable, str(AGE), *WORK, "--results", f"results-{repeat}"], work)
    return seconds, last_accuracies(work / f"results-{repeat}" / "age").droplevel("seed").to_dict()


def last_accuracies(record: Path) -> pd.Series:
    """The validation accuracy after the last epoch, by network and seed: the peers pick no best epoch either."""
    trials, epochs = (pd.read_parquet(record / f"{name}.parquet") for name in ("trials", "epochs"))
    last = epochs.sort_values("epoch").groupby("trial")["validation_accuracy"].last()
    return trials.set_index(["network", "seed"])["trial"].map(last)


def peer(words: list[str], work: Path, out: Path) -> tuple[float, dict[str, float]]:
    seconds = run([sys.executable, str(HERE / "peers" / words[0]), str(work), str(out), *words[1:]], work)
    return seconds, json.loads(out.read_text())


def run(words: list[str], cwd: Path | None = None) -> float:
    started = time.perf_counter()
    # A cluster of their own, as ours starts one: Ray would wait for one that died here long ago.
    environment = os.environ if str(AGE) in words else os.environ | {"RAY_ADDRESS": "local"}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started
