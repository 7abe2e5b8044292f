"""The files of a source, and the images among them."""

import fnmatch
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from data_prep.errors import InputError
from data_prep.layout.choices import Choices, check_names, key, listed
from data_prep.layout.folders import meanings
from data_prep.layout.rows import Words, listed_folders
from data_prep.layout.vocabulary import LABEL_NAMES

_LITTER = re.compile(r"(^|/)(\.|__MACOSX/|Thumbs\.db$|desktop\.ini$)")  # left in folders and archives by systems
_NO_IMAGE = re.compile(
    r"\.(txt|csv|tsv|json|jsonl|ndjson|xml|ya?ml|toml|ini|md|pdf|docx?|xlsx?|html?|py|ipynb|sh|log|np[yz]|pkl|mat|h5|pth?|"
    r"onnx|parquet|arrow|db|mp[34]|avi|mov|mkv|webm|wav|zip|tar|t?gz|bz2|7z|rar|bak)$",
    re.IGNORECASE,
)
_CIFAKE_NAME = re.compile(r"\d+(?: \((10|[2-9])\))?\.jpg")
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Said(NamedTuple):
    """What a list says of an image, in its own words."""

    label: str
    split: str | None
    generator: str | None
    object_class: str | None
    cluster: str | None


class File(NamedTuple):
    """A file of a source: its name there, its size in bytes, its place in an archive, and what a list says of it."""

    name: str
    bytes: int
    entry: Any = None
    said: Said | None = None


class Item(NamedTuple):
    """One raw image. `path` starts at the split and the label (`train/REAL/0001.jpg`).

    `generator` is what made a FAKE image; of a REAL image, the generator among whose images it stands, if any.
    """

    split: str
    label: int
    path: str
    file: File
    object_class: str | None = None
    generator: str | None = None
    cluster: str | None = None


class Listing(NamedTuple):
    """The images of a source, sorted by path; names of files without a label; how many others the user left out; and
    sentences on what is not known of the images.
    """

    items: list[Item]
    strays: list[str]
    ignored: int
    notes: list[str]


def list_images(source: str, files: Iterable[File], choices: Choices | None = None) -> Listing:
    """The images among a source's files, as the names of their folders and the user's choices have them.

    Raises InputError for a source without images, with one label only, without a training split, or of which it is not
    certain what the names mean.
    """
    choices = choices or Choices()
    by_folder, strays, ignored, used = defaultdict[str, list[File]](list), list[str](), 0, set[str]()
    for file in files:
        if file.said is None and _LITTER.search(file.name):
            continue
        if reasons := _ignored_by(file.name, choices):
            ignored += 1
            used |= reasons
        elif file.said is None and _NO_IMAGE.search(file.name):
            strays.append(file.name)
        else:
            by_folder[file.name.rpartition("/")[0]].append(file)
    for pattern in choices.ignored:
        if key(pattern) not in used:
            raise InputError(f"{source} has nothing that --ignore {shlex.quote(pattern)} would leave out; correct it.")
    rows = [file.said for inside in by_folder.values() for file in inside if file.said] if choices.lists else []
    check_names(
        source,
        used
        | {word for row in rows for word in row[:2] if word}
        | {name for folder in by_folder for name in folder.split("/")},
        choices,
    )
    items_of = _listed_items if choices.lists else _named_items
    items, unlabelled, notes = items_of(source, by_folder, choices)
    _check_items(source, items, unlabelled, strays)
    fakes = {item.generator for item in items if item.label}
    items = [item if item.generator in fakes else item._replace(generator=None) for item in items]
    items.sort(key=_path)
    if any(one.path == other.path for one, other in pairwise(items)):
        items = [item._replace(path=f"{item.split}/{LABEL_NAMES[item.label]}/{item.file.name}") for item in items]
        items.sort(key=_path)
    return Listing(_with_cifake_classes(items), sorted(strays + unlabelled), ignored, notes)


