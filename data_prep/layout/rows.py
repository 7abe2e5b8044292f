"""What lists say of images, in their own words, and where they say nothing, the names of folders."""

import shlex
from collections import defaultdict

from data_prep.errors import InputError
from data_prep.layout.choices import Choices, Path, check_levels, label_of, listed, name_at, split_of
from data_prep.layout.splits import check_splits, doubt, splits_of_folders


def listed_folders(
    source: str, paths: list[Path], has_splits: bool, choices: Choices
) -> dict[Path, tuple[str, str | None, str | None, str | None]]:
    """Folder of listed images → its split, generator, class and cluster, as far as lists do not say them.

    Unless a list `has_splits`, folders' names may be splits. Raises InputError where that is not certain.
    """
    check_levels(source, paths, choices)
    splits = {} if has_splits else splits_of_folders(source, paths, choices)
    levels = (choices.generator_level, choices.class_level, choices.cluster_level)
    meanings = {}
    for path in paths:
        generator, object_class, cluster = (name_at(path, level) if level else None for level in levels)
        meanings[path] = (splits[path].name if splits else "train", generator, object_class, cluster)
    return meanings


class Words:
    """What lists say of labels and splits, by the texts that they use.

    Raises InputError for a text that says neither REAL nor FAKE, or no split, and a choice that is of none of them.
    """

    def __init__(self, source: str, labels: set[str], splits: set[str], choices: Choices) -> None:
        numbers = {text: label_of(text, choices) for text in labels}
        if unknown := {text for text, number in numbers.items() if number is None}:
            first, *others = sorted(unknown)
            options = " ".join([f"--real {shlex.quote(first)}", *(f"--fake {shlex.quote(other)}" for other in others)])
            raise InputError(
                f"{source} has lists with labels that say neither REAL nor FAKE, {listed(unknown)}; say what each is, "
                f"as by {options}."
            )
        self.labels = {text: number for text, number in numbers.items() if number is not None}
        names = {
            text: "train" if choices.splits.get(text.lower()) == "none" else split_of(text, choices) for text in splits
        }
        if unknown := {text for text, name in names.items() if name in (None, "unknown")}:
            raise doubt(source, unknown, dict.fromkeys(sorted(unknown), "train"))
        self.splits = {text: name for text, name in names.items() if name}
        named = defaultdict[str, set[str]](set)
        for text, name in self.splits.items():
            named[name].add(text)
        check_splits(source, named, choices)
