"""The files of a source, and which label, split and object class the path of each stands for."""

import re
import zipfile
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from data_prep.errors import InputError

LABEL_NAMES = ("REAL", "FAKE")

_LABELS = {name.lower(): label for label, name in enumerate(LABEL_NAMES)}
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LITTER = re.compile(r"(^|/)(\.|__MACOSX/|Thumbs\.db$|desktop\.ini$)")  # left in folders and archives by systems
_CIFAKE_NAME = re.compile(r"\d+(?: \((10|[2-9])\))?\.jpg")
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class File(NamedTuple):
    """A file of a source: its name there, its size in bytes, and its directory entry if the source is an archive."""

    name: str
    bytes: int
    entry: zipfile.ZipInfo | None = None


class Item(NamedTuple):
    """One raw image. `path` starts at the split (`train/REAL/0001.jpg`)."""

    split: str
    label: int
    path: str
    file: File
    object_class: str | None = None


def list_images(source: str, files: Iterable[File]) -> tuple[list[Item], list[str]]:
    """The images among a source's files, sorted by path, and the names of files that are in no REAL or FAKE folder.

    Raises InputError for a source without images, with one label only, or without a training split.
    """
    items, strays = [], []
    for file in (file for file in files if not _LITTER.search(file.name)):
        folder, _, name = file.name.rpartition("/")
        if meaning := _meaning(folder):
            split, label, within = meaning
            path = "/".join(filter(None, (split, LABEL_NAMES[label], within, name)))
            items.append(Item(split, label, path, file, within or None))
        else:
            strays.append(file.name)
    _check_items(source, items, strays)
    return _with_cifake_classes(sorted(items, key=lambda item: item.path)), sorted(strays)


@lru_cache
def _meaning(folder: str) -> tuple[str, int, str] | None:
    """The split and label that a folder stands for, and the rest of its path; None if it is in no REAL or FAKE.

    The split is the nearest folder above the label that is named after one, else the folder below the label:
    `test/biggan/FAKE` and `FAKE/test/biggan` mean the same.
    """
    parts = folder.split("/")
    lowered = folder.lower().split("/")
    at = next((index for index, part in enumerate(lowered) if part in _LABELS), None)
    if at is None:
        return None
    label = _LABELS[lowered[at]]
    above = next((index for index in reversed(range(at)) if lowered[index] in _SPLITS), None)
    if above is not None:
        return _SPLITS[lowered[above]], label, "/".join(parts[above + 1 : at] + parts[at + 1 :])
    below = _SPLITS.get(lowered[at + 1]) if len(parts) > at + 1 else None
    return below or "train", label, "/".join(parts[at + 2 if below else at + 1 :])


def _check_items(source: str, items: list[Item], strays: list[str]) -> None:
    if not items:
        content = f"it holds {len(strays)} other files, as {strays[0]!r}" if strays else "it is empty"
        raise InputError(
            f"{source} has no images in folders named REAL and FAKE ({content}); use the layout train/REAL/….jpg."
        )
    if len({item.path for item in items}) < len(items):
        raise InputError(f"{source} holds more than one tree of REAL and FAKE folders; pass one of them.")
    for split in sorted({item.split for item in items} | {"train"}):
        labels = {item.label for item in items if item.split == split}
        if len(labels) < 2:
            missing = f"{LABEL_NAMES[1 - labels.pop()]} images" if labels else "any images"
            raise InputError(
                f"{source} lacks {missing} in its {split} split; add them, as {split}/REAL and {split}/FAKE."
            )


def _with_cifake_classes(items: list[Item]) -> list[Item]:
    """Take object classes from CIFAKE's file names: `0000.jpg` is an airplane, `0000 (2).jpg` an automobile, and so on.

    Only a source whose every name follows that pattern, with all ten classes, is taken for CIFAKE.
    """
    matches = [_CIFAKE_NAME.fullmatch(item.path.rpartition("/")[2]) for item in items]
    numbers = [int(match[1] or 1) for match in matches if match]
    if not all(matches) or set(numbers) != set(range(1, 11)):
        return items
    return [item._replace(object_class=_CIFAR_CLASSES[n - 1]) for item, n in zip(items, numbers, strict=True)]
