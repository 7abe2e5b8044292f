"""Whether two versions of the code leave the same results.

    python tests/benchmarks/same.py --against COMMIT [--only fixed,search] [--keep FOLDER]

Runs a small set of sweeps with COMMIT and with the working tree, through their commands only, and compares shards,
records, tables and the numbers on the report pages. Floats are compared bit for bit, so both versions need the same
machine and the same packages. Exits with 0 if everything is equal; otherwise prints the first differences, one a line,
and exits with 1. The set takes about seven minutes on 2 idle cores. With --keep, FOLDER keeps the results, and the next
run reuses those of COMMIT.

A trial's identity is a hash that includes the data's fingerprint, so it changes with the formats. Here a trial is named
by its recipe and its ancestors' recipes. Columns, keys and options that change on purpose are listed below.
"""

import argparse
import contextlib
import functools
import hashlib
import html
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa

ROOT = Path(__file__).parent.parent.parent
MOST_SHOWN = 20  # differences of a part

# ── what may differ between the two versions ──────────────────────────────────────────────────────────────────────────

#: Table → old column → new column; "*" stands for every table.
RENAMED = {
    "*": {"options": "arguments", "hardware": "device", "in_train": "duplicate"},
    "tables/importance": {"knob": "hyperparameter"},
}
#: Column, under its new name → old value → new value.
NEW_VALUES = {"duplicate": {True: "exact", False: None}}
#: Command-line option → its new name.
OPTIONS = {"--knobs": "--tune"}
#: Columns that one version may lack.
OPTIONAL = {
    *("backend", "versions", "mps", "training_subset", "deterministic"),
    *("validation_right", "generator", "cluster", "crop"),
}
#: Columns that are never compared: times, memory, machines.
IGNORED = {"wall_seconds", "seconds_per_image", "peak_device_bytes", "device", "driver", "traceback"}
#: Columns of prose, of which only the numbers are compared.
PROSE = {"reason"}
#: Headings of the report's columns that are never compared.
TIMES = {"seconds"}
#: Keys of the manifest that are compared.
MANIFEST = ("metric", "direction", "seeds", "weights", "floor")

#: Columns by which a trial is recognised, beside its parent. Every version has them.
RECIPE = ["network", "arguments", "seed", "epochs", "pause_epoch", "head_epochs", "batch_size", "optimizer", "momentum"]
RECIPE += ["learning_rate", "weight_decay", "schedule", "plateau_epochs", "early_stopping_epochs", "label_smoothing"]
RECIPE += ["precision"]
#: Table → the columns that name a row; rows of other tables are numbered.
KEYS = {"trials": ["trial"], "epochs": ["trial", "epoch"], "scores": ["trial", "split", "row"]}
KEYS["images"] = ["split", "row"]

# ── what is run ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Part:
    """A part of the set: commands that fill the folder `name`. If `is_killed`, the first one is killed half way."""

    name: str
    commands: tuple[str, ...]
    is_killed: bool = False


SHARDS = Part("shards", ("-m data_prep --source sample --out shards",))
AUGMENTED = (
    "sweeps/zoo.py --models custom-2,custom-3,cifake-cnn,age-c4-f1 --limit 800 --epochs 4 --batch-size 64 "
    "--set cifake-cnn.augmentation=affine --set cifake-cnn.schedule=cosine --set cifake-cnn.label_smoothing=0.1 "
    "--set age-c4-f1.optimizer=sgd --set age-c4-f1.learning_rate=10"  # which diverges
)
TRANSFER = (
    "sweeps/zoo.py --models vgg16-transfer --limit 200 --epochs 2 --cpus-per-trial 1 --weights ../weights.h5 "
    "--set vgg16-transfer.head_epochs=1 --set vgg16-transfer.train_from=block5"
)
SEARCH = (
    "sweeps/search.py --networks age-c2-f1,cifake-cnn --trials 12 --epochs 3 --limit 1500 --max-concurrent 1 "
    "--knobs learning_rate,batch_size,optimizer,momentum,weight_decay,augmentation,batch_norm,dropout,filters "
    "--cpus-per-trial 1 --repeat-best 1 --seeds 2"
)
POPULATION = "sweeps/population.py --network age-c2-f1 --members 4 --epochs 3 --limit 1000"
KILLED = "sweeps/zoo.py --models age-c2-f1,age-c3-f1,age-c4-f2,cifake-cnn --limit 1500 --epochs 5"
EXTENDED = "sweeps/zoo.py --models age-c2-f1,age-c2-f2,age-c4-f1 --limit 1500 --epochs 3"
PARTS = [
    SHARDS,  # of the embedded sample, on which the sweeps train
    Part("fixed", ("sweeps/age.py --limit 1000 --epochs 2",)),
    Part("augmented", (AUGMENTED,)),
    Part("transfer", (TRANSFER,)),
    Part("search", (SEARCH,)),
    Part("population", (POPULATION,)),
    Part("killed", (KILLED, KILLED), is_killed=True),
    Part("extended", (f"{EXTENDED} --seeds 1", f"{EXTENDED} --seeds 2")),
    Part("paper", ("sweeps/cifake_paper.py --smoke",)),
]
EPOCHS_BEFORE_KILL = 4


