"""Which label, split and object class a file's path stands for."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from data_prep.errors import InputError
from data_prep.sources.source import File

LABELS = {"real": 0, "fake": 1}


LABEL_NAMES = ("REAL", "FAKE")


_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}


_SPLITS = {name: split for split, names in _SPLIT_NAMES.items() for name in names}


_CIFAKE_NAME = re.compile(r"\d+(?: \((10|[2-9])\))?\.jpg")


_LITTER = re.compile(r"(^|/)(\.|__MACOSX/|Thumbs\.db$|desktop\.ini$)")


_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


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
