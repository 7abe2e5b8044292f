"""Where raw images come from: a folder, a zip, Kaggle's CIFAKE or the embedded sample.

A source is a listing in `split/label/file` layout plus a way to read each file's bytes. Labels are the folders REAL and
FAKE, in any case; splits are the folders train, validation and test above or below them, or nothing at all, in which
case everything is train.
"""

import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
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

_HEADER = struct.Struct("<26xHH")  # of a zip's member
_ENCRYPTED = 1


class Member(NamedTuple):
    """Where an archive has a file: the offset of its header, its bytes there, how they are packed, and their CRC-32."""

    offset: int
    bytes: int
    method: int
    checksum: int


class File(NamedTuple):
    """A file of a source: its name there, its size in bytes, and its place if the source is an archive."""

    name: str
    bytes: int
    member: Member | None = None


class Item(NamedTuple):
    """One raw image. `path` starts at the split (`train/REAL/0001.jpg`)."""

    split: str
    label: int
    path: str
    file: File
    object_class: str | None = None


class Source(Protocol):
    """A listing of raw images, and their bytes. Can be pickled, so that worker processes read on their own."""

    @property
    def name(self) -> str:
        """The folder or archive, as an absolute path."""
        ...

    def files(self) -> Iterable[File]:
        """Every file there is."""
        ...

    def read(self, file: File) -> bytes:
        """The bytes of one of them. Raises OSError or zipfile.BadZipFile."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files."""

    name: str

    def files(self) -> Iterable[File]:
        """Every file there is. Raises InputError for a folder that cannot be read, and for names that are no text."""
        for parent, folders, files in os.walk(self.name, followlinks=True, onerror=_refuse_folder):
            folders[:] = [folder for folder in folders if not _leads_back(Path(parent, folder))]
            for file in files:
                path = Path(parent, file)
                _check_name(path)
                yield File(path.relative_to(self.name).as_posix(), path.stat().st_size if path.exists() else 0)

    def read(self, file: File) -> bytes:
        """The bytes of one of them. Raises OSError."""
        path = Path(self.name, file.name)
        if path.exists() and not path.is_file():
            raise OSError("it is a pipe or a device")
        return path.read_bytes()


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"The folder {error.filename} cannot be read ({error.strerror}); mend that, or take it out.")


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in, and so would be walked through again and again."""
    if not folder.is_symlink():
        return False
    target, here = folder.resolve(), folder.parent.resolve()
    return target == here or target in here.parents


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"The name of {str(path)!a} is not UTF-8; rename the file.")


@dataclass(frozen=True)
class ZipSource:
    """A zip archive of image files, read in place: nothing is unpacked to disk."""

    name: str

    def files(self) -> Iterable[File]:
        """Every file there is. Raises InputError for an archive that is no good."""
        members = [member for member in self._directory() if not member.is_dir()]
        _check_members(self.name, members)
        return [File(member.filename, member.file_size, _place(member)) for member in members]

    def read(self, file: File) -> bytes:
        """The bytes of one of them. Raises zipfile.BadZipFile.

        Python's zipfile takes longer for a small member than all the rest that is done with it, and would have every
        process read the directory of 120,000 names, a second each. It is asked where a member is packed otherwise.
        """
        if not file.member:
            with zipfile.ZipFile(self.name) as archive:
                return archive.read(file.name)
        return _unpack(_descriptor(self.name), file)

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.name) as archive:
                return archive.infolist()
        except zipfile.BadZipFile:
            raise InputError(f"{self.name} is no complete zip archive; download it again, or pass the unzipped folder.")


def _place(member: zipfile.ZipInfo) -> Member | None:
    """Where a member stands, if it is packed in one of the two usual ways and not encrypted."""
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return None
    return Member(member.header_offset, member.compress_size, member.compress_type, member.CRC)


@cache
def _descriptor(path: str) -> int:
    """One open file a process."""
    return os.open(path, os.O_RDONLY)


def _unpack(descriptor: int, file: File) -> bytes:
    """A member's bytes: they follow its header, which ends in the lengths of the name and of what is between.

    No more than the archive's directory promises: a few bytes may hold gigabytes of zeros.
    """
    member = file.member
    assert member
    header = os.pread(descriptor, _HEADER.size, member.offset)
    if not header.startswith(b"PK\3\4"):
        raise zipfile.BadZipFile("its header in the archive is damaged")
    packed = os.pread(descriptor, member.bytes, member.offset + _HEADER.size + sum(_HEADER.unpack(header)))
    is_packed = member.method == zipfile.ZIP_DEFLATED
    content = zlib.decompressobj(-15).decompress(packed, file.bytes + 1) if is_packed else packed
    if len(content) != file.bytes or zlib.crc32(content) != member.checksum:
        raise zipfile.BadZipFile("its bytes in the archive are damaged")
    return content


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


def list_images(source: str, files: Iterable[File]) -> tuple[list[Item], list[str]]:
    """The images among a source's files, sorted by path, and the names of files that are in no REAL or FAKE folder.

    Raises InputError for a source without images, with one label only, or without a training split.
    """
    items, elsewhere = [], []
    for file in files:
        item = _item(file)
        if item:
            items.append(item)
        elif not _is_litter(file.name):
            elsewhere.append(file.name)
    _check_items(source, items, elsewhere)
    return _with_cifake_classes(sorted(items, key=lambda item: item.path)), sorted(elsewhere)


def _item(file: File) -> Item | None:
    folder, _, name = file.name.rpartition("/")
    meaning = _meaning(folder)
    if meaning is None or _is_litter(file.name):
        return None
    split, label, within = meaning
    parts = [split, LABEL_NAMES[label], within, name] if within else [split, LABEL_NAMES[label], name]
    return Item(split, label, "/".join(parts), file, object_class=within or None)


@lru_cache
def _meaning(folder: str) -> tuple[str, int, str] | None:
    """The split and label that a folder stands for, and the rest of its path; None if it is in no REAL or FAKE.

    The split is the nearest folder above the label that is called one, or else that below it: `test/biggan/FAKE` and
    `FAKE/test/biggan` are the same.
    """
    parts = folder.split("/")
    lowered = folder.lower().split("/")
    at = next((index for index, part in enumerate(lowered) if part in LABELS), None)
    if at is None:
        return None
    above = next((index for index in reversed(range(at)) if lowered[index] in _SPLITS), None)
    if above is not None:
        return _SPLITS[lowered[above]], LABELS[lowered[at]], "/".join(parts[above + 1 : at] + parts[at + 1 :])
    below = _SPLITS.get(lowered[at + 1]) if len(parts) > at + 1 else None
    return below or "train", LABELS[lowered[at]], "/".join(parts[at + 2 if below else at + 1 :])


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
