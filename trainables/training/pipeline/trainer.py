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
            self._make_metrics()
            labels = self._split.labels.astype(np.float32)[:, None]
            self._program = backend.epoch_program(self._model, self._split.images, labels)
        whole = len(order) // batch_size * batch_size
        self._model.reset_metrics()
        self._program(order[:whole].reshape(-1, batch_size), order[whole:])
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}

    def stated_bytes(self, batch_size: int) -> int:
        """What the compiler states that an epoch takes of a GPU's memory, in bytes; 0 if it states nothing."""
        self._make_metrics()
        images = self._split.images if self.is_resident else self._split.images[:batch_size]
        return backend.stated_bytes(self._model, images, batch_size)

    def _make_metrics(self) -> None:
        """Make the variables of loss and metrics, as `fit` does first, and Keras has no public name for."""
        self._model._symbolic_build(data_batch=(self._split.images[:1], np.zeros((1, 1), np.float32)))
