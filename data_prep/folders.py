"""Which split, label, generator, class and cluster the folders of a source stand for.

A name proves little: one of ForenSynths' classes is called `train`, and one of its generators `deepfake`. So a name is
read beside its siblings, the other names in the same folder. Where a doubt is left, the source is refused with the
option that settles it: nothing is trained on, or called real, by a guess.
"""

import shlex
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from data_prep import vocabulary
from data_prep.errors import InputError
from data_prep.vocabulary import SPLITS

_MOST_NAMES_SHOWN = 6

#: The names of folders from the source down.
Path = tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """What a user says of the names in a source, which goes before what they mean by themselves.

    `labels` is name → 0 REAL or 1 FAKE, `splits` name → a split, `ignore` or `none`, both with names in small letters.
    A level is the number of a folder in a path, from 1 at the source or from -1 at the file; `ignored` are patterns of
    names and paths.
    """

    labels: dict[str, int] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    generator_level: int | None = None
    class_level: int | None = None
    cluster_level: int | None = None


class Meaning(NamedTuple):
    """What a folder stands for, and the names in its path that say neither split nor label."""

    split: str
    label: int
    rest: Path
    object_class: str | None
    generator: str | None
    cluster: str | None


class _Label(NamedTuple):
    number: int
    place: int  # of the name that gives it, in the path
    is_generator: bool  # whether that name is a generator's


class _Company(NamedTuple):
    parts_labels: bool  # some names are REAL, and others FAKE
    is_of_generators: bool  # what is FAKE is so by the names of generators
    is_beside_real: bool  # and so are names that say nothing, beside one that is REAL


class _Split(NamedTuple):
    name: str
    places: tuple[int, ...]


class _Level(NamedTuple):
    names: set[str]
    are_splits: bool  # all, but for labels
    is_alone: bool  # one name that all files are below, which parts nothing


def _siblings(paths: Iterable[Path]) -> dict[Path, set[str]]:
    """Folder → the names in it, of folders that hold files somewhere below."""
    names = defaultdict[Path, set[str]](set)
    for path in paths:
        for place, name in enumerate(path):
            names[path[:place]].add(name)
    return names


def meanings(source: str, paths: list[Path], choices: Choices) -> tuple[list[Meaning | None], list[str]]:
    """What each folder stands for, None for one without a label; and sentences on names that are not known.

    Raises InputError where it is not certain, and for a choice that concerns no folder.
    """
    _check_choices(source, paths, choices)
    labels = _labels(source, paths, choices)
    splits = _splits(source, list(labels), choices)
    levels = _Levels(labels, splits, choices)
    return [levels.meaning(path) if path in labels else None for path in paths], levels.notes()


def _check_choices(source: str, paths: list[Path], choices: Choices) -> None:
    present = {name for path in paths for name in path}
    for name in {*choices.labels, *choices.splits} - {name.lower() for name in present}:
        raise InputError(f"{source} has no folder named {name!r}; its folders are {listed(present)}.")
    deepest = max((len(path) for path in paths), default=0)
    for level in (choices.generator_level, choices.class_level, choices.cluster_level):
        if level is not None and not 1 <= abs(level) <= deepest:
            raise InputError(f"{source} has no folders at level {level}; give 1 to {deepest}, or -1 to {-deepest}.")


# ── labels ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _labels(source: str, paths: list[Path], choices: Choices) -> dict[Path, _Label]:
    """The label of each folder that has one."""
    company = {folder: _company(names, choices) for folder, names in _siblings(paths).items()}
    found = {path: label for path in paths if (label := _label(source, path, company, choices))}
    for path in found:
        for place, name in enumerate(path):
            if vocabulary.is_mask(name) and place + 1 not in _chosen_levels(path, choices):
                raise InputError(
                    f"{source} has folders named {name!r}, as masks and reconstructions are; leave them out with "
                    f"--ignore {shlex.quote(name)}, or name their level with --class-level {place + 1}."
                )
    return found


