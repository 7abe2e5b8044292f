"""The test images that a record's trials scored, or those of other shards: what networks are tested with."""

import contextlib
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from PIL import Image

from analysis.results.provenance import codecs
from analysis.results.scores import numbered
from analysis.results.trials import Results
from data_prep import Folder, InputError, shards
from data_prep.decode import thumbnails
from data_prep.near import near_copies
from data_prep.split import first_balanced
from trainables.training.selection import DataSelection

#: `data` of the record's own images in tables, where others have the name of their folder.
OWN = "own"
#: How many codecs are named where there are many.
MOST_CODECS = 3


@dataclass(frozen=True)
class ScoredImages:
    """Some images of one test split: `images` (n, side, side, 3) uint8, `labels` (n,) 0 REAL and 1 FAKE.

    `rows` (n,) are their rows in the shards' split. `duplicates` (n,) str are "exact" or "near" for images of which
    train or validation has a copy and "" for others, or None where that is not known; `clusters` (n,) are numbers,
    equal for images that are not independent, or None. `data` is OWN or the folder's name; `codecs` are the codecs
    of the source's files; `warnings` are sentences.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    duplicates: np.ndarray | None
    clusters: np.ndarray | None
    data: str
    fingerprint: str
    codecs: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def side(self) -> int:
        """Side of the square images, in pixels."""
        return int(self.images.shape[1])


def images_to_score(results: Results, folder: Folder | None = None, limit: int | None = None) -> ScoredImages:
    """The test images of the record's shards, those that its trials scored; or those of the shards in `folder`.

    `folder` may also be where the record's shards are now. `limit` takes the first so many, half of them REAL. Raises
    InputError.
    """
    if folder is None or _is_own(results, folder):
        return own_images(results, folder, limit)
    images, groups = _read(folder, str(folder), limit)
    own, duplicates = _recorded(results), None
    if own and own.is_local and own.exists(shards.MANIFEST) and _is_own(results, own):
        duplicates = _duplicates(images.images, groups, own)
    return _fitted(replace(images, duplicates=duplicates), results)


def _duplicates(images: np.ndarray, groups: list[str], own: Folder) -> np.ndarray:
    """For each image (n,) of these groups, "exact" or "near" if train or validation of `own` has a copy, else "".

    Near-copies are not looked for where they were not when the shards were made.
    """
    is_near = bool(shards.read_manifest(own).options.get("near_copies"))
    known, small = set[str](), list[np.ndarray]()
    for split in ("train", "validation"):  # on which trials were trained, and by which they were chosen
        for table in shards.read_tables(own, split, ["group", *["image"] * is_near]):
            known.update(table["group"].to_pylist())
            if is_near:
                small.append(thumbnails(shards.images_of(table)))
    near = near_copies(thumbnails(images), np.concatenate(small)) if small else np.zeros(len(images), bool)
    return np.select([[group in known for group in groups], near], ["exact", "near"], "")


def own_images(results: Results, folder: Folder | None = None, limit: int | None = None) -> ScoredImages:
    """The test images that the record's trials scored, read from its shards. Raises InputError."""
    if folder is None:
        folder = _recorded(results)
        if folder and not folder.is_local:  # a stranger's record may name any address
            raise InputError(f"The record's shards are at {folder}; to read them from there, give that as --data.")
        if not (folder and folder.exists(shards.MANIFEST)):
            raise InputError(f"The record's shards are no longer at {folder}; say with --data where they are now.")
    check_own(results, folder)
    test = results.scores.parts.get("test")
    if test is None:
        raise InputError("The record has no scores of test images; run the sweep again to make them.")
    return _read(folder, OWN, limit, test.rows)[0]


def _recorded(results: Results) -> Folder | None:
    """Where the shards were, as the record says; None if it names no place."""
    with contextlib.suppress(InputError):
        return Folder(results.provenance.manifest.data.shards)
    return None


def check_own(results: Results, folder: Folder) -> None:
    """Raise InputError unless the record was made with the shards in `folder`."""
    if not _is_own(results, folder):
        raise _others(folder)


def _others(folder: Folder) -> InputError:
    return InputError(f"{folder} has other images than those of this record; say with --data where those are now.")


def _is_own(results: Results, folder: Folder) -> bool:
    """Whether the record was made with these shards."""
    manifest = results.provenance.manifest
    limit, smoke, subsets = (manifest.settings.get(name) for name in ("limit", "smoke", "resample_train"))
    selection = DataSelection(folder, limit, bool(smoke), subsets or 1)
    return selection.fingerprint(shards.read_manifest(folder).fingerprint) == manifest.data.fingerprint


def _read(
    folder: Folder, data: str, limit: int | None, rows: np.ndarray | None = None
) -> tuple[ScoredImages, list[str]]:
    """Images of the test split, and the group of each: those `rows`, or all; of these the first `limit`, balanced."""
    columns, manifest = ["image", "label", "group", "duplicate", "cluster"], shards.read_manifest(folder)
    table = pa.concat_tables(shards.read_tables(folder, "test", columns)).combine_chunks()
    if rows is not None and not ((rows >= 0) & (rows < len(table))).all():
        raise _others(folder)
    rows = np.arange(len(table), dtype=np.int32) if rows is None else rows.astype(np.int32)
    if limit:
        rows = rows[first_balanced(table["label"].to_numpy()[rows], limit)]
    table = table.take(pa.array(rows))
    images = ScoredImages(
        images=shards.images_of(table),
        labels=table["label"].to_numpy(),
        rows=rows,
        duplicates=np.array([duplicate or "" for duplicate in table["duplicate"].to_pylist()]),
        clusters=numbered(table["cluster"].to_pandas()),
        data=data,
        fingerprint=manifest.fingerprint,
        codecs=codecs(manifest.audit),
    )
    return images, table["group"].to_pylist()


def _fitted(images: ScoredImages, results: Results) -> ScoredImages:
    """Images of other shards at the size that the networks take (Lanczos, as `data_prep` resamples), with warnings.

    The warnings say how the images differ from those that the networks were trained on.
    """
    side, pixels = results.provenance.manifest.data.image_size or images.side, images.images
    warnings = []
    if images.side != side:
        sized = [Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS) for image in pixels]
        pixels = np.stack([np.asarray(image) for image in sized])
        warnings.append(
            f"The images of {images.data} are {images.side} x {images.side} pixels, and are "
            f"resampled to {side} x {side}."
        )
    if images.codecs != results.provenance.codecs:
        here, trained = (" and ".join(names[:MOST_CODECS]) for names in (images.codecs, results.provenance.codecs))
        warnings.append(
            f"The files of {images.data} were {here}, those of training {trained}: "
            "the results also show the effect of that."
        )
    if images.duplicates is None:
        warnings.append("The record's own shards are missing, so duplicates of its training images cannot be left out.")
    return replace(images, images=pixels, warnings=tuple(warnings))
