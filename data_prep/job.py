"""The job: list, decode on all cores, audit, split, write.

    listing ──decode──▶ parts in OUT.partial/ ──split──▶ shards in OUT.partial/ ──▶ OUT

A killed job goes on from its parts. Nothing depends on the number of workers.
"""

import contextlib
import gc
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
from filelock import FileLock

from data_prep import copies, shards
from data_prep.audit import audit, duplicates_of_train, enlargement
from data_prep.decode import FIT
from data_prep.errors import ENDS, BrokenOffError, InputError
from data_prep.layout.choices import Choices
from data_prep.layout.images import Item, Listing, list_images
from data_prep.layout.vocabulary import LABEL_NAMES, SPLITS
from data_prep.parts import FACTS, Parts, Progress, worker_pool
from data_prep.sources import CACHE, Source, open_source
from data_prep.split import assign_splits, limited, shuffled
from data_prep.storage import Folder

# A shard's name; its rows and bytes; and, (3, 3) float64, for each of the three channels (last axis) the number of its
# pixels, their sum and their sum of squares.
_Shard = tuple[str, dict[str, int], np.ndarray]

_TRIES = 3


def prepare(
    source: str,
    out: str,
    *,
    image_size: int = 32,
    validation: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    near_copies: bool = True,
    workers: int | None = None,
    choices: Choices | None = None,
    listed: Callable[[Listing], None] = lambda listing: None,
    progress: Progress = lambda done, total: None,
) -> shards.Manifest:
    """Write the shards of `source` to the folder `out`, unless they are there already, and return their manifest.

    `validation` is the share of the training split to cut out, 0–1; `limit` the most images a split; `near_copies`
    whether to look for near-copies, in time proportional to the square of the number of images; `workers` the number of
    processes, by default one a core; `choices` what folders' names mean. `listed` is called with the images before any
    is decoded, `progress` with images decoded, and all. Raises InputError, OSError.
    """
    gc.disable()  # a million small objects and no cycles: the collector would only search them again and again
    try:
        folder, images = Folder(os.path.realpath(out) if os.path.islink(out) else out), open_source(source, choices)
        listed(listing := list_images(images.name, images.files(), choices))
        options: dict[str, Any] = {"image_size": image_size, "validation": validation, "seed": seed, "limit": limit}
        options |= {"near_copies": near_copies, "listing": _hash([_identity(item) for item in listing.items])}
        name = source if source in ("sample", "kaggle") else images.name
        for _ in range(_TRIES):
            with contextlib.suppress(BrokenProcessPool):  # what has been decoded is there the next time
                finished = _finished(folder, options)
                return finished or _make(folder, options, name, images, listing, workers, progress)
        raise BrokenOffError(ENDS["killed"].sentence)
    finally:
        gc.enable()


def listing_of(source: str, choices: Choices) -> Listing:
    """The images of a source, none decoded. Raises InputError, OSError."""
    images = open_source(source, choices)
    return list_images(images.name, images.files(), choices)


def _identity(item: Item) -> tuple[Any, ...]:
    """What makes shards other ones: of an item whose path says all, its path and size alone, as in earlier versions."""
    return item.path, item.file.bytes, *filter(None, (item.generator, item.cluster))


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _finished(folder: Folder, options: dict[str, Any]) -> shards.Manifest | None:
    """The manifest in `folder` if it is of this very job. Raises InputError if it is of another.

    On a remote file system, where shards do not appear all at once, those without a manifest are of a killed job.
    """
    if folder.exists(shards.MANIFEST):
        manifest = shards.read_manifest(folder)
        if manifest.options == options:
            return manifest
        raise InputError(f"{folder} already holds other shards; choose another folder for --out, or delete that one.")
    if any(
        folder.is_local or not (shards.is_file_name(name) or name in (copies.TABLE, copies.SHEET))
        for name in folder.names()
    ):
        raise InputError(f"{folder} has other files in it; choose an empty or a new folder for --out.")
    if folder.is_local and os.path.ismount(folder.local_path()):
        raise InputError(f"{folder} is a mount point, which cannot be replaced; choose a folder in it for --out.")
    return None


