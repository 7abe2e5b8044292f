"""python -m data_prep --source {sample,kaggle,PATH} --out shards/NAME: raw images in, shards out."""

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from data_prep.errors import run_command
from data_prep.job import prepare
from data_prep.numbers import Real, Whole
from data_prep.shards import LARGEST_IMAGE, Manifest

_MOST_UNREADABLE_SHOWN = 5


@click.command(context_settings={"show_default": True})
@click.option("--source", required=True, help="sample, kaggle, or a folder or zip in the layout train/REAL/….jpg.")
@click.option("--out", required=True, help="The folder to write the shards to.")
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
def main(
    source: str,
    out: str,
    image_size: int,
    validation: float,
    seed: int,
    limit: int | None,
    near_copies: bool,
    workers: int | None,
) -> None:
    """Decode raw images into Parquet shards and say what is wrong with them."""
    console = Console()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task("images decoded", total=None)
        manifest = prepare(
            source,
            out,
            image_size=image_size,
            validation=validation,
            seed=seed,
            limit=limit,
            near_copies=near_copies,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        bar.remove_task(task)
    title = f"{out}, {manifest.image_size} x {manifest.image_size}"
    table = Table("split", *(Column(name, justify="right") for name in ("REAL", "FAKE")), title=title)
    for split, labels in manifest.counts.items():
        table.add_row(split, *(f"{count:,}" for count in labels.values()))
    console.print(table)
    for line in _audit_lines(manifest):
        console.print(f"• {line}", highlight=False, markup=False)
    console.print(f"fingerprint {manifest.fingerprint}", highlight=False)


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
