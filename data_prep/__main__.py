"""python -m data_prep --source {sample,kaggle,PATH} --out shards/NAME: raw images in, shards out."""

from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from data_prep.errors import run_command
from data_prep.escaping import printable
from data_prep.job import listing_of, prepare
from data_prep.layout.choices import Choices, key
from data_prep.layout.images import Listing
from data_prep.layout.outline import outline
from data_prep.layout.vocabulary import LABEL_NAMES, SPLITS
from data_prep.numbers import Real, Whole
from data_prep.shards import LARGEST_IMAGE, Manifest
from data_prep.sources.lists import COLUMNS

_MOST_UNREADABLE_SHOWN = 5
_OF_PREPARE = ("image_size", "validation", "seed", "limit", "near_copies", "workers")
_LEVEL = Whole(-100, 100)


def _splits(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=SPLIT, each: name in small letters → split."""
    splits, kinds = dict[str, str](), (*SPLITS, "ignore", "none")
    for value in values:
        name, _, split = value.rpartition("=")
        if not name or split not in kinds:
            raise click.BadParameter(f"{value!r} is no NAME=SPLIT, where SPLIT is {', '.join(kinds)}.", context, option)
        if splits.setdefault(key(name), split) != split:
            raise click.BadParameter(f"{name!r} is given as {splits[key(name)]} and as {split}.", context, option)
    return splits


def _column_options(command: Callable[..., None]) -> Callable[..., None]:
    for kind in reversed(COLUMNS):
        command = click.option(f"--{kind}-column", metavar="NAME", help=f"The lists' column with the {kind}.")(command)
    return command


@click.command(context_settings={"show_default": True})
@click.option("--source", required=True, help="sample, kaggle, or a folder or archive of images (docs/data.md).")
@click.option("--out", help="The folder to write the shards to.")
@click.option("--image-size", default=32, type=Whole(8, LARGEST_IMAGE), help="Side of the square images, in pixels.")
@click.option("--validation", default=0.1, type=Real(0.001, 0.5), help="Share of train to cut out.")
@click.option("--seed", default=0, type=Whole(0), help="Seed of the images' order, and so of the cut.")
@click.option("--limit", type=Whole(20), help="The most images of each split, half REAL and half FAKE.")
@click.option(
    "--near-copies/--no-near-copies",
    default=True,
    help="Find images that are nearly the same: half a minute for 110,000, four times as long for twice as many.",
)
@click.option("--workers", type=Whole(1), help="Processes; by default one a core.")
@click.option(
    "--real", multiple=True, metavar="NAME", help="A folder's name, or a list's label, that is REAL. Repeatable."
)
@click.option(
    "--fake", multiple=True, metavar="NAME", help="A folder's name, or a list's label, that is FAKE. Repeatable."
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="NAME=SPLIT",
    callback=_splits,
    help="The split of a folder's name: train, validation, test, ignore, or none if it is of no split. Repeatable.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="PATTERN",
    help="Names or paths to leave out, as '*mask*'. Repeatable.",
)
@click.option(
    "--list",
    "lists",
    multiple=True,
    metavar="PATTERN",
    help="Lists in the source of what its images are: .csv, .tsv, .json, .jsonl or .txt. Repeatable.",
)
@_column_options
@click.option(
    "--generator-level", type=_LEVEL, help="The folder that names the generator: 1 is the first, -1 the last."
)
@click.option("--class-level", type=_LEVEL, help="The folder that names the object's class.")
@click.option(
    "--cluster-level", type=_LEVEL, help="The folder whose images stay together: a video, a person, an original."
)
@click.option("--plan", "is_plan", is_flag=True, help="Only show what is understood of the names.")
def main(source: str, out: str | None, is_plan: bool, **options: Any) -> None:
    """Decode raw images into Parquet shards and say what is wrong with them."""
    choices = _choices(**{name: options.pop(name) for name in [*options] if name not in _OF_PREPARE})
    console = Console()

    def show(listing: Listing) -> None:
        console.print(outline(source, listing), highlight=False)

    if is_plan:
        show(listing := listing_of(source, choices))
        _print_lines(console, listing.notes)
    elif out is None:
        raise click.UsageError("Missing option '--out'.")
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("images decoded", total=None)
            manifest = prepare(
                source,
                out,
                choices=choices,
                listed=show,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                **options,
            )
        _print_manifest(console, out, manifest)


def _choices(real: tuple[str, ...], fake: tuple[str, ...], **options: Any) -> Choices:
    labels = [{key(name): number for name in names} for number, names in enumerate((real, fake))]
    if both := set(labels[0]) & set(labels[1]):
        raise click.UsageError(f"{both.pop()!r} is given as --real and as --fake.")
    columns = {kind: name for kind in COLUMNS if (name := options.pop(f"{kind}_column"))}
    if columns and not options["lists"]:
        raise click.UsageError(f"--{next(iter(columns))}-column is a column of a list; name that with --list.")
    return Choices(labels=labels[0] | labels[1], columns=columns, **options)


def _print_manifest(console: Console, out: str, manifest: Manifest) -> None:
    title = f"{out}, {manifest.image_size} x {manifest.image_size}"
    table = Table("split", *(Column(name, justify="right") for name in LABEL_NAMES), title=title)
    for split, labels in manifest.counts.items():
        table.add_row(split, *(f"{count:,}" for count in labels.values()))
    console.print(table)
    _print_lines(console, _audit_lines(manifest))
    console.print(f"fingerprint {manifest.fingerprint}", highlight=False)


def _print_lines(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(f"• {printable(line)}", highlight=False, markup=False)


def _audit_lines(manifest: Manifest) -> list[str]:
    """The audit's findings, a sentence a line."""
    audit = manifest.audit
    pairs = ", ".join(f"{count:,} inside {split}" for split, count in audit["duplicate_pairs"].items())
    codecs = " and ".join(sorted({codec for counts in audit["codecs"].values() for codec in counts}))
    unreadable = [f"  {path}: {reason}" for path, reason in audit["unreadable"].items()]
    conditional = [
        (
            not audit["warnings"],
            f"Codec and size give no clue to the label ({codecs}; file size alone: AUC {audit['file_size_auc']:.2f}).",
        ),
        (
            audit["groups_with_both_labels"],
            f"WARNING: {audit['groups_with_both_labels']:,} images stand under both labels.",
        ),
        (
            audit["pictures_with_both_labels"] > audit["groups_with_both_labels"],
            f"Pictures with copies, exact or near, under both labels: {audit['pictures_with_both_labels']:,}.",
        ),
        (not manifest.options["near_copies"], "Near-copies were not looked for (--no-near-copies)."),
        (
            audit["outside_label_folders"],
            f"{len(audit['outside_label_folders']):,} files in no REAL or FAKE folder were left out.",
        ),
        (unreadable, f"{len(unreadable):,} files could not be read and were left out:"),
    ]
    rest = len(unreadable) - _MOST_UNREADABLE_SHOWN
    return [
        f"{audit['distinct_images']:,} distinct images of {audit['images']:,}; duplicate pairs: {pairs}.",
        f"{audit['test_images_in_train']:,} test images also stand in train or validation, and "
        f"{audit['test_images_near_train']:,} have near-copies there; the clean test leaves them out.",
        *audit["notes"],
        *(f"WARNING: {warning}" for warning in audit["warnings"]),
        *(line for holds, line in conditional if holds),
        *unreadable[:_MOST_UNREADABLE_SHOWN],
        *([f"  … and {rest:,} more, in the manifest."] if rest > 0 else []),
    ]


if __name__ == "__main__":
    run_command(main)
