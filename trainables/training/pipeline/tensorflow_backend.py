"""Batches and gradients on TensorFlow.

On a CPU, batches are cut out of the arrays some dozens at a time: one numpy gather feeds that many steps, so that
Python's time does not show, and the arrays, shared by all trials of a node, are never copied. On a GPU, the training
images lie in its memory, and only indices are fed.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainables.training.pipeline.batches import ResidentTrainer, epoch_order
from trainables.training.selection import Split

#: TensorFlow loops over this many steps without returning to Python.
STEPS_PER_EXECUTION = 32
#: TensorFlow's XLA is two to three times slower on a CPU.
JIT_COMPILE = False


def set_up(threads: int) -> None:
    """Limit this process to that many threads, and to the GPU memory that it needs, before TensorFlow first computes.

    A process that has computed cannot change its limits: it must have been set up with the same number.
    """
    try:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # TensorFlow has computed before
        assert tf.config.threading.get_intra_op_parallelism_threads() == threads


def is_resident() -> bool:
    """Whether training images are kept in a device's memory, rather than in the node's shared one: on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def trainer(model: keras.Model, split: Split) -> keras.Model:
    """The model to compile and fit on `training_batches`: `model`, or on a GPU one around it that holds the images."""
    return ResidentTrainer(model, split.images) if is_resident() else model


def training_batches(split: Split, batch_size: int, seed: int, epoch: int) -> tf.data.Dataset:
    """One epoch for `trainer`, in the order of (seed, epoch): images and labels (b, 1) float32.

    The images are (b, h, w, 3) uint8, or indices (b,) int32 if the trainer holds them.
    """
    inputs = np.arange(len(split), dtype=np.int32) if is_resident() else split.images
    order = epoch_order(split, seed, epoch)
    dataset = tf.data.Dataset.from_generator(
        lambda: _stacks(inputs, split.labels, order, batch_size),
        output_signature=(
            tf.TensorSpec((None, None, *inputs.shape[1:]), inputs.dtype),
            tf.TensorSpec((None, None, 1), tf.float32),
        ),
    )
    options = tf.data.Options()
    # tf.data's autotuner sleeps ever longer, and the end of an epoch waits for it to wake: up to half of a short epoch.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    steps = tf.data.experimental.assert_cardinality(math.ceil(len(order) / batch_size))
    return dataset.unbatch().apply(steps).prefetch(2).with_options(options)


def _stacks(
    inputs: np.ndarray, labels: np.ndarray, order: np.ndarray, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield whole batches, (k, b, …), up to STEPS_PER_EXECUTION at a time, and an incomplete last one alone."""
    whole = len(order) // batch_size * batch_size
    stops = [*range(batch_size * STEPS_PER_EXECUTION, whole, batch_size * STEPS_PER_EXECUTION), whole]
    for indices in filter(len, np.split(order, stops)):
        size = min(batch_size, len(indices))
        stacked = inputs[indices].reshape(-1, size, *inputs.shape[1:])
        yield stacked, labels[indices].astype(np.float32).reshape(-1, size, 1)


@functools.lru_cache(maxsize=1)
def forward(model: keras.Model) -> Callable[[np.ndarray], Any]:
    """The model's compiled forward pass: (n, h, w, 3) uint8 → (n, 1).

    Keras's `predict` takes twice as long on 10,000 images: it unrolls the steps of an execution, and traces them anew
    for every number of steps.
    """
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    return tf.function(lambda images: model(images, training=False), input_signature=signature)  # type: ignore[no-any-return]


def gradient(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The gradient of each output with respect to its own inputs (n, …) float32, outside training: (n, …) float32.

    It is computed as that of their sum: outside training, images do not influence each other.
    """
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = keras.ops.sum(model(inputs, training=False))
    return np.asarray(tape.gradient(total, inputs))
