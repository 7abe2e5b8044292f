"""The learning rate and the optimizer of an epoch: they follow from the recipe and the epochs before it.

Training has one stage, or two where `head_epochs` trains a transfer network's head first; schedules start anew in each.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras

from trainables.training.outcome import EpochRow
from trainables.training.recipe import Recipe


def is_head_stage(recipe: Recipe, history: Sequence[EpochRow]) -> bool:
    """Whether the epoch after this history trains only the head."""
    return len(history) < recipe.head_epochs


def learning_rate(recipe: Recipe, history: Sequence[EpochRow]) -> float:
    """The learning rate of the epoch after this history; for `cosine`, which changes every step, its stage's first."""
    start = 0 if is_head_stage(recipe, history) else recipe.head_epochs
    rate = recipe.learning_rate / 10 if start else recipe.learning_rate
    waited, best = 0, math.inf
    for row in history[start:] if recipe.schedule == "plateau" else ():
        waited = 0 if row["validation_loss"] < best else waited + 1
        best = min(best, row["validation_loss"])
        if waited >= recipe.plateau_epochs:
            rate, waited = rate / 2, 0
    return rate


def begin_epoch(optimizer: keras.optimizers.Optimizer, recipe: Recipe, history: Sequence[EpochRow]) -> EpochRow:
    """Set the learning rate of the epoch after this history, unless `cosine` sets it each step. Returns its column."""
    if recipe.schedule != "cosine":
        optimizer.learning_rate.assign(learning_rate(recipe, history))
    return {"learning_rate": float(optimizer.learning_rate)}


def optimizer(recipe: Recipe, history: Sequence[EpochRow], steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Make a fresh optimizer for the stage of the epoch after this history."""
    rate: Any = learning_rate(recipe, history)
    if recipe.schedule == "cosine":
        epochs = recipe.head_epochs if is_head_stage(recipe, history) else recipe.epochs - recipe.head_epochs
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=max(1, epochs) * steps_per_epoch)
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, recipe.momentum, weight_decay=recipe.weight_decay or None)
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    return keras.optimizers.Adam(rate)