def _company(names: set[str], choices: Choices) -> _Company:
    """What the names in one folder say together of labels."""
    numbers = {name: _number(name, choices) for name in names}
    fakes = {name for name, number in numbers.items() if number}
    is_chosen = all(name.lower() in choices.labels and not vocabulary.says_label(name) for name in fakes)
    return _Company(
        parts_labels={0, 1} <= set(numbers.values()),
        is_of_generators=(0 in numbers.values() and all(map(vocabulary.is_generator, fakes)))
        or (is_chosen and len(fakes) > 1),
        is_beside_real=0 in numbers.values() and all(map(vocabulary.is_generator, fakes)),
    )


def _label(source: str, path: Path, company: dict[Path, _Company], choices: Choices) -> _Label | None:
    """The label of a folder, if it has one; `company` is what the names in each folder say together."""
    numbers = {place: number for place, name in enumerate(path) if (number := _number(name, choices)) is not None}
    numbers = {place: numbers[place] for place in numbers if path[place].lower() in choices.labels} or numbers
    parting = [place for place in numbers if company[path[:place]].parts_labels]
    # In `deepfake/0_real`, `deepfake` is one generator of many: what stands above the names that part labels, is none.
    numbers = {place: number for place, number in numbers.items() if place >= max(parting, default=0)}
    if len(set(numbers.values())) > 1:
        names = listed(path[place] for place in numbers)
        raise InputError(
            f"{source} has a folder that is both REAL and FAKE by its names ({'/'.join(path)!r}: {names}); "
            "say which counts, with --real NAME or --fake NAME."
        )
    if numbers:
        place = parting[-1] if parting else max(numbers)
        return _Label(numbers[place], place, bool(numbers[place]) and company[path[:place]].is_of_generators)
    for place, name in enumerate(path):
        if company[path[:place]].is_beside_real and not _split_name(name, choices):
            return _Label(1, place, is_generator=True)
    return None


def _number(name: str, choices: Choices) -> int | None:
    chosen = choices.labels.get(name.lower())
    return vocabulary.label(name) if chosen is None else chosen


# ── splits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _splits(source: str, paths: list[Path], choices: Choices) -> dict[Path, _Split]:
    """The split of each folder; `train` where no folder names any."""
    with_files = set(paths)
    levels = {
        folder: _Level(
            names,
            all(_split_name(name, choices) or _number(name, choices) is not None for name in names),
            len(names) == 1 and folder not in with_files,
        )
        for folder, names in _siblings(paths).items()
    }
    found = {path: _split(source, path, levels, choices) for path in paths}
    without = [path for path, split in found.items() if not split.places]
    if without and len(without) < len(found):
        beside = {path[: place + 1] for path, split in found.items() if split.places for place in range(len(path))}
        names = {next(name for place, name in enumerate(path) if path[: place + 1] not in beside) for path in without}
        raise _doubt(source, names, dict.fromkeys(sorted(names), "ignore"))
    if found and "train" not in {split.name for split in found.values()}:
        names = {path[place] for path, split in found.items() for place in split.places}
        raise InputError(
            f"{source} has no training split; pass a source that has one, or have all its images split anew, with "
            f"{_options(dict.fromkeys(sorted(names), 'none'))}."
        )
    official = {path[place] for path, split in found.items() if split.name == "validation" for place in split.places}
    if official and not official & set(choices.splits) and "test" not in {split.name for split in found.values()}:
        name = min(official)
        raise InputError(
            f"{source} has a validation split and no test; say which its folder {name!r} is to be, by "
            f"--split {name}=test or --split {name}=validation."
        )
    return found