@dataclass(frozen=True)
class Side:
    """One of the two versions: its code in `tree`, and the `folder` in which its commands run."""

    title: str
    tree: Path
    folder: Path

    def results(self, part: Part) -> Path:
        """The folder of shards or the record that a part leaves. Raises StopIteration if there is none yet."""
        folder = self.folder / part.name
        return folder if part is SHARDS else next(folder.glob("*/manifest.json")).parent


class FailedError(Exception):
    """A command failed, or could not be killed and resumed as planned."""


def run_part(side: Side, part: Part, reuses: bool) -> None:
    """Run the commands of a part. With `reuses`, skip a part that the same commands have filled before."""
    done = side.folder / f"{part.name}.done"
    if reuses and done.exists() and done.read_text() == repr(part):
        return
    done.unlink(missing_ok=True)
    shutil.rmtree(side.folder / part.name, ignore_errors=True)
    started = time.monotonic()
    # Ray puts its sockets into the temporary folder, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="same-", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        environment = os.environ | {"PYTHONPATH": str(side.tree), "TMPDIR": temporary}
        environment.pop("RAY_ADDRESS", None)
        epochs = [
            run_command(command, side, part, environment, is_killed=part.is_killed and number == 0)
            for number, command in enumerate(part.commands)
        ]
    if part.is_killed and not len(epochs[0].merge(epochs[1], on=["trial", "epoch", "wall_seconds"])):
        raise FailedError(f"{part.name} of {side.title}: the resumed sweep has trained every epoch again.")
    done.write_text(repr(part))
    print(f"{part.name} of {side.title}: {time.monotonic() - started:.0f} s", flush=True)


def run_command(
    command: str, side: Side, part: Part, environment: dict[str, str], is_killed: bool = False
) -> pd.DataFrame:
    """Run a command to its end, or kill it once some epochs are in its record. Returns the epochs in the record.

    Raises FailedError if it fails, or ends before it is killed.
    """
    words, log = words_of(command, side, part, environment), side.folder / f"{part.name}.log"
    with log.open("wb") as output:
        start = {"cwd": side.folder, "env": environment, "start_new_session": True}
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, **start)
    try:
        while is_killed and len(epochs_so_far(side, part)) < EPOCHS_BEFORE_KILL:
            if process.poll() is not None:
                raise FailedError(f"{part.name} of {side.title} ended before it was killed: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        if not is_killed and process.wait(timeout=1800):
            raise FailedError(f"{part.name} of {side.title} failed: {log.read_text()[-2000:]}")
    finally:
        kill(process)
    return epochs_so_far(side, part)


def words_of(command: str, side: Side, part: Part, environment: dict[str, str]) -> list[str]:
    """The words of a command, with options under the names that this version has."""
    script, *words = shlex.split(command)
    if script == "-m":
        return [sys.executable, script, *words]
    start = [sys.executable, str(side.tree / script)]
    if OPTIONS.keys() & set(words):
        usage = subprocess.run([*start, "--help"], env=environment, capture_output=True, text=True, check=True).stdout
        words = [OPTIONS[word] if OPTIONS.get(word) in usage.split() else word for word in words]
    return [*start, *words, "--data", "shards", "--results", part.name]


def epochs_so_far(side: Side, part: Part) -> pd.DataFrame:
    """The epochs in a record that may not be there yet, or be in the middle of being written."""
    try:
        return pd.read_parquet(side.results(part) / "epochs.parquet")
    except (StopIteration, OSError, pa.ArrowException):
        return pd.DataFrame()


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a command that still runs, and all it started: Ray and the fork server have process groups of their own."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=30)
    process.wait()


# ── what came out ─────────────────────────────────────────────────────────────────────────────────────────────────────

#: (table, row, column) → value as text. Two floats have the same text only if they have the same bits, or both are NaN.
Values = dict[tuple[str, str, str], str]


def values_of(side: Side, part: Part) -> Values:
    """Everything that is compared of a part."""
    folder, values = side.results(part), Values()
    if part is SHARDS:
        for split in ("train", "validation", "test"):
            shards = [pd.read_parquet(path) for path in sorted(folder.glob(f"{split}-*.parquet"))]
            values |= table_values(split, pd.concat(shards), {})
        return values
    manifest = json.loads((folder / "manifest.json").read_text())
    values |= {
        ("manifest", "record", key): json.dumps(manifest[key], sort_keys=True) for key in MANIFEST if key in manifest
    }
    frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("trials", "epochs", "images")}
    scores = [pd.read_parquet(path).assign(trial=path.stem) for path in sorted((folder / "scores").glob("*.parquet"))]
    frames["scores"] = pd.concat(scores)
    for path in sorted((folder / "tables").glob("*.[cp]*")):
        frames[f"tables/{path.name}"] = (
            pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str, na_filter=False)
        )
    names = names_of(renamed("trials", frames["trials"]))
    for table, frame in frames.items():
        values |= table_values(table, frame, names)
    return values | page_values((folder / "report.html").read_text())


