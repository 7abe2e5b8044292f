"""python -m analysis robustness RESULTS: how networks stand spoilt images, and images of other shards.

What is finished is kept in the record, so that the same command goes on where it was, and other trials are added.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

import click
import numpy as np
import pandas as pd

from analysis.detector.corruptions import CLEAN, CORRUPTIONS, Setting, settings
from analysis.detector.robustness_table import ROBUSTNESS, add, of_images, robustness_table, rows
from analysis.detector.scored_images import OWN, ScoredImages, images_to_score
from analysis.detector.scoring import Job, Logits, scores
from analysis.detector.stored import Stored, is_named
from analysis.figures.robustness import draw
from analysis.figures.robustness_texts import texts
from analysis.figures.style import rendered
from analysis.results.format import percent
from analysis.results.trials import Results, read
from data_prep.errors import InputError
from data_prep.storage import Folder
from sweeps.engine.progress import duration
from trainables.training.recipe import nearest

__all__ = ["draw", "main", "robustness_table", "texts"]

_MOST_OTHER_CALLS = 0.01
_HELP = f"""Score the test images of the record RESULTS, spoilt in several ways and degrees, by its networks.

{", ".join(corruption.title for corruption in CORRUPTIONS.values())}. Accuracy is at the threshold that was best on the
clean validation images."""


@click.command("robustness", help=_HELP)
@click.argument("results")
@click.option("--trials", default="best", show_default=True, help="best, all, a number of the first, or names.")
@click.option("--data", help="Other shards, whose test images are scored; or where the record's own are now.")
@click.option("--limit", type=click.IntRange(2), help="Score so many test images, half of them REAL.")
def main(results: str, trials: str, data: str | None, limit: int | None) -> None:
    """Score what is not scored yet, then draw and tell what there is."""
    folder = Folder(results).absolute()
    results = read(folder)
    chosen = choose(folder, results, trials)
    images = images_to_score(results, Folder(data).absolute() if data else None, limit)
    for warning in images.warnings:
        click.echo(f"Warning: {warning}")
    _score(folder, chosen, images, limit or 0)
    table = of_images(robustness_table(folder), images.fingerprint, limit or 0)
    written = _draw(folder, results, table, images)
    click.echo("\n\n".join(texts(results, table)))
    click.echo("\n".join([f"{folder}/{name}" for name in [ROBUSTNESS, *written]]))


def choose(folder: Folder, results: Results, wanted: str) -> list[Stored]:
    """The ranked trials that `--trials` names, best first. Raises InputError."""
    ranked = results.ranked[results.ranked["trial"].isin(results.scores.trials)]
    if not len(ranked):
        raise InputError(f"{folder} has no ranked trial with scores yet; run the sweep again to go on with it.")
    if wanted in ("best", "all") or wanted.isdecimal():
        count = {"best": 1, "all": len(ranked)}.get(wanted) or int(wanted)
        found = ranked.head(max(1, count))
    else:
        found = ranked.loc[sorted({_named(ranked, name.strip()) for name in wanted.split(",")})]
    return [Stored(folder, results, row) for _, row in found.iterrows()]


def _named(ranked: pd.DataFrame, name: str) -> int:
    """The place in the ranking of the best trial of a network, or of the trial of that identity."""
    is_it = is_named(ranked, name)
    if not is_it.any():
        near = nearest(name, [*ranked["network"].unique(), *ranked["trial"]])
        raise InputError(f"--trials: there is no ranked trial {name!r}; the nearest name is {near!r}.")
    return int(ranked.index[is_it][0])


def _score(folder: Folder, chosen: Sequence[Stored], images: ScoredImages, limit: int) -> None:
    """Score what the record's table has not, and enter it as it comes, with a line each."""
    by_trial = {one.trial: one for one in chosen}
    jobs = _left(of_images(robustness_table(folder), images.fingerprint, limit), list(by_trial), settings(images.side))
    if not jobs:
        click.echo("All of this is scored already.")
        return
    networks = [one for one in chosen if any(one.trial in trials for _, trials in jobs)]
    click.echo(f"{len(jobs)} settings x {len(networks)} networks x {len(images):,} images.")
    begun = math.inf
    for done, (setting, logits) in enumerate(scores(networks, images, jobs), start=1):
        begun = min(begun, time.monotonic())  # the first one also waits for the workers
        found = [
            rows(by_trial[trial], images, limit, setting, each)
            for trial, each in _as_recorded(by_trial, images, setting, logits).items()
        ]
        add(folder, [row for each in found for row in each])
        each = (time.monotonic() - begun) / (done - 1) if done > 1 else math.nan
        left = f", {duration(each * (len(jobs) - done))} left" if 1 < done < len(jobs) else ""
        click.echo(f"{done:>4}/{len(jobs)}  {_line(setting, found[0][0])}{left}")


def _left(table: pd.DataFrame, trials: Sequence[str], wanted: Sequence[Setting]) -> list[Job]:
    """The settings that some of the trials still miss, with these trials."""
    known = set(zip(table["trial"], table["corruption"], table["severity"], strict=True))
    jobs = [(setting, [trial for trial in trials if (trial, *setting) not in known]) for setting in wanted]
    return [job for job in jobs if job[1]]


def _as_recorded(by_trial: dict[str, Stored], images: ScoredImages, setting: Setting, logits: Logits) -> Logits:
    """The logits; of the record's own images, unspoilt, those that the record has, which may differ in the last digit.

    Raises InputError if they differ by more: then the stored network is not the one that was judged.
    """
    if setting[0] != CLEAN or images.data != OWN:
        return logits
    found = {trial: _recorded(by_trial[trial], images) for trial in logits}
    for trial, told in found.items():
        changed = ((told > 0) != (logits[trial] > 0)).mean()
        if changed > _MOST_OTHER_CALLS:
            raise InputError(
                f"The stored network of {by_trial[trial].name} calls {changed:.0%} of the test images otherwise than "
                "the record has it; restore its checkpoint, or train it anew with --fresh."
            )
    return found


def _recorded(one: Stored, images: ScoredImages) -> np.ndarray:
    _, logits = one.scores("test")
    return logits[np.isin(one.results.scores.parts["test"].rows, images.rows)]


def _line(setting: Setting, row: dict[str, Any]) -> str:
    name, severity = setting
    told = "clean" if name == CLEAN else f"{CORRUPTIONS[name].title} {severity:g}"
    return f"{told:<22} {row['network']}: {percent(row['accuracy'])} %, AUC {row['auc']:.4f}"


def _draw(folder: Folder, results: Results, table: pd.DataFrame, images: ScoredImages) -> list[str]:
    """Write the figure of these images. Returns its files' names."""
    name = "robustness" if images.data == OWN else f"robustness-{images.fingerprint}"
    figures = {f"figures/{name}.{kind}": content for kind, content in rendered(draw(results, table)).items()}
    for file, content in figures.items():
        folder.write_bytes(file, content)
    return list(figures)
