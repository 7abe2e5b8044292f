"""An epoch of training: one compiled program over images in a GPU's memory, or Keras's `fit` on batches of them."""

from collections.abc import Callable

import keras
import numpy as np

from trainables.training.pipeline.backend import backend
from trainables.training.selection import Split

_SHARE = 1 / 4  # of a GPU's memory, that images may take to be kept there


class Trainer:
    """Trains a model on the images of a split, an epoch at a time.

    Both ways run Keras's own `train_step`. A program spares the host its work in each step: on a GPU, small networks
    train nine times as fast. A CPU computes convolutions in a loop five times as slowly. A program cannot be
    interrupted: who stops a trial waits for the end of its epoch.
    """

    def __init__(self, model: keras.Model, split: Split) -> None:
        self._model = model
        self._split = split
        self._program: Callable[[np.ndarray, np.ndarray], None] | None = None

    @property
    def is_resident(self) -> bool:
        """Whether the images are kept in a GPU's memory, and an epoch is one program."""
        return self._split.images.nbytes <= _SHARE * backend.gpu_bytes()

    def compile(self, optimizer: keras.optimizers.Optimizer, label_smoothing: float) -> None:
        """Compile the model with an optimizer, which is built for the layers that are trainable now."""
        self._model.compile(
            optimizer=optimizer,
            loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing),
            metrics=[keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)],
            **backend.compile_options(),
        )
        self._model.optimizer.build(self._model.trainable_variables)  # around the other, where float16 scales losses
        self._program = None

    def train_epoch(self, seed: int, epoch: int, batch_size: int) -> dict[str, float]:
        """Train on every image once, in the order of (seed, epoch). Returns mean `loss` and `accuracy` over images."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self._split)).astype(np.int32)
        if not self.is_resident:
            batches = backend.batches(self._split, order, batch_size)
            logs = self._model.fit(batches, epochs=1, shuffle=False, verbose=0).history
            return {name: float(logs[name][0]) for name in ("loss", "accuracy")}
        if self._program is None:
            images, labels = self._split.images, self._split.labels.astype(np.float32)[:, None]
            # What `fit` does first, and Keras has no public name for: make the variables of loss and metrics.
            self._model._symbolic_build(data_batch=(images[:1], labels[:1]))
            self._program = backend.epoch_program(self._model, images, labels)
        whole = len(order) // batch_size * batch_size
        self._model.reset_metrics()
        self._program(order[:whole].reshape(-1, batch_size), order[whole:])
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}
