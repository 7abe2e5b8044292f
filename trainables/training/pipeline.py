"""Arrays → batches. The only file that may import TensorFlow.

On a CPU, batches are cut out of the arrays some dozens at a time: one numpy gather feeds that many steps, so that
Python does not show beside them, and the arrays, shared by all trials of a machine, are never copied. On a GPU the
images lie in its memory, and only their places are fed.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from trainables.training.selection import Split

#: TensorFlow loops over so many steps without returning to Python; JAX would unroll them, and compile for minutes.
STEPS_PER_EXECUTION = 32 if keras.backend.backend() == "tensorflow" else 1


def set_up(threads: int) -> None:
    """Let this process compute with that many threads, and take of a GPU only the memory that it needs.

    Too late once TensorFlow has computed: then it says nothing.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    try:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # a worker that has run a trial before, with the same number
        assert tf.config.threading.get_intra_op_parallelism_threads() == threads


def trainer(model: keras.Model, split: Split) -> keras.Model:
    """What is to be compiled and fitted on `training_batches`: the model, or one around it that holds the images.

    Where there is a GPU, and on JAX, the images are laid into the device's memory once, and batches are cut out there.
    """
    return _Resident(model, split.images) if is_resident() else model


def is_resident() -> bool:
    """Whether training images are kept in a device's memory rather than in that which all trials share."""
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def training_batches(split: Split, batch_size: int, seed: int, epoch: int) -> Any:
    """One epoch for `trainer`, in the order that (seed, epoch) gives: images and labels (b, 1) float32.

    The images are (b, h, w, 3) uint8, or their places (b,) int32 if the trainer holds them.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(split)).astype(np.int32)
    return _Places(split, order, batch_size) if is_resident() else _image_batches(split, order, batch_size)


@functools.lru_cache(maxsize=1)
def forward(model: keras.Model) -> Callable[[np.ndarray], Any]:
    """The model's compiled forward pass: (n, h, w, 3) uint8 → (n, 1).

    Keras's `predict` unrolls the steps of an execution, and traces them anew for every number of steps: on 10,000
    images it took twice as long.
    """
    if keras.backend.backend() != "tensorflow":
        return lambda images: model.predict_on_batch(images)
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    return tf.function(lambda images: model(images, training=False), input_signature=signature)  # type: ignore[no-any-return]


def _image_batches(split: Split, order: np.ndarray, batch_size: int) -> Any:
    import tensorflow as tf

    size = split.images.shape[1:]
    signature = (tf.TensorSpec((None, None, *size), tf.uint8), tf.TensorSpec((None, None, 1), tf.float32))
    dataset = tf.data.Dataset.from_generator(lambda: _stacks(split, order, batch_size), output_signature=signature)
    options = tf.data.Options()
    # tf.data's autotuner sleeps ever longer, and the end of an epoch waits for it to wake: up to half of a short epoch.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    steps = math.ceil(len(order) / batch_size)
    dataset = dataset.unbatch().apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)
    return dataset.with_options(options)


def _stacks(split: Split, order: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches, stacked (k, b, …) while they are whole; an incomplete last batch comes alone."""
    whole = len(order) // batch_size * batch_size
    for start in range(0, whole, batch_size * STEPS_PER_EXECUTION):
        yield _stack(split, order[start : min(start + batch_size * STEPS_PER_EXECUTION, whole)], batch_size)
    if whole < len(order):
        yield _stack(split, order[whole:], len(order) - whole)


def _stack(split: Split, places: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    images = split.images[places]
    labels = split.labels[places].astype(np.float32)
    return images.reshape(-1, batch_size, *images.shape[1:]), labels.reshape(-1, batch_size, 1)


class _Resident(keras.Model):  # type: ignore[misc]
    """A model that is given places in an array of images, which the device holds, instead of images."""

    def __init__(self, model: keras.Model, images: np.ndarray) -> None:
        super().__init__(name="trainer")
        self.model = model
        self.images = self.add_weight(shape=images.shape, dtype="uint8", trainable=False, initializer="zeros")
        self.images.assign(images)

    def call(self, places: Any, training: bool | None = None) -> Any:
        """(b,) int32 → (b, 1) logits."""
        return self.model(keras.ops.take(self.images, places, axis=0), training=training)


class _Places(keras.utils.PyDataset):  # type: ignore[misc]
    """One epoch of (places (b,) int32, labels (b, 1) float32)."""

    def __init__(self, split: Split, order: np.ndarray, batch_size: int) -> None:
        super().__init__(workers=0)
        self._order, self._batch_size = order, batch_size
        self._labels = split.labels[order].astype(np.float32)[:, None]

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        batch = slice(index * self._batch_size, (index + 1) * self._batch_size)
        return self._order[batch], self._labels[batch]


def gradient(model: keras.Model, values: np.ndarray) -> np.ndarray:
    """How a model's outputs change with its inputs `values` (n, …) float32, outside training: (n, …) float32.

    It is the gradient of their sum. There images do not see each other, so each gets that of its own output.
    """
    if keras.backend.backend() != "tensorflow":
        import jax

        return np.asarray(jax.grad(lambda given: keras.ops.sum(model(given, training=False)))(values))
    import tensorflow as tf

    given = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(given)
        total = keras.ops.sum(model(given, training=False))
    return np.asarray(tape.gradient(total, given))
