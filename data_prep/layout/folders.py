"""Generators, classes and clusters: the names in the paths of folders that give neither split nor label."""

from collections import defaultdict
from typing import NamedTuple

from data_prep.errors import InputError
from data_prep.layout import vocabulary
from data_prep.layout.choices import Choices, Path, check_levels, chosen_levels, listed, name_at, siblings
from data_prep.layout.labels import Label, labels_of_folders
from data_prep.layout.splits import Split, splits_of_folders


class Meaning(NamedTuple):
    """What a folder stands for, and the names in its path that say neither split nor label."""

    split: str
    label: int
    rest: Path
    object_class: str | None
    generator: str | None
    cluster: str | None


def meanings(source: str, paths: list[Path], choices: Choices) -> tuple[list[Meaning | None], list[str]]:
    """What each folder stands for, None for one without a label; and sentences on names that are not known.

    Raises InputError where it is not certain, and for a choice that concerns no folder.
    """
    check_levels(source, paths, choices)
    labels = labels_of_folders(source, paths, choices)
    splits = splits_of_folders(source, list(labels), choices)
    for path, label in labels.items():
        for place in {*splits[path].places, *([] if label.is_generator else [label.place])}:
            if place + 1 in chosen_levels(path, choices):
                raise InputError(f"{source} has {path[place]!r} at that level, a split or a label; give another level.")
    levels = Levels(labels, splits, choices)
    return [levels.meaning(path) if path in labels else None for path in paths], levels.notes()


class Levels:
    """The names in the paths of folders with a label that give neither split nor label."""

    def __init__(self, labels: dict[Path, Label], splits: dict[Path, Split], choices: Choices) -> None:
        self._labels, self._splits, self._choices = labels, splits, choices
        self._siblings = siblings(labels)
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
            name_at(path, choices.class_level) if choices.class_level else self._class(path, generator),
            name_at(path, choices.generator_level) if choices.generator_level else named,
            name_at(path, choices.cluster_level) if choices.cluster_level else None,
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
            f"The folders {listed(names)} are neither splits, generators nor classes by their names; say what they are "
            f"with --split NAME=SPLIT, --generator-level {level}, --class-level {level} or --cluster-level {level}."
            for level, names in sorted(unknown.items())
        ]

    def _rest(self, path: Path) -> list[int]:
        label = self._labels[path]
        # What a user alone says to be a split, as a generator's folder of training images, may be more than that.
        splits = {place for place in self._splits[path].places if vocabulary.split(path[place])}
        return [
            place for place in range(len(path)) if place not in splits and (place != label.place or label.is_generator)
        ]

    def _unnamed(self, path: Path) -> list[int]:
        """The places of the names of which the user has not said what they are."""
        chosen = chosen_levels(path, self._choices)
        return [place for place in self._rest(path) if place + 1 not in chosen]

    def _generator(self, path: Path) -> int | None:
        """The place of the generator's name in a path; of REAL images, only if it has FAKE ones too."""
        label = self._labels[path]
        places = [place for place in self._unnamed(path) if self._are_generators[path[:place]]]
        named = [place for place in places if path[: place + 1] in self._fakes]
        return max([*named, *([label.place] if label.is_generator else [])], default=None)

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