def _named_items(
    source: str, by_folder: dict[str, list[File]], choices: Choices
) -> tuple[list[Item], list[str], list[str]]:
    """The images of which the names of folders say what they are; the names of other files; and what is not known."""
    paths = [_parts(folder) for folder in by_folder]
    of_folders, notes = meanings(source, paths, choices)
    items, strays = list[Item](), list[str]()
    for folder, meaning in zip(list(by_folder), of_folders, strict=True):
        inside = by_folder.pop(folder)  # of millions, the rest is memory
        if meaning is None:
            strays += [file.name for file in inside]
            continue
        split, label, rest, *kinds = meaning
        start = "/".join((split, LABEL_NAMES[label], *rest))
        items += [Item(split, label, f"{start}/{file.name.rpartition('/')[2]}", file, *kinds) for file in inside]
    if strays and not items:
        names = {name for path in paths for name in path}
        where = f"its folders are {listed(names)}" if names else f"its files are in no folder, as {strays[0]!r}"
        raise InputError(
            f"{source} has no folder that says REAL or FAKE ({where}); name those of photographs with --real NAME, and "
            "those of generated images with --fake NAME, or a list of the images with --list NAME."
        )
    return items, strays, notes


def _listed_items(
    source: str, by_folder: dict[str, list[File]], choices: Choices
) -> tuple[list[Item], list[str], list[str]]:
    """The images of which lists say what they are, and the names of other files."""
    said = {folder: [(file, file.said) for file in inside if file.said] for folder, inside in by_folder.items()}
    rows = [row for inside in said.values() for _, row in inside]
    paths = [_parts(folder) for folder, inside in said.items() if inside]
    words = Words(source, {row.label for row in rows}, {row.split for row in rows if row.split}, choices)
    of_folders = listed_folders(source, paths, all(row.split for row in rows), choices)
    items = []
    for folder, inside in said.items():
        for file, row in inside:
            split, generator, object_class, cluster = of_folders[_parts(folder)]
            label, split = words.labels[row.label], words.splits[row.split] if row.split else split
            kinds = (row.object_class or object_class, row.generator or generator, row.cluster or cluster)
            if split != "ignore":
                items.append(Item(split, label, f"{split}/{LABEL_NAMES[label]}/{file.name}", file, *kinds))
    return items, [file.name for inside in by_folder.values() for file in inside if not file.said], []


def _parts(folder: str) -> tuple[str, ...]:
    return tuple(folder.split("/")) if folder else ()


def _path(item: Item) -> str:
    return item.path


def _ignored_by(path: str, choices: Choices) -> set[str]:
    """By which choices of the user a file is left out: patterns of its path, a folder's or a name in it, and splits."""
    if not choices.ignored and "ignore" not in choices.splits.values():
        return set()
    names = key(path).split("/")
    texts = {*names, *accumulate(names, "{}/{}".format)}
    patterns = {key(pattern) for pattern in choices.ignored}
    return {one for one in patterns if one in texts or any(fnmatch.fnmatchcase(text, one) for text in texts)} | {
        name for name in names[:-1] if choices.splits.get(name) == "ignore"
    }


def _check_items(source: str, items: list[Item], unlabelled: list[str], strays: list[str]) -> None:
    if not items:
        lack = f"none of its files, as {(unlabelled + strays)[0]!r}, is one" if unlabelled or strays else "it is empty"
        raise InputError(f"{source} has no images: {lack}; pass a folder or an archive of images.")
    folders = {name.rpartition("/")[0].rpartition("/")[2] for name in unlabelled} - {""}
    for label, name in enumerate(LABEL_NAMES):
        if folders and all(item.label != label for item in items):
            raise InputError(
                f"{source} has no {name} images, and folders without a label, {listed(folders)}; say which they are, "
                f"with --{name.lower()} NAME."
            )
    for split in sorted({item.split for item in items}):
        labels = {item.label for item in items if item.split == split}
        if len(labels) < 2:
            missing = LABEL_NAMES[1 - labels.pop()]
            raise InputError(
                f"{source} lacks {missing} images in its {split} split; add them, as {split}/REAL and {split}/FAKE."
            )


def _with_cifake_classes(items: list[Item]) -> list[Item]:
    """Take object classes from CIFAKE's file names: `0000.jpg` is an airplane, `0000 (2).jpg` an automobile, and so on.

    Only a source whose every name follows that pattern, with all ten classes, is taken for CIFAKE.
    """
    numbers = []
    for item in items:
        match = _CIFAKE_NAME.fullmatch(item.path.rpartition("/")[2])
        if not match:
            return items
        numbers.append(int(match[1] or 1))
    if set(numbers) != set(range(1, 11)):
        return items
    return [item._replace(object_class=_CIFAR_CLASSES[n - 1]) for item, n in zip(items, numbers, strict=True)]
