"""The splits of folders: of levels of a tree on which all names are splits."""

import shlex
from collections import defaultdict
from typing import NamedTuple, NoReturn

from data_prep.errors import InputError
from data_prep.layout import vocabulary
from data_prep.layout.choices import Choices, Path, key, label_of, listed, siblings, split_of
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
        _refuse_partial(source, found, without, choices)
    named = defaultdict[str, set[str]](set)
    for path, split in found.items():
        named[split.name] |= {path[place] for place in split.places}
    check_splits(source, named, choices)
    return found


def _refuse_partial(source: str, found: dict[Path, Split], without: list[Path], choices: Choices) -> NoReturn:
    """Refuse a source in which some folders have a split and others have none."""
    beside = {path[: place + 1] for path, split in found.items() if split.places for place in range(len(path))}
    first = {path: [name for place, name in enumerate(path) if path[: place + 1] not in beside] for path in without}
    if among := ["/".join(path) for path, names in first.items() if not names]:
        raise InputError(
            f"{source} has images beside the folders of its splits, in {listed(among)}; move them into one of these."
        )
    names = {names[0] for names in first.values()}
    proposals = dict.fromkeys(sorted(names), "ignore")
    if all(label_of(name, choices) is not None for name in names):  # one label alone has splits
        splits = {path[place] for path, split in found.items() for place in split.places}
        proposals = dict.fromkeys(sorted(splits), "none")
    raise doubt(source, names | set(proposals), proposals)


def check_splits(source: str, named: dict[str, set[str]], choices: Choices) -> None:
    """Raise InputError where train is lacking, or test where validation may be it. `named` is split → names of it."""
    if named and "train" not in named:
        nothing = dict.fromkeys(sorted(set().union(*named.values())), "none")
        raise InputError(
            f"{source} has no training split; pass a source that has one, or have all its images split anew, with "
            f"{_options(nothing)}."
        )
    official = named.get("validation", set())
    if official and not {key(name) for name in official} & set(choices.splits) and "test" not in named:
        name = min(official)
        raise InputError(
            f"{source} has a validation split and no test; say which its {name!r} is to be, by --split {name}=test or "
            f"--split {name}=validation."
        )


def _split(source: str, path: Path, levels: dict[Path, _Level], choices: Choices) -> Split:
    """The split of a folder, and the places of the names that give it: of levels on which all names are splits."""
    names = {place: split for place, name in enumerate(path) if (split := split_of(name, choices))}
    on_levels = {place: split for place, split in names.items() if levels[path[:place]].are_splits}
    settled = {place: split for place, split in names.items() if key(path[place]) in choices.splits} or on_levels
    hints = {vocabulary.first_split(path[place]) if split == "unknown" else split for place, split in settled.items()}
    if len(hints) == 1:  # as genimage_test/test
        settled = {place: split for place, split in settled.items() if split != "unknown"} or settled
    if len(set(settled.values())) > 1:
        settled = {place: split for place, split in settled.items() if not levels[path[:place]].is_alone}
    if len(set(settled.values())) > 1 or (on_levels and not settled):
        _refuse_two_levels(source, path, on_levels, levels, choices)
    unclear = [place for place, split in settled.items() if split == "unknown"] or ([] if settled else list(names))
    if unclear:
        beside = levels[path[: unclear[0]]].names
        raise doubt(source, beside, *_mixed(beside, choices))
    tests = {name for place in settled for name in levels[path[:place]].names if split_of(name, choices) == "test"}
    evaluations = {name for name in tests if vocabulary.is_evaluation(name) and key(name) not in choices.splits}
    if evaluations and evaluations < tests:
        raise doubt(source, evaluations, dict.fromkeys(sorted(evaluations), "validation"))
    return Split(next(iter(settled.values()), "train"), tuple(settled))


def _refuse_two_levels(
    source: str, path: Path, splits: dict[int, str], levels: dict[Path, _Level], choices: Choices
) -> NoReturn:
    """Refuse a source in which names at several places of a path are of different splits."""
    named = [{name for name in levels[path[:place]].names if split_of(name, choices)} for place in splits]
    if set.intersection(*named):
        raise InputError(
            f"{source} has two levels of folders that are named after splits, as in {'/'.join(path)!r}; rename the "
            "folders of one level."
        )
    unknown = [path[place] for place, split in splits.items() if split == "unknown"]
    last = max(splits)
    proposals = dict.fromkeys(unknown, "none") or {path[last]: splits[last]}
    raise doubt(source, {path[place] for place in splits}, proposals)


def _mixed(names: set[str], choices: Choices) -> list[dict[str, str]]:
    """What names most likely are of which some are splits: one is a class among classes, or others stand by splits."""
    splits = {name: split for name in sorted(names) if (split := split_of(name, choices))}
    others = sorted(names - set(splits))
    guesses = {name: vocabulary.first_split(name) for name, split in splits.items() if split == "unknown"}
    as_splits, as_classes = guesses | dict.fromkeys(others, "ignore"), dict.fromkeys(splits, "none")
    if any(map(vocabulary.is_class, others)):
        return [as_classes]
    return [as_splits] if not others or len(set(splits.values())) > 1 else [as_splits, as_classes]


def doubt(source: str, names: set[str], *proposals: dict[str, str]) -> InputError:
    """A refusal of names that may be splits, with the options that say what they most likely are."""
    options = ", or by ".join(map(_options, proposals))
    return InputError(
        f"{source} may name splits by its folders {listed(names)}; say what they are, as by {options} "
        f"({', '.join(SPLITS)}, ignore or none)."
    )


def _options(splits: dict[str, str]) -> str:
    few = list(splits.items())[:_MOST_OPTIONS_SHOWN]
    return " ".join(f"--split {shlex.quote(name)}={split}" for name, split in few)