def _split(source: str, path: Path, levels: dict[Path, _Level], choices: Choices) -> _Split:
    """The split of a folder, and the places of the names that give it: of levels on which all names are splits."""
    names = {place: split for place, name in enumerate(path) if (split := _split_name(name, choices))}
    on_levels = {place: split for place, split in names.items() if levels[path[:place]].are_splits}
    settled = {place: split for place, split in names.items() if path[place].lower() in choices.splits} or on_levels
    hints = {vocabulary.first_split(path[place]) if split == "unknown" else split for place, split in settled.items()}
    if len(hints) == 1:  # as genimage_test/test
        settled = {place: split for place, split in settled.items() if split != "unknown"} or settled
    if len(set(settled.values())) > 1:
        settled = {place: split for place, split in settled.items() if not levels[path[:place]].is_alone}
    if len(set(settled.values())) > 1 or (on_levels and not settled):
        unknown = [path[place] for place, split in on_levels.items() if split == "unknown"]
        last = max(on_levels)
        proposals = dict.fromkeys(unknown, "none") or {path[last]: on_levels[last]}
        raise _doubt(source, {path[place] for place in on_levels}, proposals)
    for place in [place for place, split in settled.items() if split == "unknown"] or (() if settled else names):
        beside = levels[path[:place]].names
        raise _doubt(source, beside, _mixed(beside, choices))
    tests = {name for place in settled for name in levels[path[:place]].names if _split_name(name, choices) == "test"}
    evaluations = {name for name in tests if vocabulary.is_evaluation(name) and name.lower() not in choices.splits}
    if evaluations and evaluations < tests:
        raise _doubt(source, evaluations, dict.fromkeys(sorted(evaluations), "validation"))
    return _Split(next(iter(settled.values()), "train"), tuple(settled))


def _split_name(name: str, choices: Choices) -> str | None:
    chosen = choices.splits.get(name.lower())
    return vocabulary.split(name) if chosen is None else None if chosen == "none" else chosen


def _mixed(names: set[str], choices: Choices) -> dict[str, str]:
    """What names most likely are of which some are splits: one is a class among classes, or others stand by splits."""
    splits = {name: split for name in sorted(names) if (split := _split_name(name, choices))}
    others = dict.fromkeys(sorted(names - set(splits)), "ignore")
    if others and len(set(splits.values())) < 2:
        return dict.fromkeys(splits, "none")
    return {name: vocabulary.first_split(name) for name, split in splits.items() if split == "unknown"} | others


def _doubt(source: str, names: set[str], proposals: dict[str, str]) -> InputError:
    """A refusal of names that may be splits, with the options that say what they most likely are."""
    return InputError(
        f"{source} may name splits by its folders {listed(names)}; say what they are, as by {_options(proposals)} "
        f"({', '.join(SPLITS)}, ignore or none)."
    )


def _options(splits: dict[str, str]) -> str:
    few = list(splits.items())[:_MOST_NAMES_SHOWN]
    return " ".join(f"--split {shlex.quote(name)}={split}" for name, split in few)


# ── generators, classes, clusters ─────────────────────────────────────────────────────────────────────────────────────


