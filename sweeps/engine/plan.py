"""What a sweep would do and how long it would take, without starting it."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from data_prep import shards
from data_prep.storage import Folder
from sweeps.engine.options import Options
from sweeps.engine.progress import duration
from trainables import Recipe
from trainables.training.cost import Cost, cost, training_bytes
from trainables.training.selection import Data, Split, image_counts

if TYPE_CHECKING:
    from sweeps.engine.run import Sweep


def show(sweep: "Sweep", shard_folder: Folder, options: Options) -> int:
    """Print the trials with their parameters and an estimate of their time, measured by a few steps of each network."""
    manifest = shards.read_manifest(shard_folder)
    images = image_counts(manifest, options.limit, options.smoke)
    cpus = os.cpu_count() or 1
    trials = sweep.search.trials if sweep.search else len(sweep.recipes)
    most = min(trials, options.own.get("max_concurrent") or trials)
    threads = options.cpus_per_trial or max(1, cpus // most)
    columns = ("network", "parameters", "memory", "epochs", "seeds", "time a trial")
    table = Table(*columns, title=f"{sweep.name}: {sweep.question}")
    total = 0.0
    for name, recipes in _by_name(sweep.recipes).items():
        with _silent_tensorflow():
            found, seconds = _measure(recipes[0], manifest.image_size, images, int(threads))
        total += seconds * len(recipes)
        memory = f"{training_bytes(found, recipes[0]) / 2**20:,.0f} MiB"
        epochs, seeds = str(recipes[0].pause_epoch or recipes[0].epochs), str(len(recipes))
        table.add_row(name, f"{found.parameters:,}", memory, epochs, seeds, duration(seconds))
    gpus = _gpus()  # on which trials share the time, and so take as long as one after the other
    at_once, where = (gpus, "GPUs") if gpus else (max(1, min(int(cpus / threads), most)), "CPUs")
    about = "about"
    if sweep.search:
        total, about = total / len(sweep.recipes) * trials, "at most about"
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{trials} trials on {images['train']:,} training images: {about} {duration(total / at_once)} on "
        f"this machine's {where}, {at_once} at a time{_price(total / at_once, options)}. "
        f"{'More trials follow from their results, and are not in these numbers. ' if sweep.then else ''}"
        "Nothing was started.",
        soft_wrap=True,
    )
    return 0


def _by_name(recipes: Sequence[Recipe]) -> dict[str, list[Recipe]]:
    """Recipes of the same cost, by their network and those of its options in which they differ."""
    options: dict[str, list[dict[str, Any]]] = {}
    for recipe in recipes:
        options.setdefault(recipe.network, []).append(recipe.network_arguments)
    found: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        told = [
            f"{name}={value}"
            for name, value in recipe.network_arguments.items()
            if any(other.get(name) != value for other in options[recipe.network])
        ]
        found.setdefault(" ".join([recipe.network, *told]), []).append(recipe)
    return found


def _price(seconds: float, options: Options) -> str:
    if options.hourly_price is None:
        return ""
    return f", about ${seconds / 3600 * options.hourly_price:.2f} at ${options.hourly_price:g} an hour"


def _measure(recipe: Recipe, image_size: int, images: dict[str, int], threads: int) -> tuple[Cost, float]:
    """What a network costs, and the seconds that a trial would take, from one timed round of steps on noise."""
    from trainables.training.loop import score, start, train
    from trainables.training.pipeline import STEPS_PER_EXECUTION, set_up

    set_up(max(1, threads))
    sample = _noise(recipe.batch_size * STEPS_PER_EXECUTION, image_size)
    data = Data(sample, _noise(500, image_size), sample, "", is_smoke=True)  # which needs no pretrained weights
    twice = {"epochs": 2, "early_stopping_epochs": 0, "pause_epoch": 0, "head_epochs": 0}
    run = start(Recipe.of(recipe.hyperparameters() | twice), data)
    train(run, data)
    started = time.perf_counter()
    score(run.model, data.validation)
    scoring = (time.perf_counter() - started) / len(data.validation)
    training = (run.history[-1]["wall_seconds"] - scoring * len(data.validation)) / len(sample)
    epoch = training * images["train"] + scoring * images["validation"]
    epochs = recipe.pause_epoch or recipe.epochs
    return cost(run.model), run.history[0]["wall_seconds"] + epochs * epoch + scoring * images["test"]


def _gpus() -> int:
    import keras

    return len(keras.distribution.list_devices("gpu"))


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
