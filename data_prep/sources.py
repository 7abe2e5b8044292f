"""Where raw images come from: a folder, a zip, Kaggle's CIFAKE or the embedded sample.

A source is a listing in `split/label/file` layout plus a way to read each file's bytes. Labels are the folders REAL and
FAKE, in any case; splits are train, validation and test, or nothing at all, in which case everything is train.
"""

import hashlib
import os
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import platformdirs

from data_prep._command import InputError

LABELS = {"real": 0, "fake": 1}
LABEL_NAMES = ("REAL", "FAKE")
SAMPLE = Path(__file__).parent / "sample" / "sample.zip"

_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
_SPLITS = {name: split for split, names in _SPLIT_NAMES.items() for name in names}
_CIFAKE_NAME = re.compile(r"\d+(?: \((10|[2-9])\))?\.jpg")
_LITTER = re.compile(r"(^|/)(\.|__MACOSX/|Thumbs\.db$|desktop\.ini$)")
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# A zip of images hardly shrinks. One that unpacks to more than this many times its size, or holds one file larger than
# any photograph, is a trap or a mistake.
_MOST_EXPANSION = 100
_LARGEST_FILE_BYTES = 512 * 2**20


class Item(NamedTuple):
    """One raw file. `path` starts at the split (`train/REAL/0001.jpg`), `name` is the file's name within the source."""

    split: str
    label: int
    path: str
    name: str
    bytes: int
    object_class: str | None = None


class Source(Protocol):
    """A listing of raw images, and their bytes. Can be pickled, so that worker processes read on their own."""

    @property
    def name(self) -> str:
        """The folder or archive, as an absolute path."""
        ...

    def files(self) -> Iterable[tuple[str, int]]:
        """Every file's name and size in bytes."""
        ...

    def open(self) -> None:
        """Do what a process need do only once."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of the file `name`. Raises OSError or zipfile.BadZipFile."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files."""

    name: str

    def files(self) -> Iterable[tuple[str, int]]:
        """Every file's name and size in bytes."""
        for parent, _, files in os.walk(self.name, followlinks=True):
            for file in files:
                path = Path(parent, file)
                yield path.relative_to(self.name).as_posix(), path.stat().st_size if path.exists() else 0

    def open(self) -> None:
        """Nothing: a folder is open."""

    def read(self, name: str) -> bytes:
        """The bytes of the file `name`. Raises OSError."""
        return Path(self.name, name).read_bytes()


@dataclass(frozen=True)
class ZipSource:
    """A zip archive of image files, read in place: nothing is unpacked to disk."""

    name: str

    def files(self) -> Iterable[tuple[str, int]]:
        """Every file's name and size in bytes. Raises InputError for an archive that is no good."""
        members = [member for member in _open_zip(self.name).infolist() if not member.is_dir()]
        _check_members(self.name, members)
        return [(member.filename, member.file_size) for member in members]

    def open(self) -> None:
        """Read the archive's directory."""
        _open_zip(self.name)

    def read(self, name: str) -> bytes:
        """The bytes of the member `name`. Raises zipfile.BadZipFile."""
        return _open_zip(self.name).read(name)


@cache
def _open_zip(path: str) -> zipfile.ZipFile:
    """One open archive a process: reading its directory of 120,000 names costs a second."""
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise InputError(f"{path} is no complete zip archive; download it again, or pass the unzipped folder.")


