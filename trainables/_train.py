"""The training loop. It knows nothing of Ray: `train(recipe, data)` runs in a debugger as it runs on a cluster.

Each epoch's order derives from (seed, epoch), and what a run is to do next derives from its history, so that a run
resumed after epoch k gives exactly the curve it would have given.
"""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from trainables import MODELS
from trainables._data import Data, Split
from trainables._network import Network, network
from trainables._pipeline import STEPS_PER_EXECUTION, scoring_batches, training_batches
from trainables._recipe import Recipe

#: One epoch as the record has it: epoch (from 1), metrics of train and validation, learning_rate, wall_seconds.
EpochRow = dict[str, float]


@dataclass
class Run:
    """A training run: where it stands after some epoch. The callbacks of `train` are given this."""

    recipe: Recipe
    model: keras.Model
    initial_weights: str
    history: list[EpochRow] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the highest validation accuracy; the first of equals."""
        return best_epoch(self.history)

    @property
    def is_best(self) -> bool:
        """Whether the last epoch is the best so far."""
        return self.best_epoch == len(self.history)

    @property
    def stop_reason(self) -> str | None:
        """Why no further epoch is to be trained, in words; None while there is one."""
        return stop_reason(self.recipe, self.history)

    def variables(self) -> list[Any]:
        """Everything that training changes, in a fixed order: weights, random states, the optimizer's moments."""
        return [*self.model.variables, *self.model.optimizer.variables]


Callback = Callable[[Run], None]


def start(recipe: Recipe, data: Data, models: Mapping[str, Network] = MODELS) -> Run:
    """A compiled model with fresh weights, drawn from the recipe's seed alone. Raises InputError: unknown network."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(recipe.seed)
    model = network(dict(models), recipe.network).build(data.image_size)
    model.compile(
        optimizer=_optimizer(recipe, math.ceil(len(data.train) / recipe.batch_size)),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.BinaryAccuracy("accuracy", threshold=0.0),
            keras.metrics.AUC(name="auc", from_logits=True),
        ],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,  # two to three times slower on a CPU
    )
    model.optimizer.build(model.trainable_variables)
    return Run(recipe, model, _weights_hash(model))


def train(run: Run, data: Data, callbacks: Sequence[Callback] = ()) -> Run:
    """Train until `run.stop_reason` says why not, from wherever `run` stands. Callbacks are called after each epoch."""
    while not run.stop_reason:
        row = _train_epoch(run, data)
        run.history.append(row)
        if run.is_best:
            run.best_weights = run.model.get_weights()
        for callback in callbacks:
            callback(run)
    return run


def score(model: keras.Model, split: Split) -> np.ndarray:
    """The raw scores of a split's images, in order: (n,) float32 logits, positive for FAKE."""
    return np.asarray(model.predict(scoring_batches(split), verbose=0), np.float32)[:, 0]


def score_best(run: Run, data: Data) -> dict[str, np.ndarray]:
    """The scores of validation and test by the weights of the best epoch. The only place where test is looked at."""
    run.model.set_weights(run.best_weights)
    return {"validation": score(run.model, data.validation), "test": score(run.model, data.test)}


def metrics(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Loss (binary cross-entropy in nats), accuracy at probability 0.5 and AUC, FAKE positive, of (n,) logits.

    An AUC that is not defined, for want of one label or of finite scores, is NaN.
    """
    signs = 2.0 * labels - 1
    defined = 0 < labels.sum() < len(labels) and bool(np.isfinite(scores).all())
    return {
        "loss": float(np.logaddexp(0, -signs * scores.astype(np.float64)).mean()) if len(labels) else math.nan,
        "accuracy": float(((scores > 0) == (labels == 1)).mean()) if len(labels) else math.nan,
        "auc": float(roc_auc_score(labels, scores)) if defined else math.nan,
    }


def best_epoch(history: Sequence[EpochRow]) -> int:
    """The epoch, from 1, with the highest validation accuracy; the first of equals; 0 without epochs."""
    if not history:
        return 0
    return 1 + int(np.argmax([row["validation_accuracy"] for row in history]))


def stop_reason(recipe: Recipe, history: Sequence[EpochRow]) -> str | None:
    """Why training ends after this history, in words, or None."""
    if history and not all(math.isfinite(history[-1][name]) for name in ("train_loss", "validation_loss")):
        return f"the loss is no longer finite after epoch {len(history)}"
    if len(history) >= recipe.epochs:
        return "all epochs are trained"
    patience = recipe.early_stopping_epochs
    if patience and len(history) - _best_loss_epoch(history) >= patience:
        return f"no lower validation loss in {patience} epochs"
    return None


def learning_rate(recipe: Recipe, history: Sequence[EpochRow]) -> float:
    """The learning rate of the epoch after this history, for the schedules that change between epochs only."""
    rate, waited, best = recipe.learning_rate, 0, math.inf
    for row in history if recipe.schedule == "plateau" else ():
        waited = 0 if row["validation_loss"] < best else waited + 1
        best = min(best, row["validation_loss"])
        if waited >= recipe.plateau_epochs:
            rate, waited = rate / 2, 0
    return rate


def _train_epoch(run: Run, data: Data) -> EpochRow:
    started = time.perf_counter()
    epoch = len(run.history) + 1
    recipe = run.recipe
    if recipe.schedule != "cosine":
        run.model.optimizer.learning_rate.assign(learning_rate(recipe, run.history))
    rate = float(run.model.optimizer.learning_rate)
    batches = training_batches(data.train, recipe.batch_size, recipe.seed, epoch)
    logs = run.model.fit(batches, epochs=1, shuffle=False, verbose=0).history
    validation = metrics(data.validation.labels, score(run.model, data.validation))
    return {
        "epoch": epoch,
        **{f"train_{name}": float(logs[name][0]) for name in ("loss", "accuracy", "auc")},
        **{f"validation_{name}": value for name, value in validation.items()},
        "learning_rate": rate,
        "wall_seconds": time.perf_counter() - started,
    }


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=recipe.epochs * steps_per_epoch)
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, recipe.momentum, weight_decay=recipe.weight_decay or None)
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    return keras.optimizers.Adam(rate)


def _best_loss_epoch(history: Sequence[EpochRow]) -> int:
    return 1 + int(np.argmin([row["validation_loss"] for row in history])) if history else 0


def _weights_hash(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]
