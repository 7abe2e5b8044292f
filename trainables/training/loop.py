"""The training loop. It knows nothing of Ray: `train(recipe, data)` runs in a debugger as it runs on a cluster.

Each epoch's order derives from (seed, epoch), and what a run is to do next derives from its history, so that a run
resumed after epoch k gives exactly the curve it would have given.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from data_prep.errors import InputError
from trainables import MODELS
from trainables.layers.pretrained import Layers, put
from trainables.training.network import Network, build, thawed_layers
from trainables.training.pipeline import STEPS_PER_EXECUTION, forward, trainer, training_batches
from trainables.training.recipe import Recipe
from trainables.training.selection import Data, Split

#: Why a run ends that another is to go on from.
PAUSED = "paused, for another trial to go on from here"

_EPOCHS_AT_CHANCE = 3
_STEPS_AT_CHANCE = 1_000

#: One epoch as the record has it: epoch (from 1), metrics of train and validation, learning_rate, wall_seconds.
EpochRow = dict[str, float]


#: An epoch at chance is one whose accuracies are not above these, of train and validation, 0–1.
Chance = tuple[float, float]


@dataclass
class Run:
    """A training run: where it stands after some epoch. The callbacks of `train` are given this.

    `batch_size` is the recipe's unless memory was too short for it. `thawed` are the pretrained layers that train only
    after `head_epochs`. `chance` is what a network may reach that has learnt nothing, or None where that is not judged.
    """

    recipe: Recipe
    model: keras.Model
    #: What is compiled and fitted: the model, or one around it.
    trainer: keras.Model
    initial_weights: str
    batch_size: int
    train_images: int
    chance: Chance | None
    thawed: list[keras.Layer] = field(default_factory=list)
    history: list[EpochRow] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)
    #: Of the validation images, by `best_weights`; None where these were restored.
    best_scores: np.ndarray | None = None
    #: Of scoring the test images, once that is done.
    seconds_per_image: float = math.nan

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
        return stop_reason(self.recipe, self.history) or self._collapse()

    def _collapse(self) -> str | None:
        """That the last epochs were all at chance: three at least, and a thousand steps, for some start slowly."""
        epochs = max(_EPOCHS_AT_CHANCE, math.ceil(_STEPS_AT_CHANCE / self.steps_per_epoch))
        if self.chance and len(self.history) >= epochs and all(map(self._at_chance, self.history[-epochs:])):
            return f"accuracy within noise of chance for {epochs} epochs"
        return None

    def _at_chance(self, row: EpochRow) -> bool:
        names = ("train_accuracy", "validation_accuracy")
        return all(row[name] <= level for name, level in zip(names, self.chance or (), strict=True))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimizer an epoch."""
        return math.ceil(self.train_images / self.batch_size)

    @property
    def is_head_first(self) -> bool:
        """Whether the next epoch is one of those in which only the head is trained."""
        return len(self.history) < self.recipe.head_epochs

    def compile(self) -> None:
        """Give the model a fresh optimizer for the next epoch's stage, and free or freeze its layers for it."""
        for layer in self.thawed:
            layer.trainable = not self.is_head_first
        self.trainer.compile(
            optimizer=_optimizer(self.recipe, self.steps_per_epoch, self.is_head_first),
            loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=self.recipe.label_smoothing),
            metrics=[keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)],
            steps_per_execution=STEPS_PER_EXECUTION,
            jit_compile=keras.backend.backend() != "tensorflow",  # whose XLA is two to three times slower on a CPU
        )
        self.trainer.optimizer.build(self.model.trainable_variables)

    def variables(self) -> list[Any]:
        """Everything that training changes, in a fixed order: weights, random states, the optimizer's moments."""
        return [*self.model.variables, *self.trainer.optimizer.variables]


Callback = Callable[[Run], None]


def start(
    recipe: Recipe,
    data: Data,
    models: Mapping[str, Network] = MODELS,
    weights: Mapping[str, Layers] | None = None,
    batch_size: int | None = None,
) -> Run:
    """A compiled model with fresh weights, drawn from the recipe's seed alone, or pretrained: `weights`, by body.

    A smoke run does without pretrained weights. `batch_size` goes above the recipe's, for a memory that is too small.
    Raises InputError for a recipe that does not fit its network, and for pretrained weights that are missing.
    """
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    model = build(recipe, data.image_size, models)
    body = models[recipe.network].pretrained
    if body in (weights or {}):
        put((weights or {})[body], model)
    elif body and not data.is_smoke:
        raise InputError(f"{recipe.network} starts from the ImageNet weights of {body}; give them to it.")
    chance = None if data.is_smoke else (chance_level(data.train.labels), chance_level(data.validation.labels))
    thawed = thawed_layers(model) if recipe.head_epochs else []
    trained, batch = trainer(model, data.train), batch_size or recipe.batch_size
    run = Run(recipe, model, trained, _weights_hash(model), batch, len(data.train), chance, thawed=thawed)
    run.compile()
    return run


