"""What a sweep would do and how long it would take, without starting it."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from data_prep import shards
from data_prep._storage import Folder
from sweeps._options import Options
from sweeps._progress import duration
from trainables import Recipe
from trainables._cost import Cost, cost, training_bytes
from trainables._data import Data, Split, image_counts

if TYPE_CHECKING:
    from sweeps._sweep import Sweep


def show(sweep: "Sweep", shard_folder: Folder, options: Options) -> int:
    """Print the trials with their parameters and an estimate of their time, measured by a few steps of each network."""
    manifest = shards.read_manifest(shard_folder)
    images = image_counts(manifest, options.limit, options.smoke)
    cpus = os.cpu_count() or 1
    trials = sweep.search.trials if sweep.search else len(sweep.recipes)
    threads = options.cpus_per_trial or max(1, cpus // trials)
    at_once = max(1, int(cpus / threads))
    columns = ("network", "parameters", "memory", "epochs", "seeds", "time a trial")
    table = Table(*columns, title=f"{sweep.name}: {sweep.question}")
    total = 0.0
    measured: dict[str, tuple[Cost, float]] = {}
    for recipe in sweep.recipes:
        if recipe.network not in measured:
            with _silent_tensorflow():
                measured[recipe.network] = _measure(recipe, manifest.image_size, images, int(threads))
        total += measured[recipe.network][1]
    for network, (found, seconds) in measured.items():
        recipes = [recipe for recipe in sweep.recipes if recipe.network == network]
        memory = f"{training_bytes(found, recipes[0]) / 2**20:,.0f} MiB"
        epochs, seeds = str(recipes[0].epochs), str(len(recipes))
        table.add_row(network, f"{found.parameters:,}", memory, epochs, seeds, duration(seconds))
    trials, about = len(sweep.recipes), "about"
    if sweep.search:
        total, trials, about = total / trials * sweep.search.trials, sweep.search.trials, "at most about"
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{trials} trials on {images['train']:,} training images: {about} {duration(total / at_once)} on "
        f"this machine's CPUs, {at_once} at a time{_price(total / at_once, options)}. Nothing was started.",
        soft_wrap=True,
    )
    return 0


def _price(seconds: float, options: Options) -> str:
    if options.hourly_price is None:
        return ""
    return f", about ${seconds / 3600 * options.hourly_price:.2f} at ${options.hourly_price:g} an hour"


def _measure(recipe: Recipe, image_size: int, images: dict[str, int], threads: int) -> tuple[Cost, float]:
    """What a network costs, and the seconds that a trial would take, from one timed round of steps on noise."""
    from trainables._pipeline import STEPS_PER_EXECUTION, set_up
    from trainables._train import score, start, train

    set_up(max(1, threads))
    sample = _noise(recipe.batch_size * STEPS_PER_EXECUTION, image_size)
    data = Data(sample, _noise(500, image_size), sample, "", is_smoke=True)  # which needs no pretrained weights
    run = start(Recipe.of(recipe.knobs() | {"epochs": 2, "early_stopping_epochs": 0}), data)
    train(run, data)
    started = time.perf_counter()
    score(run.model, data.validation)
    scoring = (time.perf_counter() - started) / len(data.validation)
    training = (run.history[-1]["wall_seconds"] - scoring * len(data.validation)) / len(sample)
    epoch = training * images["train"] + scoring * images["validation"]
    return cost(run.model), run.history[0]["wall_seconds"] + recipe.epochs * epoch + scoring * images["test"]


@contextmanager
def _silent_tensorflow() -> Iterator[None]:
    """TensorFlow writes to standard error from C++ before it reads its own log level."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _noise(images: int, image_size: int) -> Split:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, image_size, image_size, 3), np.uint8)
    labels = np.arange(images, dtype=np.int8) % 2
    return Split(pixels, labels, np.arange(images, dtype=np.int32), np.zeros(images, bool))
