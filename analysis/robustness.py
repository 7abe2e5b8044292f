"""python -m analysis robustness RESULTS: how networks withstand corrupted images, and images of other shards.

Finished scores are kept in the record: the same command continues where it was, and adds other trials.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, Setting, settings
from analysis.detector.robustness_table import ROBUSTNESS, add, of_images, robustness_table, rows
from analysis.detector.scored_images import OWN, ScoredImages, images_to_score
from analysis.detector.scoring import scores
from analysis.detector.stored import Stored, best_named
from analysis.figures.robustness import draw
from analysis.figures.robustness_summary import paragraphs
from analysis.figures.style import rendered
from analysis.results.format import percent
from analysis.results.trials import Results, read
from data_prep import Folder, InputError
from data_prep.numbers import Whole
from sweeps.engine.progress import duration

_MOST_OTHER_VERDICTS = 0.01
_HELP = f"""Score the test images of the record RESULTS, corrupted in several ways and degrees, by its networks.

{", ".join(corruption.title for corruption in CORRUPTIONS.values())}. Accuracy is at the threshold that was best on the
clean validation images."""


@click.command("robustness", help=_HELP)
@click.argument("results")
@click.option("--trials", default="best", show_default=True, help="best, all, a number of the first, or names.")
@click.option("--data", help="Other shards, whose test images are scored; or where the record's own are now.")
@click.option("--limit", type=Whole(2), help="Score so many test images, half of them REAL.")
def main(results: str, trials: str, data: str | None, limit: int | None) -> None:
    """Score what is not scored yet, then write the figure and print the summary of all scores."""
    folder = Folder(results).absolute()
    record = read(folder)
    chosen = choose(folder, record, trials)
    images = images_to_score(record, Folder(data).absolute() if data is not None else None, limit)
    for warning in images.warnings:
        click.echo(f"Warning: {warning}")
    _score(folder, chosen, images, limit or 0)
    table = of_images(robustness_table(folder), images.fingerprint, limit or 0)
    drawing, name = draw(record, table), "robustness" if images.data == OWN else f"robustness-{images.fingerprint}"
    files = {f"figures/{name}.{kind}": file for kind, file in (rendered(drawing.figure) if drawing else {}).items()}
    folder.write_all(files)
    click.echo("\n\n".join(paragraphs(record, table)))
    click.echo("\n".join([f"{folder}/{file}" for file in [ROBUSTNESS, *files]]))


def choose(folder: Folder, results: Results, wanted: str) -> list[Stored]:
    """The ranked trials that `--trials` names, best first. Raises InputError."""
    ranked = results.ranked[results.ranked["trial"].isin(results.scores.trials)]
    if not len(ranked):
        raise InputError(f"{folder} has no ranked trial with scores yet; run the sweep again to go on with it.")
    if wanted in ("best", "all") or wanted.isdecimal():
        count = {"best": 1, "all": len(ranked)}.get(wanted) or int(wanted)
        return [Stored(folder, results, row) for _, row in ranked.head(max(1, count)).iterrows()]
    named = {row.name: row for row in (best_named(folder, ranked, name.strip()) for name in wanted.split(","))}
    return [Stored(folder, results, row) for _, row in sorted(named.items())]


def _score(folder: Folder, chosen: Sequence[Stored], images: ScoredImages, limit: int) -> None:
    """Score what the record's table lacks, and enter each setting when it is scored, with a line of progress."""
    by_trial = {one.trial: one for one in chosen}
    table = of_images(robustness_table(folder), images.fingerprint, limit)
    known = set(zip(table["trial"], table["corruption"], table["severity"], strict=True))
    lacking = {
        setting: [trial for trial in by_trial if (trial, *setting) not in known] for setting in settings(images.side)
    }
    jobs = [(setting, trials) for setting, trials in lacking.items() if trials]
    if not jobs:
        click.echo("All of this is scored already.")
        return
    networks = [one for one in chosen if any(one.trial in trials for _, trials in jobs)]
    click.echo(f"{len(jobs)} settings x {len(networks)} networks x {len(images):,} images.")
    started = math.inf
    for done, (setting, logits) in enumerate(scores(networks, images, jobs), start=1):
        started = min(started, time.monotonic())  # after the first setting, which also waits for the workers
        if setting[0] == CLEAN and images.data == OWN:
            logits = {trial: _recorded(by_trial[trial], images, logits[trial]) for trial in logits}
        entries = [row for trial in logits for row in rows(by_trial[trial], images, limit, setting, logits[trial])]
        add(folder, entries)
        seconds = (time.monotonic() - started) / (done - 1) if done > 1 else math.nan
        left = f", {duration(seconds * (len(jobs) - done))} left" if 1 < done < len(jobs) else ""
        click.echo(f"{done:>4}/{len(jobs)}  {_line(setting, entries[0])}{left}")


def _recorded(one: Stored, images: ScoredImages, logits: np.ndarray) -> np.ndarray:
    """The logits (n,) that the record has of its own images, from which `logits` may differ in the last digit.

    Raises InputError if they differ by more: then the stored network is not the one that was scored.
    """
    recorded = one.scores("test")[1][np.isin(one.results.scores.parts["test"].rows, images.rows)]
    changed = ((recorded > 0) != (logits > 0)).mean()
    if changed > _MOST_OTHER_VERDICTS:
        raise InputError(
            f"The stored network of {one.name} disagrees with the record on {changed:.0%} of the test images; restore "
            "its checkpoint, or train it anew with --fresh."
        )
    return recorded


def _line(setting: Setting, row: dict[str, Any]) -> str:
    title = CLEAN if setting[0] == CLEAN else f"{CORRUPTIONS[setting[0]].title} {setting[1]:g}"
    return f"{title:<22} {row['network']}: {percent(row['accuracy'])} %, AUC {row['auc']:.4f}"