def train(run: Run, data: Data, callbacks: Sequence[Callback] = ()) -> Run:
    """Train until `run.stop_reason` says why not, from wherever `run` stands. Callbacks are called after each epoch."""
    for _ in epochs(run, data):
        for callback in callbacks:
            callback(run)
    return run


def epochs(run: Run, data: Data) -> Iterator[EpochRow]:
    """Train as `train` does, an epoch at a time."""
    while not run.stop_reason:
        row, scores = _train_epoch(run, data)
        run.history.append(row)
        if run.is_best:
            run.best_weights, run.best_scores = run.model.get_weights(), scores
        yield row


def score(model: keras.Model, split: Split, training_batch: int = 32) -> np.ndarray:
    """The raw scores of a split's images, in order: (n,) float32 logits, positive for FAKE.

    `training_batch` is the batch for which memory was enough; without gradients it is enough for several times that.
    """
    return score_images(forward(model), split.images, 4 * training_batch)


def score_images(passed: Callable[[np.ndarray], Any], images: np.ndarray, batch: int) -> np.ndarray:
    """The raw scores (n,) float32 of images (n, side, side, 3) uint8, by what `forward` gives, `batch` at a time."""
    parts = [np.asarray(passed(images[at : at + batch])) for at in range(0, len(images), batch)]
    return np.concatenate([np.zeros((0, 1)), *parts])[:, 0].astype(np.float32)


def score_best(run: Run, data: Data) -> dict[str, np.ndarray]:
    """The scores of validation and test by the weights of the best epoch. The only place where test is looked at."""
    run.model.set_weights(run.best_weights)
    scores = run.best_scores
    if scores is None:
        scores = score(run.model, data.validation, run.batch_size)
    started = time.perf_counter()
    test = score(run.model, data.test, run.batch_size)
    run.seconds_per_image = (time.perf_counter() - started) / max(1, len(test))
    return {"validation": scores, "test": test}


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


def chance_level(labels: np.ndarray) -> float:
    """The accuracy, 0–1, that blind answers may reach: the larger label's share, and two standard errors more."""
    share = float(max(np.mean(labels), 1 - np.mean(labels)))
    return share + 2 * math.sqrt(share * (1 - share) / len(labels))


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
    if recipe.pause_epoch and len(history) >= recipe.pause_epoch:
        return PAUSED
    patience, rows = recipe.early_stopping_epochs, history[recipe.head_epochs :]
    if patience and len(rows) - _best_loss_epoch(rows) >= patience:
        return f"no lower validation loss in {patience} epochs"
    return None


def learning_rate(recipe: Recipe, history: Sequence[EpochRow]) -> float:
    """The learning rate of the epoch after this history, for the schedules that change between epochs only."""
    stage = 0 if len(history) < recipe.head_epochs else recipe.head_epochs
    rate, waited, best = _first_rate(recipe, len(history) < recipe.head_epochs), 0, math.inf
    for row in history[stage:] if recipe.schedule == "plateau" else ():
        waited = 0 if row["validation_loss"] < best else waited + 1
        best = min(best, row["validation_loss"])
        if waited >= recipe.plateau_epochs:
            rate, waited = rate / 2, 0
    return rate


def _first_rate(recipe: Recipe, is_head_first: bool) -> float:
    """The rate that a stage of training starts with."""
    is_fine_tuning = recipe.head_epochs and not is_head_first
    return recipe.learning_rate / 10 if is_fine_tuning else recipe.learning_rate


def _train_epoch(run: Run, data: Data) -> tuple[EpochRow, np.ndarray]:
    """The next epoch's row, and the scores of the validation images after it."""
    started = time.perf_counter()
    epoch = len(run.history) + 1
    recipe = run.recipe
    if run.thawed and epoch == recipe.head_epochs + 1:
        run.compile()
    if recipe.schedule != "cosine":
        run.trainer.optimizer.learning_rate.assign(learning_rate(recipe, run.history))
    rate = float(run.trainer.optimizer.learning_rate)
    batches = training_batches(data.train, run.batch_size, recipe.seed, epoch)
    logs = run.trainer.fit(batches, epochs=1, shuffle=False, verbose=0).history
    scores = score(run.model, data.validation, run.batch_size)
    validation = metrics(data.validation.labels, scores)
    row = {
        "epoch": epoch,
        **{f"train_{name}": float(logs[name][0]) for name in ("loss", "accuracy")},
        **{f"validation_{name}": value for name, value in validation.items()},
        "learning_rate": rate,
        "wall_seconds": time.perf_counter() - started,
    }
    return row, scores


def _optimizer(recipe: Recipe, steps_per_epoch: int, is_head_first: bool) -> keras.optimizers.Optimizer:
    rate: Any = _first_rate(recipe, is_head_first)
    if recipe.schedule == "cosine":
        epochs = recipe.head_epochs if is_head_first else recipe.epochs - recipe.head_epochs
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=max(1, epochs) * steps_per_epoch)
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
