"""The training loop. It knows nothing of Ray: `epochs(run, data)` runs in a debugger as it runs on a cluster.

Each epoch's order derives from (seed, epoch), and what a run does next from its history, so that a run resumed after
epoch k gives exactly the curve it would have given.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from data_prep import InputError
from trainables import MODELS
from trainables.layers.pretrained import Layers
from trainables.training import outcome
from trainables.training.metrics import epoch_metrics, right_bits
from trainables.training.network import Network, build, unfrozen_layers
from trainables.training.pipeline import Trainer, scorer
from trainables.training.recipe import Recipe
from trainables.training.schedule import begin_epoch, is_head_stage, optimizer
from trainables.training.selection import Data, Split


@dataclass
class Run:
    """A training run, as it stands after some epoch. The callbacks of `train` receive it."""

    recipe: Recipe
    model: keras.Model
    trainer: Trainer
    #: The model's compiled scoring: images and how many at once → logits.
    scorer: Callable[[np.ndarray, int], np.ndarray]
    #: A hash of the weights that training starts from.
    initial_weights: str
    #: Images per step: the recipe's, or fewer where memory is too short for that many.
    batch_size: int
    train_images: int
    #: What a network that has learnt nothing may reach; None where nobody judges that.
    chance: outcome.Chance | None
    #: The pretrained layers that train only after `head_epochs`.
    unfrozen: list[keras.Layer] = field(default_factory=list)
    history: list[outcome.EpochRow] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)
    #: Logits of the validation images by `best_weights`; None where those come from a checkpoint.
    best_scores: np.ndarray | None = None
    #: Seconds to score one test image; NaN until test is scored.
    seconds_per_image: float = math.nan

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the highest validation accuracy; the first of equals."""
        return outcome.best_epoch(self.history)

    @property
    def is_best(self) -> bool:
        """Whether the last epoch is the best so far."""
        return self.best_epoch == len(self.history)

    @property
    def stop_reason(self) -> str | None:
        """Why training has ended, in words; None while it goes on."""
        return outcome.stop_reason(self.recipe, self.history, self.chance, self.steps_per_epoch)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch."""
        return math.ceil(self.train_images / self.batch_size)

    def compile(self) -> None:
        """Compile with a fresh optimizer for the stage of the next epoch, whose layers it frees or freezes."""
        for layer in self.unfrozen:
            layer.trainable = not is_head_stage(self.recipe, self.history)
        self.trainer.compile(optimizer(self.recipe, self.history, self.steps_per_epoch), self.recipe.label_smoothing)

    def scores(self, split: Split) -> np.ndarray:
        """The scores of a split's images, in order: logits (n,) float32, positive for FAKE.

        A batch is four times that of training: without gradients, as many images fit into memory.
        """
        return self.scorer(split.images, 4 * self.batch_size)

    def variables(self) -> list[Any]:
        """Everything that training changes, in a fixed order: weights, random states, the optimizer's variables."""
        return [*self.model.variables, *self.model.optimizer.variables]


def start(
    recipe: Recipe,
    data: Data,
    models: Mapping[str, Network] = MODELS,
    weights: Mapping[str, Layers] | None = None,
    batch_size: int | None = None,
) -> Run:
    """Make a run at epoch 0: a compiled model whose fresh weights derive from the recipe's seed.

    A transfer network takes its pretrained weights from `weights`, by body; a smoke run does without them.
    `batch_size` replaces the recipe's where memory is too short for that. Raises InputError for a recipe that does not
    fit its network, and for missing pretrained weights.
    """
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    model = build(recipe, data.image_size, models)
    body, weights = models[recipe.network].pretrained, weights or {}
    if body in weights:
        for name, arrays in weights[body].items():
            model.get_layer(name).set_weights(list(arrays))
    elif body and not data.is_smoke:
        raise InputError(f"{recipe.network} starts from the ImageNet weights of {body}; give them to it.")
    run = Run(
        recipe,
        model,
        Trainer(model, data.train),
        scorer(model),
        hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()[:16],
        batch_size or recipe.batch_size,
        len(data.train),
        chance=None if data.is_smoke else outcome.Chance.of(data),
        unfrozen=unfrozen_layers(model) if recipe.head_epochs else [],
    )
    run.compile()
    return run


def train(run: Run, data: Data, callbacks: Sequence[Callable[[Run], None]] = ()) -> Run:
    """Train from wherever `run` stands until it has a `stop_reason`, and call each callback after each epoch."""
    for _ in epochs(run, data):
        for callback in callbacks:
            callback(run)
    return run


def epochs(run: Run, data: Data) -> Iterator[outcome.EpochRow]:
    """Train from wherever `run` stands until it has a `stop_reason`, and yield each epoch's row."""
    while not run.stop_reason:
        started = time.perf_counter()
        recipe, epoch = run.recipe, len(run.history) + 1
        if run.unfrozen and epoch == recipe.head_epochs + 1:
            run.compile()
        rate = begin_epoch(run.model.optimizer, recipe, run.history)
        means = run.trainer.train_epoch(recipe.seed, epoch, run.batch_size)
        scores = run.scores(data.validation)
        row = {
            "epoch": epoch,
            **{f"train_{name}": mean for name, mean in means.items()},
            **{f"validation_{name}": value for name, value in epoch_metrics(data.validation.labels, scores).items()},
            "validation_right": right_bits(data.validation.labels, scores),
            **rate,
            "wall_seconds": time.perf_counter() - started,
        }
        run.history.append(row)
        if run.is_best:
            run.best_weights, run.best_scores = run.model.get_weights(), scores
        yield row


def score_best(run: Run, data: Data) -> dict[str, np.ndarray]:
    """The scores of validation and test by the weights of the best epoch. Training scores test only here."""
    run.model.set_weights(run.best_weights)
    if run.best_scores is None:
        run.best_scores = run.scores(data.validation)
    started = time.perf_counter()
    test = run.scores(data.test)
    run.seconds_per_image = (time.perf_counter() - started) / max(1, len(test))
    return {"validation": run.best_scores, "test": test}
