"""What a user says of the names in a source, and where those names stand."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from data_prep.errors import InputError
from data_prep.layout import vocabulary

_MOST_NAMES_SHOWN = 6

#: The names of folders from the source down.
Path = tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """What a user says of the names in a source, which goes before what they mean by themselves.

    `labels` is name → 0 REAL or 1 FAKE, `splits` name → a split, `ignore` or `none`, both with names as `key` has them.
    A level is the number of a folder in a path, from 1 at the source or from -1 at the file; `ignored` are patterns of
    names and paths, `lists` of files that list images, whose `columns` are kind of value → name.
    """

    labels: dict[str, int] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    generator_level: int | None = None
    class_level: int | None = None
    cluster_level: int | None = None


def key(name: str) -> str:
    """A name in small letters, whichever way its accents were written."""
    return unicodedata.normalize("NFC", name).lower()


def label_of(name: str, choices: Choices) -> int | None:
    """The label of a name, 0 REAL or 1 FAKE, or None."""
    chosen = choices.labels.get(key(name))
    return vocabulary.label(name) if chosen is None else chosen


def split_of(name: str, choices: Choices) -> str | None:
    """The split of a name: one of the three, `ignore`, `unknown` where it may be any, or None."""
    chosen = choices.splits.get(key(name))
    return vocabulary.split(name) if chosen is None else None if chosen == "none" else chosen


def check_names(source: str, present: set[str], choices: Choices) -> None:
    """Raise InputError for a choice of a name that is not present."""
    for name in {*choices.labels, *choices.splits} - {key(name) for name in present}:
        raise InputError(f"{source} has no folder or label named {name!r}; it has {listed(present)}.")


def check_levels(source: str, paths: list[Path], choices: Choices) -> None:
    """Raise InputError for a level that no path has."""
    deepest = max((len(path) for path in paths), default=0)
    for level in (choices.generator_level, choices.class_level, choices.cluster_level):
        if level is not None and not 1 <= abs(level) <= deepest:
            raise InputError(f"{source} has no folders at level {level}; give 1 to {deepest}, or -1 to {-deepest}.")


def name_at(path: Path, level: int) -> str | None:
    """The name at a level of a path; None where it does not reach so far."""
    place = level - 1 if level > 0 else len(path) + level
    return path[place] if 0 <= place < len(path) else None


def chosen_levels(path: Path, choices: Choices) -> set[int]:
    """The levels of a path, from 1, that the user has named."""
    levels = (choices.generator_level, choices.class_level, choices.cluster_level)
    return {level if level > 0 else len(path) + level + 1 for level in levels if level}


def siblings(paths: Iterable[Path]) -> dict[Path, set[str]]:
    """Folder → the names in it, of folders that hold files somewhere below."""
    names = defaultdict[Path, set[str]](set)
    for path in paths:
        for place, name in enumerate(path):
            names[path[:place]].add(name)
    return names


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: sorted, in quotes, each once, and not too many."""
    quoted = [repr(name) for name in sorted({*names})]
    more = f" and {len(quoted) - _MOST_NAMES_SHOWN:,} more" if len(quoted) > _MOST_NAMES_SHOWN else ""
    return ", ".join(quoted[:_MOST_NAMES_SHOWN]) + more