def _make(
    folder: Folder,
    options: dict[str, Any],
    name: str,
    images: Source,
    listing: Listing,
    workers: int | None,
    progress: Progress,
) -> shards.Manifest:
    """Write the shards of a source's images to `folder`: all at once where it is local, else the manifest last."""
    with _locked_scratch(folder, options) as scratch:
        if finished := _finished(folder, options):  # by the process that had the lock before
            return finished
        items = limited(shuffled(listing.items, options["seed"]), options["limit"])
        parts = Parts(images.unpacked(scratch), options["image_size"], scratch)
        target = Folder(str(scratch / "shards")) if folder.is_local else folder
        with worker_pool(workers, items) as pool:
            facts, unreadable = parts.decode_all(pool, len(items), progress)
            pairs, facts["picture"] = _pictures(facts, parts, pool if options["near_copies"] else None)
            rows, notes = assign_splits(facts.assign(together=_together(facts)), options["validation"])
            rows = rows.assign(cluster=_clusters(name, rows), duplicate=duplicates_of_train(rows))
            writing = _write_shards(pool, parts, target, rows)
            _write_copies(target, rows, pairs, parts)
            counts = pd.crosstab(rows["split"], rows["label"]).set_axis(LABEL_NAMES, axis=1)
            manifest = shards.Manifest(
                format_version=shards.FORMAT_VERSION,
                source=name,
                image_size=parts.image_size,
                fit=FIT,
                counts=counts.reindex(SPLITS, fill_value=0).to_dict("index"),
                options=options,
                audit=audit(facts, unreadable, listing.strays)
                | {"notes": listing.notes + notes + enlargement(facts, parts.image_size)},
                fingerprint=shards.fingerprint(parts.image_size, FIT, rows),
                **_describe_files([shard.result() for shard in writing]),
            )
        shards.write_manifest(target, manifest)
        if folder.is_local:
            os.replace(scratch / "shards", folder.local_path())
        return manifest


@contextlib.contextmanager
def _locked_scratch(folder: Folder, options: dict[str, Any]) -> Iterator[Path]:
    """Wait for a folder that no other process of this machine uses: empty, or as a killed job of these options left it.

    It is beside a local OUT, and for a remote one in the user's cache, where nobody else can plant it. It is deleted
    once all is well.
    """
    name = "job-" + _hash([str(folder), options])
    path = Path(f"{folder.local_path()}.partial") if folder.is_local else platformdirs.user_cache_path(CACHE) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, job = path.with_suffix(".lock"), path / "job.json"
    content = json.dumps({"format_version": shards.FORMAT_VERSION, "facts": FACTS.names, **options})
    with FileLock(lock):  # who waits for a file that is deleted meanwhile takes the next one's turn
        try:
            if not job.exists() or job.read_text() != content:
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                job.write_text(content)
            yield path
            shutil.rmtree(path)
        finally:
            lock.unlink(missing_ok=True)


def _pictures(facts: pd.DataFrame, parts: Parts, pool: Executor | None) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (p, 2) of near-copies; and a number for each image, equal for copies, exact or near, and their copies.

    Without a pool, near-copies are not looked for.
    """
    from data_prep.near import connected, near_pairs  # SciPy, for which a sweep that has its shards need not wait

    groups = pd.factorize(facts["group"])[0]
    first = np.unique(groups, return_index=True)[1][groups]  # of the group, which is connected to all others of it
    pairs = near_pairs(parts.thumbnails(pool, facts)) if pool else np.zeros((0, 2), int)
    exact = np.stack([np.arange(len(facts)), first], 1)
    return pairs, connected(np.concatenate([pairs, exact]), len(facts))


def _together(facts: pd.DataFrame) -> np.ndarray:
    """A number for each image, equal for those that are to be in one split: copies, and those of a source's cluster."""
    from data_prep.near import connected

    if facts["cluster"].isna().all():
        return np.asarray(facts["picture"])
    named = np.flatnonzero(facts["cluster"].notna())
    pairs = [named, len(facts) + pd.factorize(facts["cluster"].iloc[named])[0]]
    pictures = [np.arange(len(facts)), np.unique(facts["picture"], return_index=True)[1][facts["picture"]]]
    joined: np.ndarray = connected(np.concatenate([np.stack(pairs, 1), np.stack(pictures, 1)]), 2 * len(facts))
    return joined[: len(facts)]


