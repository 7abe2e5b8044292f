"""What a sweep would do and how long it would take, without starting it."""

import os
import sys
import time
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from data_prep import InputError, printable, shards
from data_prep.errors import ENDS
from sweeps.engine.options import Options
from sweeps.engine.progress import duration
from sweeps.engine.sweep import Sweep
from trainables import Recipe
from trainables.training.cost import Cost, cost, training_bytes
from trainables.training.outcome import gist
from trainables.training.selection import Data, Split
from trainables.training.silence import silent_tensorflow

#: Hyperparameters on which the time of a trial depends, beside its network and arguments.
_COSTLY = ("batch_size", "epochs", "precision")
_STEPS = 32  # that are timed


def show(sweep: Sweep, options: Options) -> int:
    """Print the trials, their parameters and an estimate of their time, from a few timed steps of each network."""
    strategy, selection = sweep.strategy, options.selection()
    manifest = shards.read_manifest(selection.folder)
    images, cpus = selection.counts(manifest), os.cpu_count() or 1
    threads = options.cpus_per_trial or max(1, cpus // strategy.concurrency)
    backend = _backend(options.gpus_per_trial)
    numbers = [Column(name, justify="right") for name in ("parameters", "memory", "epochs", "trials", "time a trial")]
    table, total = Table("network", *numbers, title=f"{sweep.name}: {sweep.question}"), 0.0
    unbuilt: dict[str, str] = {}
    for name, recipes in by_cost(strategy.representatives).items():
        measured, seconds = _tried(recipes[0], manifest.image_size, images, int(threads))
        if measured.reason:
            unbuilt[name] = measured.reason
            continue
        total += seconds * len(recipes) * strategy.planned / len(strategy.representatives)
        table.add_row(
            name,
            f"{measured.parameters:,}",
            f"{training_bytes(measured, recipes[0]) / 2**20:,.0f} MiB",
            str(recipes[0].pause_epoch or recipes[0].epochs),
            str(len(recipes)),
            duration(seconds),
        )
    at_once, where = _at_once(backend.gpus(), options.gpus_per_trial or 0, int(cpus / threads), strategy.concurrency)
    hours, dollars = total / at_once / 3600, options.hourly_price
    price = "" if dollars is None else f", about ${hours * dollars:.2f} at ${dollars:g} an hour"
    follow_ups = "More trials follow from their results, and are not in these numbers. " if strategy.follow_ups else ""
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{strategy.planned} trials on {images['train']:,} training images: "
        f"{'at most ' if strategy.stops_early else ''}about {duration(total / at_once)} on this machine's "
        f"{where}{price}. {follow_ups}Nothing was started.",
        soft_wrap=not console.is_terminal,
    )
    return _end(unbuilt)


def _backend(gpus_per_trial: float | None) -> ModuleType:
    """What computes the plan; it takes hold of no GPU where trials get none."""
    with silent_tensorflow():
        from trainables.training.pipeline.backend import backend
    if gpus_per_trial == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        backend.use_cpu()
    return backend


def _end(unbuilt: dict[str, str]) -> int:
    """Name the networks that cannot be built, with the reasons. Returns the exit code."""
    if not unbuilt:
        return ENDS["done"].code
    for name, reason in unbuilt.items():
        print(printable(f"{name} cannot be built: {reason}"), file=sys.stderr)
    print(ENDS["unbuilt"].sentence.format(count=len(unbuilt)), file=sys.stderr)
    return ENDS["unbuilt"].code


def _at_once(gpus: int, gpus_per_trial: float, on_cpus: int, trials: int) -> tuple[int, str]:
    """How many trials' time passes at once, and where. Trials that share a GPU take as long as in turn."""
    if gpus >= max(1, gpus_per_trial):
        return min(int(gpus / max(1, gpus_per_trial)), trials), f"{gpus} GPUs"
    at_once = max(1, min(on_cpus, trials))
    return at_once, f"CPUs, {at_once} at a time"


def by_cost(recipes: Sequence[Recipe]) -> dict[str, list[Recipe]]:
    """Recipes of the same cost, by their network and what tells its costs apart: arguments, batch size, epochs."""
    kinds = {
        _kind(recipe): recipe.network_arguments | {name: getattr(recipe, name) for name in _COSTLY}
        for recipe in recipes
    }
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        others = [values for (network, *_), values in kinds.items() if network == recipe.network]
        own = kinds[_kind(recipe)].items()
        differing = [f"{name}={value}" for name, value in own if any(other.get(name) != value for other in others)]
        groups.setdefault(" ".join([recipe.network, *differing]), []).append(recipe)
    return groups


def _kind(recipe: Recipe) -> tuple[object, ...]:
    return (recipe.network, recipe.arguments, *(getattr(recipe, name) for name in _COSTLY))


def _tried(recipe: Recipe, image_size: int, images: dict[str, int], threads: int) -> tuple[Cost, float]:
    """What `_measure` returns; of a network that cannot be built, a cost that says why."""
    try:
        with silent_tensorflow():
            return _measure(recipe, image_size, images, threads)
    except InputError:
        raise
    except Exception as error:  # of whatever builds the network
        return Cost(reason=gist(error)), 0.0


def _measure(recipe: Recipe, image_size: int, images: dict[str, int], threads: int) -> tuple[Cost, float]:
    """A network's cost, and the seconds that a trial would take, from one timed round of steps on noise."""
    from trainables.training.loop import start, train
    from trainables.training.pipeline import set_up

    set_up(max(1, threads))
    sample = _noise(_STEPS * recipe.batch_size, image_size)
    data = Data(sample, _noise(500, image_size), sample, "", is_smoke=True)  # which needs no pretrained weights
    twice = {"epochs": 2, "early_stopping_epochs": 0, "pause_epoch": 0, "head_epochs": 0}
    run = start(Recipe.of(recipe.hyperparameters() | twice), data)
    train(run, data)
    started = time.perf_counter()
    run.scores(data.validation)
    scoring = (time.perf_counter() - started) / len(data.validation)
    training = (run.history[-1]["wall_seconds"] - scoring * len(data.validation)) / len(sample)
    epoch = training * images["train"] + scoring * images["validation"]
    epochs = recipe.pause_epoch or recipe.epochs
    return cost(run.model), run.history[0]["wall_seconds"] + epochs * epoch + scoring * images["test"]


def _noise(images: int, image_size: int) -> Split:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, image_size, image_size, 3), np.uint8)
    labels = np.arange(images, dtype=np.int8) % 2
    return Split(pixels, labels, np.arange(images, dtype=np.int32), np.zeros(images, bool))
