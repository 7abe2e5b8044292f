"""The labels of folders: which are REAL, and which FAKE."""

import shlex
from typing import NamedTuple

from data_prep.errors import InputError
from data_prep.layout import vocabulary
from data_prep.layout.choices import Choices, Path, chosen_levels, key, label_of, listed, siblings, split_of


class Label(NamedTuple):
    """A folder's label, 0 REAL or 1 FAKE, and which name in its path gives it."""

    number: int
    place: int
    is_generator: bool  # whether that name is a generator's


class _Company(NamedTuple):
    parts_labels: bool  # some names are REAL, and others FAKE
    is_of_generators: bool  # what is FAKE is so by the names of generators
    is_beside_real: bool  # and so are generators' names that say no more, beside one that is REAL


def labels_of_folders(source: str, paths: list[Path], choices: Choices) -> dict[Path, Label]:
    """The label of each folder that has one."""
    company = {folder: _company(names, choices) for folder, names in siblings(paths).items()}
    found = {path: label for path in paths if (label := _label(source, path, company, choices))}
    beside = {path[label.place] for path, label in found.items() if label_of(path[label.place], choices) is None}
    if unknown := {name for name in beside if not vocabulary.is_generator(name)}:
        options = " ".join(f"--fake {shlex.quote(name)}" for name in sorted(unknown))
        raise InputError(
            f"{source} has folders beside one that is REAL, {listed(unknown)}, which may be generators; say what each "
            f"is, as by {options} (or --real, or --ignore)."
        )
    masks = {
        name
        for path in found
        for place, name in enumerate(path)
        if vocabulary.is_mask(name) and place + 1 not in chosen_levels(path, choices)
    }
    if masks:
        options = " ".join(f"--ignore {shlex.quote(name)}" for name in sorted(masks))
        raise InputError(
            f"{source} has folders named as masks, reconstructions or previews are, {listed(masks)}; leave them out "
            f"with {options}, or say with --class-level N that level N has classes."
        )
    return found


def _company(names: set[str], choices: Choices) -> _Company:
    """What the names in one folder say together of labels."""
    numbers = {name: label_of(name, choices) for name in names}
    fakes = {name for name, number in numbers.items() if number}
    known = {name for name in names if vocabulary.is_generator(name) and numbers[name] != 0}
    chosen = {name for name in fakes if key(name) in choices.labels and not vocabulary.says_label(name)}
    are_generators = fakes <= known | chosen
    return _Company(
        parts_labels={0, 1} <= set(numbers.values()),
        is_of_generators=are_generators and (fakes <= known or len(fakes | known) > 1),
        is_beside_real=are_generators and 0 in numbers.values(),
    )


def _label(source: str, path: Path, company: dict[Path, _Company], choices: Choices) -> Label | None:
    """The label of a folder, if it has one; `company` is what the names in each folder say together."""
    numbers = {place: number for place, name in enumerate(path) if (number := label_of(name, choices)) is not None}
    numbers = {place: numbers[place] for place in numbers if key(path[place]) in choices.labels} or numbers
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
        return Label(numbers[place], place, bool(numbers[place]) and company[path[:place]].is_of_generators)
    for place, name in enumerate(path):
        if company[path[:place]].is_beside_real and not split_of(name, choices):
            return Label(1, place, is_generator=True)
    return None
