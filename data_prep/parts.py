"""Decoded images in files on this machine: what a job has finished when it is killed, and goes on from.

Part N has the pixels of its readable images in part-N.rgb, one after another, and the facts of all its images in
part-N.arrow. That file is written last, so a part that has it is whole.
"""

import contextlib
import gc
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather

from data_prep.decode import Facts, UnreadableError, decode, thumbnails
from data_prep.errors import InputError, handle_signals
from data_prep.layout.images import Item
from data_prep.layout.vocabulary import LABEL_NAMES
from data_prep.shards import rows_at_once
from data_prep.sources import Source

_ITEMS_PER_PART = 2_500
_ITEMS_IN_PROCESS = 10_000

Progress = Callable[[int, int], None]

_items: list[Item] = []  # in a process that decodes them

#: What is known of an image beside its pixels.
FACTS = pa.schema(
    [
        ("split", pa.string()),
        ("label", pa.int8()),
        ("path", pa.string()),
        ("object_class", pa.string()),
        ("generator", pa.string()),
        ("cluster", pa.string()),
        ("reason", pa.string()),
        ("codec", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("group", pa.string()),
    ]
)


@contextlib.contextmanager
def worker_pool(workers: int | None, items: list[Item]) -> Iterator[Executor]:
    """Yield processes that know the items, by default one a core; for few items one thread, which starts at once.

    Processes forked from this one have the items, and everything it has imported, from the beginning. What is still
    queued when an error ends the block is not done.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(workers or cores, math.ceil(len(items) / _ITEMS_PER_PART))
    pool: Executor
    if count <= 1 or len(items) <= _ITEMS_IN_PROCESS:
        _items[:] = items
        pool = ThreadPoolExecutor(1)
    else:
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        pool = ProcessPoolExecutor(count, context, _begin_work, (items,))
    with pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_work(items: list[Item]) -> None:
    _items[:] = items
    work_for_parent()
    gc.disable()  # as in `prepare`


def work_for_parent() -> None:
    """Make this process one that ends with the process that forked it, and at a signal, without a word."""
    handle_signals(signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # type: ignore[union-attr]
    os._exit(1)


@dataclass(frozen=True)
class Parts:
    """The decoded images of a source, `image_size` x `image_size` pixels, in a folder."""

    source: Source
    image_size: int
    folder: Path

    def decode_all(self, pool: Executor, count: int, progress: Progress) -> tuple[pd.DataFrame, dict[str, str]]:
        """Decode the pool's `count` items. Returns the facts of the readable images, in order; path → reason of others.

        The facts' columns `part` and `place` say where the pixels are. Raises InputError where a label is unreadable.
        """
        tables: list[pa.Table] = []
        for table in pool.map(self._decode_part, range(math.ceil(count / _ITEMS_PER_PART))):
            tables.append(table)
            progress(min(len(tables) * _ITEMS_PER_PART, count), count)
        facts = pa.concat_tables(tables).to_pandas()
        facts["part"] = np.arange(count) // _ITEMS_PER_PART
        unreadable = facts[facts["reason"].notna()]
        readable = facts[facts["reason"].isna()].drop(columns="reason").reset_index(drop=True)
        readable["place"] = readable.groupby("part").cumcount()
        for label, name in enumerate(LABEL_NAMES):
            if not ((readable["label"] == label) & (readable["split"] == "train")).any():
                path, reason = unreadable[["path", "reason"]].iloc[0]
                raise InputError(f"No {name} training image can be read (as {path}: {reason}); check the files.")
        return readable, dict(zip(unreadable["path"], unreadable["reason"], strict=True))

    def pixels(self, rows: pd.DataFrame) -> np.ndarray:
        """The images of some rows of the facts, which are in their order: (rows, height, width, 3) uint8."""
        shape = (-1, self.image_size, self.image_size, 3)
        images, start = np.empty((len(rows), *shape[1:]), np.uint8), 0
        for part, places in rows.groupby("part", sort=False)["place"]:
            pixels, end = np.memmap(self.folder / f"part-{part:05d}.rgb").reshape(shape), start + len(places)
            np.take(pixels, places, axis=0, out=images[start:end], mode="clip")  # which "raise" would copy twice
            start = end
        return images

    def thumbnails(self, pool: Executor, facts: pd.DataFrame) -> np.ndarray:
        """The images of the facts `decode_all` returned, in their order, grey and small: (rows, 32, 32) uint8."""
        counts = facts.groupby("part").size()
        return np.concatenate(list(pool.map(self._thumbnails_of_part, counts.index, counts)))

    def _thumbnails_of_part(self, part: int, count: int) -> np.ndarray:
        size, shape = rows_at_once(self.image_size), (count, self.image_size, self.image_size, 3)
        # Mapped anew for each few: what a process has mapped and touched is in its memory.
        pixels = (
            np.memmap(self.folder / f"part-{part:05d}.rgb").reshape(shape)[start : start + size]
            for start in range(0, count, size)
        )
        return np.concatenate([thumbnails(images) for images in pixels])

    def _decode_part(self, part: int) -> pa.Table:
        """Decode a part unless it is there, and return the facts of its images."""
        path = self.folder / f"part-{part:05d}.arrow"
        if path.exists():
            return feather.read_table(path)
        rows = []
        with path.with_suffix(".rgb").open("wb", buffering=2**22) as file:  # few, large writes
            for item in _items[part * _ITEMS_PER_PART : (part + 1) * _ITEMS_PER_PART]:
                pixels, reason, facts = self._decode(item)
                file.write(pixels)
                of_item = (item.split, item.label, item.path, item.object_class, item.generator, item.cluster)
                rows.append((*of_item, reason, *facts))
        table = pa.table(list(zip(*rows, strict=True)), schema=FACTS)
        feather.write_feather(table, beside := path.with_suffix(".writing"), compression="uncompressed")
        os.replace(beside, path)
        return table

    def _decode(self, item: Item) -> tuple[Any, str | None, tuple[Any, ...]]:
        """The pixels, None and the facts of an image; or none of its pixels, the reason for that, and empty facts."""
        try:
            pixels, facts = decode(self.source.read(item.file), self.image_size)
            return pixels.data, None, facts
        except UnreadableError as error:
            reason = str(error)
        except Exception as error:  # a source reads files or archives, and each fails in its own way
            reason = f"cannot be read: {error}"
        return b"", reason, (None,) * len(Facts._fields)