class _Levels:
    """The names in the paths of folders with a label that give neither split nor label."""

    def __init__(self, labels: dict[Path, _Label], splits: dict[Path, _Split], choices: Choices) -> None:
        self._labels, self._splits, self._choices = labels, splits, choices
        self._siblings = _siblings(labels)
        self._fakes = {path[:place] for path, label in labels.items() if label.number for place in range(len(path) + 1)}
        by_name = defaultdict[str, set[int]](set)
        for path, label in labels.items():
            for place in self._rest(path):
                by_name[path[place]].add(label.number)
        of_both = {name for name, numbers in by_name.items() if len(numbers) > 1}
        self._are_of_both = {folder: bool(names & of_both) for folder, names in self._siblings.items()}
        self._are_classes = {folder: any(map(vocabulary.is_class, names)) for folder, names in self._siblings.items()}
        self._are_generators = {
            folder: any(vocabulary.is_generator(name, is_alone=len(names) == 1) for name in names)
            for folder, names in self._siblings.items()
        }
        self._shared = 0  # leading names that all paths have, and that say nothing
        while labels and all(self._is_shared(path, self._shared) for path in labels):
            self._shared += 1

    def _is_shared(self, path: Path, place: int) -> bool:
        return place in self._rest(path) and len(self._siblings[path[:place]]) == 1

    def meaning(self, path: Path) -> Meaning:
        """What a folder with a label stands for."""
        label, generator, choices = self._labels[path], self._generator(path), self._choices
        named = None if generator is None else path[generator]
        return Meaning(
            self._splits[path].name,
            label.number,
            tuple(path[place] for place in self._rest(path) if place >= self._shared),
            _at(path, choices.class_level) if choices.class_level else self._class(path, generator),
            _at(path, choices.generator_level) if choices.generator_level else named,
            _at(path, choices.cluster_level) if choices.cluster_level else None,
        )

    def notes(self) -> list[str]:
        """A sentence for each level of names that vary and that nothing is known of."""
        unknown = defaultdict[int, set[str]](set)
        for path in self._labels:
            known = {self._generator(path), self._class_place(path, self._generator(path))}
            for place in set(self._unnamed(path)) - known:
                if len(self._siblings[path[:place]]) > 1:
                    unknown[place + 1].add(path[place])
        return [
            f"The folders {listed(names)} are neither generators nor classes by their names; say what they are with "
            f"--generator-level {level}, --class-level {level} or --cluster-level {level}."
            for level, names in sorted(unknown.items())
        ]

    def _rest(self, path: Path) -> list[int]:
        label, split = self._labels[path], self._splits[path]
        return [
            place
            for place in range(len(path))
            if place not in split.places and (place != label.place or label.is_generator)
        ]

    def _unnamed(self, path: Path) -> list[int]:
        """The places of the names of which the user has not said what they are."""
        chosen = _chosen_levels(path, self._choices)
        return [place for place in self._rest(path) if place + 1 not in chosen]

    def _generator(self, path: Path) -> int | None:
        """The place of the generator's name in a path; of REAL images, only if it has FAKE ones too."""
        label = self._labels[path]
        if label.is_generator:
            return label.place
        places = (place for place in self._unnamed(path) if self._are_generators[path[:place]])
        return next((place for place in places if path[: place + 1] in self._fakes), None)

    def _class(self, path: Path, generator: int | None) -> str | None:
        place = self._class_place(path, generator)
        return None if place is None else path[place]

    def _class_place(self, path: Path, generator: int | None) -> int | None:
        """The place of the class's name in a path: a name among others that both labels have, below what it divides."""
        above = min(self._labels[path].place, len(path) if generator is None else generator)
        places = []
        for place in set(self._unnamed(path)) - {generator}:
            folder = path[:place]
            is_level = self._are_classes[folder] or (
                place > above and self._are_of_both[folder] and not vocabulary.is_numbered(path[place])
            )
            if is_level and len(self._siblings[folder]) > 1:
                places.append(place)
        return places[0] if len(places) == 1 else None


def _at(path: Path, level: int) -> str | None:
    """The name at a level of a path; None where it does not reach so far."""
    place = level - 1 if level > 0 else len(path) + level
    return path[place] if 0 <= place < len(path) else None


def _chosen_levels(path: Path, choices: Choices) -> set[int]:
    """The levels of a path, from 1, that the user has named."""
    levels = (choices.generator_level, choices.class_level, choices.cluster_level)
    return {level if level > 0 else len(path) + level + 1 for level in levels if level}


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: sorted, in quotes, each once, and not too many."""
    quoted = [repr(name) for name in sorted({*names})]
    more = f" and {len(quoted) - _MOST_NAMES_SHOWN:,} more" if len(quoted) > _MOST_NAMES_SHOWN else ""
    return ", ".join(quoted[:_MOST_NAMES_SHOWN]) + more
