"""The test images that a record has scored, or those of other shards: what networks are put to the proof with."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from analysis.results.provenance import codecs
from analysis.results.trials import Results
from data_prep import shards
from data_prep.errors import InputError
from data_prep.storage import Folder
from trainables.training.selection import DataSelection

#: What the record's own images are called in tables, where others have the name of their folder.
OWN = "own"
_COLUMNS = ["image", "label", "path", "object_class", "group", "duplicate"]


@dataclass(frozen=True)
class ScoredImages:
    """Some images of one test split: `images` (n, side, side, 3) uint8, `labels` (n,) 0 REAL and 1 FAKE.

    `rows` (n,) are their places in the shards' split; `seen` (n,) bool, whether an image also stands in train, or None
    where that is not known; `paths` and `classes` (n,) str. `data` is OWN or the folder's name; `codecs` are the codecs
    of the source's files; `warnings` are sentences.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    seen: np.ndarray | None
    paths: np.ndarray
    classes: np.ndarray
    data: str
    fingerprint: str
    codecs: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def side(self) -> int:
        """Of the square images, in pixels."""
        return int(self.images.shape[1])


def images_to_score(results: Results, folder: Folder | None = None, limit: int | None = None) -> ScoredImages:
    """The test images of the record's shards, those that its trials have scored; or those of the shards in `folder`.

    `folder` may also be the place where the record's shards are now. `limit` takes so many, half of them REAL. Raises
    InputError.
    """
    if folder is None or _is_own(results, folder):
        return own_images(results, folder, limit)
    return _other_images(results, folder, limit)


def own_images(results: Results, folder: Folder | None = None, limit: int | None = None) -> ScoredImages:
    """The test images that the record's trials have scored, read from its shards. Raises InputError."""
    told = results.provenance.manifest.get("data") or {}
    if folder is None:
        folder = Folder(str(told.get("shards")))
        if not folder.exists(shards.MANIFEST):
            raise InputError(f"The record's shards are no longer at {folder}; say with --data where they are now.")
    if not _is_own(results, folder):
        raise InputError(f"{folder} has other images than those of this record; say with --data where those are now.")
    if "test" not in results.scores.parts:
        raise InputError("The record has no scores of test images; run the sweep again to make them.")
    table = _read(folder, _taken(results.scores.parts["test"].labels, results.scores.parts["test"].rows, limit))
    seen = table["duplicate"].is_valid().to_numpy()
    return _made(table, OWN, folder, seen)


def _is_own(results: Results, folder: Folder) -> bool:
    """Whether the record was made with these shards."""
    settings, told = (results.provenance.manifest.get(name) or {} for name in ("settings", "data"))
    whole = shards.read_manifest(folder).fingerprint
    fingerprint = DataSelection(folder, settings.get("limit"), bool(settings.get("smoke"))).fingerprint(whole)
    return bool(fingerprint == told.get("fingerprint"))


def _other_images(results: Results, folder: Folder, limit: int | None) -> ScoredImages:
    """The test images of other shards, at the size of the record's, with warnings where they are of another kind."""
    labels = np.concatenate([table["label"].to_numpy() for table in shards.read_tables(folder, "test", ["label"])])
    table = _read(folder, _taken(labels, np.arange(len(labels)), limit))
    seen = _trained_on(results, table["group"].to_pylist())
    found = _made(table, str(folder), folder, seen)
    return _fitted(found, results, _warnings(results, found, folder))


def _taken(labels: np.ndarray, rows: np.ndarray, limit: int | None) -> np.ndarray:
    """The rows, or the first of them, as many of each label."""
    if not limit:
        return rows
    places = [np.flatnonzero(labels == label)[: limit // 2] for label in (0, 1)]
    return rows[np.sort(np.concatenate(places))]


def _read(folder: Folder, rows: np.ndarray) -> pa.Table:
    """Those rows of the test split, in this order, with their number under `row`."""
    table = pa.concat_tables(shards.read_tables(folder, "test", _COLUMNS)).combine_chunks()
    return table.take(pa.array(rows)).append_column("row", pa.array(rows.astype(np.int32)))


def _made(table: pa.Table, data: str, folder: Folder, seen: np.ndarray | None) -> ScoredImages:
    manifest = shards.read_manifest(folder)
    texts = {name: np.array([text or "" for text in table[name].to_pylist()]) for name in ("path", "object_class")}
    return ScoredImages(
        images=shards.images_of(table),
        labels=table["label"].to_numpy(),
        rows=table["row"].to_numpy(),
        seen=seen,
        paths=texts["path"],
        classes=texts["object_class"],
        data=data,
        fingerprint=manifest.fingerprint,
        codecs=codecs(manifest.audit),
    )


def _trained_on(results: Results, groups: list[str]) -> np.ndarray | None:
    """Whether images of other shards show exactly the pixels of one that the record's trials may have trained on."""
    own = Folder(str((results.provenance.manifest.get("data") or {}).get("shards")))
    if not own.exists(shards.MANIFEST) or not _is_own(results, own):
        return None
    tables = [table for split in ("train", "validation") for table in shards.read_tables(own, split, ["group"])]
    known = set(pa.concat_tables(tables)["group"].to_pylist())
    return np.array([group in known for group in groups], bool)


def _warnings(results: Results, found: ScoredImages, folder: Folder) -> list[str]:
    """In which ways images are of another kind than those that the networks were trained on."""
    told = results.provenance.manifest.get("data") or {}
    side, trained = told.get("image_size"), results.provenance.codecs
    said = []
    if found.side != side:
        sizes = f"{found.side} x {found.side} pixels, and are resampled to {side} x {side}"
        said.append(f"The images of {folder} are {sizes}.")
    if found.codecs != trained:
        kinds = f"{' and '.join(found.codecs[:3])}, those of training {' and '.join(trained[:3])}"
        said.append(f"The files of {folder} were {kinds}: results also tell what that does.")
    if found.seen is None:
        said.append("The record's own shards are not there, so images that were trained on cannot be left out.")
    return said


def _fitted(found: ScoredImages, results: Results, warnings: list[str]) -> ScoredImages:
    """The images at the size that the networks take (Lanczos, as `data_prep` resamples)."""
    side = int((results.provenance.manifest.get("data") or {}).get("image_size") or found.side)
    images = found.images
    if side != found.side:
        sized = [Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS) for image in images]
        images = np.stack([np.asarray(image) for image in sized])
    return ScoredImages(**{**vars(found), "images": images, "warnings": tuple(warnings)})