def _check_members(archive: str, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or ":" in name.partition("/")[0]:
            raise InputError(
                f"{archive} holds a path that leaves it ({member.filename!r}); use an archive you can trust."
            )
    unpacked = sum(member.file_size for member in members)
    largest = max((member.file_size for member in members), default=0)
    if unpacked > _MOST_EXPANSION * max(os.path.getsize(archive), 2**20) or largest > _LARGEST_FILE_BYTES:
        raise InputError(
            f"{archive} would unpack to {unpacked / 2**20:,.0f} MiB from {os.path.getsize(archive) / 2**20:,.1f} MiB, "
            "which no images do; use an archive you can trust."
        )


def open_source(source: str) -> Source:
    """The source that `sample`, `kaggle` or a path names. Raises InputError."""
    if source == "sample":
        return ZipSource(str(SAMPLE))
    if source == "kaggle":
        from data_prep import _kaggle

        return ZipSource(str(_kaggle.fetch(Path(platformdirs.user_cache_dir("cifake-sweeps")))))
    path = Path(source).expanduser()
    if not path.exists():
        raise InputError(f"{source} does not exist; pass a folder or zip of images, `sample` or `kaggle`.")
    return FolderSource(str(path.resolve())) if path.is_dir() else ZipSource(str(path.resolve()))


def list_images(source: str, files: Iterable[tuple[str, int]]) -> tuple[list[Item], list[str]]:
    """The images among a source's files, sorted by path, and the names of files that are in no REAL or FAKE folder.

    Raises InputError for a source without images, with one label only, or without a training split.
    """
    items, elsewhere = [], []
    for name, size in files:
        item = _item(name, size)
        if item:
            items.append(item)
        elif not _is_litter(name):
            elsewhere.append(name)
    _check_items(source, items, elsewhere)
    return _with_cifake_classes(sorted(items, key=lambda item: item.path)), sorted(elsewhere)


def _item(name: str, size: int) -> Item | None:
    parts = name.split("/")
    lowered = name.lower().split("/")[:-1]
    at = next((index for index, part in enumerate(lowered) if part in LABELS), None)
    if at is None or _is_litter(name):
        return None
    split = _SPLITS.get(lowered[at - 1]) if at else None
    label = LABELS[lowered[at]]
    path = "/".join([split or "train", LABEL_NAMES[label], *parts[at + 1 :]])
    return Item(split or "train", label, path, name, size, object_class="/".join(parts[at + 1 : -1]) or None)


def _is_litter(name: str) -> bool:
    """What operating systems leave in folders and archives."""
    return bool(_LITTER.search(name))


def _check_items(source: str, items: list[Item], elsewhere: list[str]) -> None:
    if not items:
        found = f" (it holds {len(elsewhere)} other files, as {elsewhere[0]!r})" if elsewhere else " (it is empty)"
        raise InputError(
            f"{source} has no images in folders named REAL and FAKE{found}; use the layout train/REAL/….jpg."
        )
    if len({item.path for item in items}) < len(items):
        raise InputError(f"{source} holds more than one tree of REAL and FAKE folders; pass one of them.")
    for split in sorted({item.split for item in items} | {"train"}):
        labels = {item.label for item in items if item.split == split}
        if len(labels) < 2:
            missing = "any images" if not labels else f"{LABEL_NAMES[1 - labels.pop()]} images"
            raise InputError(
                f"{source} lacks {missing} in its {split} split; add them, as {split}/REAL and {split}/FAKE."
            )


def _with_cifake_classes(items: list[Item]) -> list[Item]:
    """CIFAKE writes the CIFAR-10 class into the file name: `0000.jpg` airplane, `0000 (2).jpg` automobile, and so on.

    Only a source whose every name follows that pattern, with all ten classes, is taken for CIFAKE.
    """
    matches = [_CIFAKE_NAME.fullmatch(item.path.rpartition("/")[2]) for item in items]
    numbers = {int(match[1] or 1) for match in matches if match}
    if not all(matches) or numbers != set(range(1, 11)):
        return items
    classes = (_CIFAR_CLASSES[int(match[1] or 1) - 1] for match in matches if match)
    return [item._replace(object_class=name) for item, name in zip(items, classes, strict=True)]


def shuffled(items: list[Item], seed: int) -> list[Item]:
    """The items in an order that looks random and is the same on every machine: sorted by a hash of seed and path."""
    return sorted(items, key=lambda item: hashlib.blake2b(f"{seed}/{item.path}".encode(), digest_size=16).digest())


def limited(items: list[Item], limit: int | None) -> list[Item]:
    """The first `limit` items of each split, half of them REAL and half FAKE; all of them for None."""
    if limit is None:
        return items
    taken: dict[tuple[str, int], int] = {}
    kept = []
    for item in items:
        count = taken[item.split, item.label] = taken.get((item.split, item.label), 0) + 1
        if count <= limit // 2:
            kept.append(item)
    return kept
