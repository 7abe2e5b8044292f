"""The splits of folders: of levels of a tree on which all names are splits."""

import shlex
from collections import defaultdict
from typing import NamedTuple

from data_prep.errors import InputError
from data_prep.layout import vocabulary
from data_prep.layout.choices import Choices, Path, label_of, listed, siblings, split_of
from data_prep.layout.vocabulary import SPLITS

_MOST_OPTIONS_SHOWN = 6


class Split(NamedTuple):
    """A folder's split, and which names in its path give it."""

    name: str
    places: tuple[int, ...]


class _Level(NamedTuple):
    names: set[str]
    are_splits: bool  # all, but for labels
    is_alone: bool  # one name that all files are below, which parts nothing


def splits_of_folders(source: str, paths: list[Path], choices: Choices) -> dict[Path, Split]:
    """The split of each folder; `train` where no folder names any."""
    with_files = set(paths)
    levels = {
        folder: _Level(
            names,
            all(split_of(name, choices) or label_of(name, choices) is not None for name in names),
            len(names) == 1 and folder not in with_files,
        )
        for folder, names in siblings(paths).items()
    }
    found = {path: _split(source, path, levels, choices) for path in paths}
    without = [path for path, split in found.items() if not split.places]
    if without and len(without) < len(found):
        beside = {path[: place + 1] for path, split in found.items() if split.places for place in range(len(path))}
        names = {next(name for place, name in enumerate(path) if path[: place + 1] not in beside) for path in without}
        raise doubt(source, names, dict.fromkeys(sorted(names), "ignore"))
    named = defaultdict[str, set[str]](set)
    for path, split in found.items():
        named[split.name] |= {path[place] for place in split.places}
    check_splits(source, named, choices)
    return found


def check_splits(source: str, named: dict[str, set[str]], choices: Choices) -> None:
    """Raise InputError where train is lacking, or test where validation may be it. `named` is split → names of it."""
    if named and "train" not in named:
        nothing = dict.fromkeys(sorted(set().union(*named.values())), "none")
        raise InputError(
            f"{source} has no training split; pass a source that has one, or have all its images split anew, with "
            f"{_options(nothing)}."
        )
    official = named.get("validation", set())
    if official and not {name.lower() for name in official} & set(choices.splits) and "test" not in named:
        name = min(official)
        raise InputError(
            f"{source} has a validation split and no test; say which its {name!r} is to be, by --split {name}=test or "
            f"--split {name}=validation."
        )


def _split(source: str, path: Path, levels: dict[Path, _Level], choices: Choices) -> Split:
    """The split of a folder, and the places of the names that give it: of levels on which all names are splits."""
    names = {place: split for place, name in enumerate(path) if (split := split_of(name, choices))}
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
        raise doubt(source, {path[place] for place in on_levels}, proposals)
    for place in [place for place, split in settled.items() if split == "unknown"] or (() if settled else names):
        beside = levels[path[:place]].names
        raise doubt(source, beside, _mixed(beside, choices))
    tests = {name for place in settled for name in levels[path[:place]].names if split_of(name, choices) == "test"}
    evaluations = {name for name in tests if vocabulary.is_evaluation(name) and name.lower() not in choices.splits}
    if evaluations and evaluations < tests:
        raise doubt(source, evaluations, dict.fromkeys(sorted(evaluations), "validation"))
    return Split(next(iter(settled.values()), "train"), tuple(settled))


def _mixed(names: set[str], choices: Choices) -> dict[str, str]:
    """What names most likely are of which some are splits: one is a class among classes, or others stand by splits."""
    splits = {name: split for name in sorted(names) if (split := split_of(name, choices))}
    others = dict.fromkeys(sorted(names - set(splits)), "ignore")
    if others and len(set(splits.values())) < 2:
        return dict.fromkeys(splits, "none")
    return {name: vocabulary.first_split(name) for name, split in splits.items() if split == "unknown"} | others


def doubt(source: str, names: set[str], proposals: dict[str, str]) -> InputError:
    """A refusal of names that may be splits, with the options that say what they most likely are."""
    return InputError(
        f"{source} may name splits by its folders {listed(names)}; say what they are, as by {_options(proposals)} "
        f"({', '.join(SPLITS)}, ignore or none)."
    )


def _options(splits: dict[str, str]) -> str:
    few = list(splits.items())[:_MOST_OPTIONS_SHOWN]
    return " ".join(f"--split {shlex.quote(name)}={split}" for name, split in few)
