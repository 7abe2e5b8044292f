"""What was understood of a source, as a tree with counts: split, label, generator."""

from collections.abc import Callable

from rich.text import Text
from rich.tree import Tree

from data_prep.layout import Item, Listing
from data_prep.vocabulary import LABEL_NAMES, SPLITS

_MOST_GENERATORS = 50


def outline(source: str, listing: Listing) -> Tree:
    """The tree of a source's images, with one of each kind as an example."""
    tree = Tree(Text(f"{source}: {len(listing.items):,} images"))
    by_split = _grouped(listing.items, lambda item: item.split)
    for split in filter(by_split.get, SPLITS):
        branch = tree.add(Text(f"{split}: {len(by_split[split]):,}"))
        by_label = _grouped(by_split[split], lambda item: LABEL_NAMES[item.label])
        for label in filter(by_label.get, LABEL_NAMES):
            of_label = branch.add(Text(f"{label}: {_described(by_label[label])}"))
            by_generator = _grouped(by_label[label], lambda item: item.generator or "")
            named = sorted(filter(None, by_generator))
            for name in named[:_MOST_GENERATORS]:
                beside = "beside " if label == "REAL" else ""
                of_label.add(Text(f"{beside}{name}: {_described(by_generator[name])}"))
            if len(named) > _MOST_GENERATORS:
                of_label.add(Text(f"… and {len(named) - _MOST_GENERATORS:,} more generators"))
    if listing.strays:
        tree.add(Text(f"left out, without a label: {len(listing.strays):,} files, as {listing.strays[0]}"))
    if listing.ignored:
        tree.add(Text(f"ignored: {listing.ignored:,} files"))
    return tree


def _grouped(items: list[Item], key: Callable[[Item], str]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _described(items: list[Item]) -> str:
    """How many images there are, of how many classes and clusters, and the file of the first."""
    classes, clusters = {item.object_class for item in items}, {item.cluster for item in items}
    kinds = [(len(classes - {None}), "classes"), (len(clusters - {None}), "clusters")]
    more = "".join(f", {count:,} {name}" for count, name in kinds if count)
    return f"{len(items):,}{more}, as {items[0].file.name}"
