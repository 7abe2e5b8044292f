"""What was understood of a source, as a tree with counts: split, label, generator."""

from collections.abc import Callable

from rich.text import Text
from rich.tree import Tree

from data_prep.escaping import printable
from data_prep.layout.images import Item, Listing
from data_prep.layout.vocabulary import LABEL_NAMES, SPLITS

_MOST_GENERATORS = 50


def outline(source: str, listing: Listing) -> Tree:
    """The tree of a source's images, with one of each kind as an example."""
    tree = Tree(_text(f"{source}: {len(listing.items):,} images"))
    by_split = _grouped(listing.items, lambda item: item.split)
    for split in filter(by_split.get, SPLITS):
        branch = tree.add(_text(f"{split}: {len(by_split[split]):,}"))
        by_label = _grouped(by_split[split], lambda item: LABEL_NAMES[item.label])
        for label in filter(by_label.get, LABEL_NAMES):
            by_generator = _grouped(by_label[label], lambda item: item.generator or "")
            named = sorted(filter(None, by_generator))
            example = f", as {by_label[label][0].file.name}" if not named else ""
            of_label = branch.add(_text(f"{label}: {_counted(by_label[label])}{example}"))
            for name in named[:_MOST_GENERATORS]:
                beside = "beside " if label == "REAL" else ""
                images = by_generator[name]
                of_label.add(_text(f"{beside}{name}: {_counted(images)}, as {images[0].file.name}"))
            if len(named) > _MOST_GENERATORS:
                of_label.add(_text(f"… and {len(named) - _MOST_GENERATORS:,} more generators"))
    if listing.strays:
        tree.add(_text(f"left out, without a label: {len(listing.strays):,} files, as {listing.strays[0]}"))
    if listing.ignored:
        tree.add(_text(f"ignored: {listing.ignored:,} files"))
    return tree


def _text(text: str) -> Text:
    """Text in which names of files are no markup, and move no cursor."""
    return Text(printable(text), no_wrap=True, overflow="ellipsis")


def _grouped(items: list[Item], key: Callable[[Item], str]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _counted(items: list[Item]) -> str:
    """How many images there are, of how many classes and clusters."""
    classes, clusters = {item.object_class for item in items}, {item.cluster for item in items}
    kinds = [(len(classes - {None}), "classes"), (len(clusters - {None}), "clusters")]
    return f"{len(items):,}" + "".join(f", {count:,} {name}" for count, name in kinds if count > 1)