def _clusters(source: str, rows: pd.DataFrame) -> "pd.Series[str | None]":
    """Which images are not independent: those of a source's cluster, copies of a picture, and the sample's patches.

    Those of the sample are of a few photographs. A cluster is within a split: the copies of a test image in train are
    marked as duplicates, and the regions of a photograph of the sample in two splits are far apart.
    """
    if source == "sample":
        return rows["split"] + "/" + rows["path"].str.extract(r"(\w+)-\d+\.\w+$")[0]
    of_split = rows.assign(name=rows["cluster"].fillna(rows["path"])).groupby(["split", "together"])["name"]
    is_several = (of_split.transform("size") > 1) | rows["cluster"].notna()
    return of_split.transform("first").where(is_several, None)


def _write_copies(folder: Folder, rows: pd.DataFrame, pairs: np.ndarray, parts: Parts) -> None:
    """List the near-copies, if there are any."""
    listed = copies.pairs_of(rows, pairs)
    if len(listed):
        shown = listed.head(copies.MOST_SHOWN)[["first", "second"]].to_numpy()
        images = [(parts.pixels(rows.loc[[first]])[0], parts.pixels(rows.loc[[second]])[0]) for first, second in shown]
        copies.write(folder, listed, images)


def _write_shards(pool: Executor, parts: Parts, folder: Folder, rows: pd.DataFrame) -> list[Future[_Shard]]:
    """Begin to write all shards, on all cores."""
    less_to_travel = rows.drop(columns=["codec", "width", "height", "bytes", "picture", "together"])
    rows = less_to_travel.assign(crop=0)
    size = shards.rows_per_shard(parts.image_size)
    return [
        pool.submit(
            _write_shard, parts, folder, shards.file_name(str(split), start // size), group[start : start + size]
        )
        for split, group in rows.groupby("split", sort=False)
        for start in range(0, len(group), size)
    ]


def _write_shard(parts: Parts, folder: Folder, name: str, rows: pd.DataFrame) -> _Shard:
    moments = np.zeros((3, 3))

    def pixels_and_rows() -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
        for start in range(0, len(rows), size := shards.rows_at_once(parts.image_size)):
            images = parts.pixels(part := rows[start : start + size])
            per_pixel = [images.sum(0, np.uint32), np.square(images, dtype=np.uint16).sum(0, np.uint32)]
            sums = [values.sum((0, 1), np.float64) for values in per_pixel]
            moments[:] += np.stack([np.full(3, images[..., 0].size, np.float64), *sums])
            yield images, part

    shards.write_shard(folder, name, parts.image_size, pixels_and_rows())
    return name, {"rows": len(rows), "bytes": folder.size(name)}, moments


def _describe_files(written: list[_Shard]) -> dict[str, Any]:
    """The manifest's fields about the files: their rows and bytes, and mean and SD of the training pixels, 0–1."""
    count, total, squares = np.sum([moments for name, _, moments in written if name.startswith("train-")], axis=0)
    mean = total / count
    return {
        "files": {name: size for name, size, _ in written},
        "pixel_mean": tuple(np.round(mean / 255, 6).tolist()),
        "pixel_std": tuple(np.round(np.sqrt(squares / count - mean**2) / 255, 6).tolist()),
    }