def renamed(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A table with its columns under their new names."""
    return frame.rename(columns=RENAMED["*"] | RENAMED.get(table.partition(".")[0], {}))


def names_of(trials: pd.DataFrame) -> dict[str, str]:
    """Identity of a trial → network, seed, and a hash of its recipe and of the recipes of its ancestors."""
    rows = {row["trial"]: row for row in trials.to_dict("records")}

    @functools.cache
    def name(trial: str) -> str:
        row = rows[trial]
        recipe = [as_text(row.get(column)) for column in RECIPE]
        lineage = json.dumps([*recipe, name(row["parent"]) if row["parent"] in rows else ""])
        return f"{row['network']} seed {row['seed']} #{hashlib.sha256(lineage.encode()).hexdigest()[:6]}"

    return {trial: name(trial) for trial in rows}


def table_values(table: str, frame: pd.DataFrame, names: dict[str, str]) -> Values:
    """The values of a table, and how many rows it has; `names` stand for the identities of trials."""
    frame = renamed(table, frame)
    for column in NEW_VALUES.keys() & set(frame.columns):
        frame[column] = [NEW_VALUES[column].get(value, value) for value in frame[column]]
    values = {(table, "all", "number of rows"): str(len(frame))}
    for number, row in enumerate(frame.drop(columns=IGNORED, errors="ignore").to_dict("records")):
        texts = {column: as_text(value) for column, value in row.items()}
        texts = {column: names.get(text, text) for column, text in texts.items()}
        key = ", ".join(f"{column} {texts[column]}" for column in KEYS[table]) if table in KEYS else f"row {number}"
        for column, text in texts.items():
            values[table, key, column] = str(numbers(text)) if column in PROSE else text
    return values


def as_text(value: Any) -> str:
    """A cell as text: every digit of a number, a hash of an array or of bytes, nothing for null and NaN."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray | bytes):
        return hashlib.sha256(bytes(value)).hexdigest()
    return "" if pd.isna(value) else repr(float(value)).removesuffix(".0")


def page_values(page: str) -> Values:
    """The numbers in the summary and in the tables of a report page: its words may change."""
    [summary] = re.findall(r'<section[^>]* id="summary".*?>(.*?)</section>', page, re.DOTALL)
    values = {("report", "summary", f"number {place}"): str(n) for place, n in enumerate(numbers(summary), 1)}
    for place, table in enumerate(re.findall(r"<table.*?</table>", page, re.DOTALL), 1):
        rows = [re.findall(r"<t[dh]\b.*?</t[dh]>", row, re.DOTALL) for row in table.split("<tr")[1:]]
        for row, cells in enumerate(rows[1:], 1):
            for column, (heading, cell) in enumerate(zip(rows[0], cells, strict=True), 1):
                if plain(heading) not in TIMES:
                    values[f"report, table {place}", f"row {row}", f"column {column}"] = str(numbers(cell))
    return values


def numbers(text: str) -> list[float]:
    """The numbers in a text or in HTML, but not those of times, paths, commits and identities."""
    text = re.sub(r"\S*/\S*|\b[0-9a-f]{12,}\b|[\d.,]+\s(s|seconds?|minutes?|hours?)\b", " ", plain(text))
    found = re.findall(r"[-+]?\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[-+]?\d+)?", text)
    return [float(number.replace(",", "")) for number in found]


def plain(text: str) -> str:
    """HTML without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", " ", text)).strip()


def differences(old: Values, new: Values) -> Iterator[str]:
    """A line for each value that differs, and for each table, row, column or value that only one version has."""
    old_levels, new_levels = ({level for place in values for level in levels(*place)} for values in (old, new))
    for place in [*old, *(place for place in new if place not in old)]:
        table, row, column = place
        if place in old and place in new:
            if old[place] != new[place]:
                yield f"{table}: {row}, {column}: {old[place] or 'null'} became {new[place] or 'null'}"
        elif column not in OPTIONAL:
            there = new_levels if place in old else old_levels
            missing = [level for level in levels(*place) if level not in there]
            yield f"{'lost' if place in old else 'new'}: {[*missing, f'{table}: {row}, {column}'][0]}"


def levels(table: str, row: str, column: str) -> list[str]:
    """The table, the row and the column in which a value stands."""
    return [table, f"{table}: {row}", f"{table}: column {column}"]


# ── the two sides ─────────────────────────────────────────────────────────────────────────────────────────────────────


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=True).stdout


def tree_of(commit: str, folder: Path) -> Path:
    """The files of a commit, in a new folder."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as archive:
        archive.extractall(folder, filter="data")
    return folder


def working_tree(folder: Path) -> Path:
    """A copy of the working tree in a new folder, so that it can be edited while sweeps run."""
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def write_weights(path: Path) -> None:
    """Write random weights of VGG16 without its top, in Keras's HDF5 format."""
    generator, channels = np.random.default_rng(0), 3
    with h5py.File(path, "w") as file:
        for block, (layers, filters) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
            for layer in range(1, layers + 1):
                group = file.create_group(f"block{block}_conv{layer}")
                scale = (2 / (9 * channels)) ** 0.5
                group["kernel"] = generator.normal(0, scale, (3, 3, channels, filters)).astype(np.float32)
                group["bias"] = np.zeros(filters, np.float32)
                group.attrs["weight_names"] = ["kernel", "bias"]
                channels = filters
        file.attrs["layer_names"] = list(file)


def is_same(part: Part, reference: Side, working: Side) -> bool:
    """Run a part on both sides, one after the other, and print how they compare."""
    try:
        run_part(reference, part, reuses=True)
        run_part(working, part, reuses=False)
        old, new = values_of(reference, part), values_of(working, part)
    except FailedError as error:
        print(error)
        return False
    lines = list(dict.fromkeys(differences(old, new)))
    print(f"{part.name}: {f'{len(lines):,} differences' if lines else 'equal'}, {len(old):,} values", flush=True)
    print("".join(f"  {part.name}: {line}\n" for line in lines[:MOST_SHOWN]), end="", flush=True)
    return not lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", required=True, metavar="COMMIT", help="The reference: any name that git knows.")
    parser.add_argument("--only", metavar="NAMES", help=f"Parts of {','.join(part.name for part in PARTS)}.")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="Keep what both sides leave; reuse the reference's."
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that no sweep is left running
    names = arguments.only.split(",") if arguments.only else [part.name for part in PARTS]
    if unknown := set(names) - {part.name for part in PARTS}:
        parser.error(f"no part is named {', '.join(sorted(unknown))}")
    commit = git("rev-parse", "--verify", f"{arguments.against}^{{commit}}").decode().strip()
    with tempfile.TemporaryDirectory(prefix="same-") as temporary:
        keep = (arguments.keep or Path(temporary)).absolute()
        reference = Side(commit[:7], tree_of(commit, Path(temporary, "reference")), keep / commit)
        working = Side("the working tree", working_tree(Path(temporary, "working")), keep / "working")
        for side in (reference, working):
            side.folder.mkdir(parents=True, exist_ok=True)
        if not (keep / "weights.h5").exists():
            write_weights(keep / "weights.h5")
        same = [is_same(part, reference, working) for part in PARTS if part is SHARDS or part.name in names]
    print("equal" if all(same) else "different")
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
