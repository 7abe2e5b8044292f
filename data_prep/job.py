"""The job: list, decode on all cores, audit, split, write.

    listing ──decode──▶ parts in OUT.partial/ (pixels .rgb, facts .arrow) ──split──▶ shards in OUT.partial/ ──▶ OUT

A part that is there is whole, so a killed job goes on where it stopped. Nothing depends on the number of workers.
"""

import contextlib
import fcntl
import gc
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather

from data_prep import audit, shards
from data_prep.decode import Facts, Pixels, UnreadableError, decode
from data_prep.errors import InputError
from data_prep.layout import LABEL_NAMES, Item, list_images
from data_prep.sources import open_source
from data_prep.sources.source import Source
from data_prep.split import assign_splits, limited, shuffled
from data_prep.storage import Folder

_ITEMS_PER_PART = 2_500


_ITEMS_IN_PROCESS = 10_000


_COLUMNS = ("label", "object_class", "path", "sha256", "group", "in_train")  # of a shard, beside the image


Progress = Callable[[int, int], None]


_items: list[Item] = []  # in a process that decodes them


_Written = tuple[str, dict[str, int], np.ndarray]  # a shard's name, its rows and bytes, and the moments of its pixels


def prepare(
    source: str,
    out: str,
    *,
    image_size: int = 32,
    validation: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> shards.Manifest:
    """Write the shards of `source` to the folder `out` and return their manifest; if they are there already, just that.

    `validation` is the share of the training split to cut out, 0–1; `limit` the most images a split; `workers` the
    processes, default one a core; `progress` is told images done and in all. Raises InputError, OSError.
    """
    gc.disable()  # a million small objects and no cycles: the collector would only search them again and again
    try:
        folder = Folder(os.path.realpath(out) if os.path.islink(out) else out)
        return _prepare(source, folder, image_size, validation, seed, limit, workers, progress)
    finally:
        gc.enable()


def _prepare(
    source: str,
    folder: Folder,
    image_size: int,
    validation: float,
    seed: int,
    limit: int | None,
    workers: int | None,
    progress: Progress,
) -> shards.Manifest:
    opened = open_source(source)
    items, elsewhere = list_images(opened.name, opened.files())
    options: dict[str, Any] = {"image_size": image_size, "validation": validation, "seed": seed, "limit": limit}
    options["listing"] = _listing_hash(items)
    if finished := _finished(folder, options):
        return finished
    with _alone(folder):
        if finished := _finished(folder, options):  # by one that was at it before
            return finished
        items = limited(shuffled(items, seed), limit)
        scratch = _scratch(folder, options)
        with _pool(workers, items) as pool:
            facts, unreadable = _decode_all(pool, opened, len(items), image_size, scratch, progress)
            facts, notes = assign_splits(facts, validation)
            target = Folder(str(scratch / "shards")) if folder.is_local else folder
            written = _write_all(pool, scratch, target, image_size, facts)
            manifest = shards.Manifest(
                format_version=shards.FORMAT_VERSION,
                source=source if source in ("sample", "kaggle") else opened.name,
                image_size=image_size,
                counts=_counts(facts),
                options=options,
                audit=audit.audit(facts, unreadable, elsewhere) | {"notes": notes},
                fingerprint=_fingerprint(facts, image_size),
                **_written(written),
            )
        _publish(scratch, folder, manifest)
        return manifest


@contextlib.contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    """Wait until no other process makes the same shards, where these are local."""
    if not folder.is_local:
        yield
        return
    lock = _beside(folder, ".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _beside(folder: Folder, ending: str) -> Path:
    path = folder.local_path()
    return path.with_name(path.name + ending)


def _pool(workers: int | None, items: list[Item]) -> Executor:
    """Processes that know the items, one a core; for so few that starting processes would take longer, this one.

    Where this process can be forked they know them already, and have imported everything.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(workers or cores, math.ceil(len(items) / _ITEMS_PER_PART))
    if count <= 1 or len(items) <= _ITEMS_IN_PROCESS:
        return ThreadPoolExecutor(1, initializer=_know, initargs=(items,))
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    return ProcessPoolExecutor(count, context, initializer=_begin_work, initargs=(items,))


def _know(items: list[Item]) -> None:
    _items[:] = items


def _begin_work(items: list[Item]) -> None:
    """See to it that this process dies with the one that started it."""
    _know(items)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    gc.disable()  # as in `prepare`


def _listing_hash(items: list[Item]) -> str:
    return hashlib.sha256(json.dumps([(item.path, item.file.bytes) for item in items]).encode()).hexdigest()[:16]


def _finished(folder: Folder, options: dict[str, Any]) -> shards.Manifest | None:
    """The manifest in `folder` if it is of this very job. Raises InputError if it is of another.

    Shards without a manifest are those of a killed job, where they do not appear all at once.
    """
    if not folder.exists(shards.MANIFEST):
        if [name for name in folder.names() if folder.is_local or not shards.is_file_name(name)]:
            raise InputError(f"{folder} has other files in it; choose an empty or a new folder for --out.")
        if folder.is_local and os.path.ismount(folder.local_path()):
            raise InputError(f"{folder} is a mount point, which cannot be replaced; choose a folder in it for --out.")
        return None
    manifest = shards.read_manifest(folder)
    if manifest.options != options:
        raise InputError(f"{folder} already holds other shards; choose another folder for --out, or delete that one.")
    return manifest


def _scratch(folder: Folder, options: dict[str, Any]) -> Path:
    """The folder for parts: beside a local OUT, where a killed job left it, or in this machine's temporary folder."""
    beside = _beside(folder, ".partial") if folder.is_local else None
    name = hashlib.sha256(f"{folder} {options}".encode()).hexdigest()[:16]
    scratch = beside or Path(tempfile.gettempdir(), f"cifake-sweeps-{name}")
    job = Folder(str(scratch))
    try:
        known = job.read_json("job.json")
    except (FileNotFoundError, ValueError):
        known = None
    if known != options:
        shutil.rmtree(scratch, ignore_errors=True)
        job.write_json("job.json", options)
    return scratch


def _decode_all(
    pool: Executor, source: Source, images: int, image_size: int, scratch: Path, progress: Progress
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Decode every item into parts. Returns the facts of the readable images, in order; path → reason of the rest."""
    tables = []
    work = partial(_decode_part, source, image_size, scratch)
    for index, table in enumerate(pool.map(work, range(math.ceil(images / _ITEMS_PER_PART)))):
        tables.append(table)
        progress(min((index + 1) * _ITEMS_PER_PART, images), images)
    facts = pa.concat_tables(tables).to_pandas()
    bad = facts[facts["reason"].notna()]
    readable = facts[facts["reason"].isna()].drop(columns="reason").reset_index(drop=True)
    unreadable = dict(zip(bad["path"], bad["reason"], strict=True))
    _check_readable(readable, unreadable)
    return readable, unreadable


def _check_readable(readable: pd.DataFrame, unreadable: dict[str, str]) -> None:
    for label, name in enumerate(LABEL_NAMES):
        if not ((readable["label"] == label) & (readable["split"] == "train")).any():
            path, reason = next(iter(unreadable.items()))
            raise InputError(f"No {name} training image can be read (as {path}: {reason}); check the files.")


def _decode_part(source: Source, image_size: int, scratch: Path, index: int) -> pa.Table:
    """Decode some items: pixels to part-N.rgb, facts to part-N.arrow, which comes last and so stands for both."""
    path = scratch / f"part-{index:05d}.arrow"
    if path.exists():
        return feather.read_table(path)
    items = _items[index * _ITEMS_PER_PART : (index + 1) * _ITEMS_PER_PART]
    pixels = np.empty((len(items), image_size, image_size, 3), np.uint8)
    rows: list[tuple[Any, ...]] = []
    readable = 0
    for item in items:
        image, facts, reason = _decode_item(source, item, image_size)
        rows.append((*item[:3], item.object_class, reason, index, readable, *facts))
        if image is not None:
            pixels[readable] = image
            readable += 1
    path.with_suffix(".rgb").write_bytes(pixels[:readable].data)
    table = pa.table(list(zip(*rows, strict=True)), schema=_FACTS)
    feather.write_feather(table, beside := path.with_suffix(".writing"), compression="uncompressed")
    os.replace(beside, path)
    return table


def _decode_item(source: Source, item: Item, image_size: int) -> tuple[Pixels | None, Sequence[Any], str | None]:
    """Pixels, facts and no reason, or the reason why there are none."""
    nothing = [None] * len(Facts._fields)
    try:
        return *decode(source.read(item.file), image_size), None
    except UnreadableError as error:
        return None, nothing, str(error)
    except Exception as error:  # a source reads files or archives, and each fails in its own way
        return None, nothing, f"cannot be read: {error}"


_FACTS = pa.schema(
    [
        ("split", pa.string()),
        ("label", pa.int8()),
        ("path", pa.string()),
        ("object_class", pa.string()),
        ("reason", pa.string()),
        ("part", pa.int32()),
        ("place", pa.int32()),
        ("codec", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("group", pa.string()),
    ]
)


def _write_all(
    pool: Executor, scratch: Path, target: Folder, image_size: int, facts: pd.DataFrame
) -> list["Future[_Written]"]:
    """Begin to write all shards, on all cores."""
    is_test = (facts["shard_split"] == "test").to_numpy()
    groups = pd.factorize(facts["group"])[0]  # numbers: looking strings up takes twenty times as long
    facts = facts.assign(in_train=is_test & np.isin(groups, groups[~is_test]))
    facts = facts[["shard_split", "part", "place", *_COLUMNS]]
    return [pool.submit(_write_shard, scratch, target, image_size, name, rows) for name, rows in _shard_rows(facts)]


def _written(shards_written: list["Future[_Written]"]) -> dict[str, Any]:
    """What a manifest says of the files: their rows and bytes, and the moments of the training pixels."""
    results = [future.result() for future in shards_written]
    count, first, second = np.sum([moments for name, _, moments in results if name.startswith("train-")], axis=0)
    mean = first / count
    return {
        "files": {name: size for name, size, _ in results},
        "pixel_mean": tuple(np.round(mean / 255, 6).tolist()),
        "pixel_std": tuple(np.round(np.sqrt(second / count - mean**2) / 255, 6).tolist()),
    }


def _fingerprint(facts: pd.DataFrame, image_size: int) -> str:
    ordered = pd.concat([facts[facts["shard_split"] == split] for split in shards.SPLITS])
    columns = {column: ordered[column].tolist() for column in ("shard_split", "path", "label", "sha256")}
    return shards.fingerprint(image_size, columns)


def _counts(facts: pd.DataFrame) -> dict[str, dict[str, int]]:
    table = facts.groupby(["shard_split", "label"]).size()
    return {
        split: {name: int(table.get((split, label), 0)) for label, name in enumerate(LABEL_NAMES)}
        for split in shards.SPLITS
    }


def _shard_rows(facts: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each shard's name and the rows that go into it."""
    for split in shards.SPLITS:
        rows = facts[facts["shard_split"] == split]
        for index, start in enumerate(range(0, len(rows), shards.ROWS_PER_SHARD)):
            yield shards.file_name(split, index), rows.iloc[start : start + shards.ROWS_PER_SHARD]


def _write_shard(scratch: Path, folder: Folder, image_size: int, name: str, rows: pd.DataFrame) -> _Written:
    """Write one shard. Returns its name, its rows and bytes, and the moments of its pixels."""
    images = np.concatenate(
        [
            np.memmap(scratch / f"part-{part:05d}.rgb").reshape(-1, image_size, image_size, 3)[places.to_numpy()]
            for part, places in rows.groupby("part", sort=False)["place"]
        ]
    )
    shards.write_shard(folder, name, images, {column: rows[column] for column in _COLUMNS})
    return name, {"rows": len(rows), "bytes": folder.size(name)}, _moments(images)


def _moments(images: np.ndarray) -> np.ndarray:
    """(3, 3) float64: for each of the three channels (last axis) the number of pixels, their sum and sum of squares."""
    per_pixel = [images.sum(0, np.uint32), np.square(images, dtype=np.uint16).sum(0, np.uint32)]
    sums = [values.sum((0, 1), np.float64) for values in per_pixel]
    return np.stack([np.full(3, images[..., 0].size, np.float64), *sums])


def _publish(scratch: Path, folder: Folder, manifest: shards.Manifest) -> None:
    """Make the finished shards appear in `folder`, all at once where it is local, and clear the scratch folder."""
    if folder.is_local:
        Folder(str(scratch / "shards")).write_json(shards.MANIFEST, manifest.to_json())
        if folder.exists():
            folder.local_path().rmdir()
        os.replace(scratch / "shards", folder.local_path())
    else:
        folder.write_json(shards.MANIFEST, manifest.to_json())
    shutil.rmtree(scratch)
