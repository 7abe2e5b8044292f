"""Training, scoring and gradients on TensorFlow.

`fit` is fed with batches that are cut out of the arrays some dozens at a time: one numpy gather feeds that many steps,
so that Python's time does not show, and the arrays, shared by all trials of a node, are never copied.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.client import device_lib

from trainables.training.selection import Split

_STEPS_PER_EXECUTION = 32


def set_up(threads: int, deterministic: bool = False, has_gpu: bool = False) -> None:
    """Limit this process to that many threads, and to the GPU memory that it needs, before TensorFlow first computes.

    If `deterministic`, a GPU computes the same bits each time; `has_gpu` matters to JAX alone. A process that has
    computed cannot change its limits: it must have been set up with the same number.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # TensorFlow has computed before
        assert tf.config.threading.get_intra_op_parallelism_threads() == threads


def use_cpu() -> None:
    """Take the CPU, as TensorFlow does where CUDA_VISIBLE_DEVICES hides all GPUs."""


def gpus() -> int:
    """How many GPUs this process sees."""
    return len(tf.config.list_logical_devices("GPU"))


def peak_bytes() -> int | None:
    """The most memory of its first GPU that this process has used; None without a GPU."""
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"]) if gpus() else None


@functools.cache
def gpu_bytes() -> int:
    """The memory of the GPU that this process may use; 0 on a CPU."""
    if not tf.config.list_logical_devices("GPU"):
        return 0
    devices = device_lib.list_local_devices()
    return next(int(device.memory_limit) for device in devices if device.device_type == "GPU")


def compile_options() -> dict[str, Any]:
    """Options of Keras's `compile`. XLA is two to three times slower on a CPU; Keras does without where a layer must.

    TensorFlow loops over the steps of an execution without returning to Python.
    """
    return {"steps_per_execution": _STEPS_PER_EXECUTION, "jit_compile": gpu_bytes() > 0}


def batches(split: Split, order: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """One epoch for `fit`: images (b, h, w, 3) uint8 and labels (b, 1) float32, two batches ahead."""
    images = split.images
    dataset = tf.data.Dataset.from_generator(
        lambda: _stacks(split, order, batch_size),
        output_signature=(
            tf.TensorSpec((None, None, *images.shape[1:]), images.dtype),
            tf.TensorSpec((None, None, 1), tf.float32),
        ),
    )
    options = tf.data.Options()
    # tf.data's autotuner sleeps ever longer, and the end of an epoch waits for it to wake: up to half of a short epoch.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    steps = tf.data.experimental.assert_cardinality(math.ceil(len(order) / batch_size))
    return dataset.unbatch().apply(steps).prefetch(2).with_options(options)


def _stacks(split: Split, order: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield whole batches, (k, b, …), for up to so many steps at a time, and an incomplete last one alone."""
    whole, at_once = len(order) // batch_size * batch_size, batch_size * _STEPS_PER_EXECUTION
    for indices in filter(len, np.split(order, [*range(at_once, whole, at_once), whole])):
        size = min(batch_size, len(indices))
        stacked = split.images[indices].reshape(-1, size, *split.images.shape[1:])
        yield stacked, split.labels[indices].astype(np.float32).reshape(-1, size, 1)


def epoch_program(
    model: keras.Model, images: np.ndarray, labels: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], None]:
    """One epoch of a compiled model as one program, over images and labels that it puts into the device's memory.

    It takes the images' order: whole batches (steps, b) int32, and an incomplete last one (r,), r from 0.
    """
    resident = tf.Variable(images, trainable=False), tf.Variable(labels, trainable=False)

    def step(indices: tf.Tensor) -> None:
        # Of a variable, not of its value, this is ResourceGather, which GPUs have for uint8 too; GatherV2 they lack.
        model.train_step(tuple(tf.gather(variable, indices) for variable in resident))

    @tf.function(autograph=False, jit_compile=model.jit_compile)  # type: ignore[untyped-decorator]
    def program(order: tf.Tensor, rest: tf.Tensor) -> None:
        def body(number: tf.Tensor) -> tuple[tf.Tensor]:
            step(order[number])
            return (number + 1,)

        tf.while_loop(lambda number: number < order.shape[0], body, [0], parallel_iterations=1)
        if rest.shape[0]:
            step(rest)

    return program  # type: ignore[no-any-return]


def stated_bytes(model: keras.Model, images: np.ndarray, batch_size: int) -> int:
    """Return 0: of a program's memory TensorFlow states nothing."""
    return 0


def forward(model: keras.Model) -> Callable[[np.ndarray], tf.Tensor]:
    """The model's compiled forward pass: images (n, h, w, 3) uint8 → (n, 1), or batches (k, n, h, w, 3) → (k, n, 1).

    Keras's `predict` takes twice as long on 10,000 images: it unrolls the steps of an execution, and traces them anew
    for every number of steps.
    """

    def logits(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    one = tf.function(logits, input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)])

    @tf.function(autograph=False, jit_compile=all(layer.supports_jit for layer in model.layers))  # type: ignore[untyped-decorator]
    def many(images: tf.Tensor) -> tf.Tensor:  # by number: GPUs have no lists of uint8
        return tf.map_fn(
            lambda number: logits(images[number]), tf.range(images.shape[0]), fn_output_signature=tf.float32
        )

    return lambda images: many(images) if len(images.shape) == 5 else one(images)


def gradient(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The gradient of each output with respect to its own inputs (n, …) float32, outside training: (n, …) float32.

    It is computed as that of their sum: outside training, images do not influence each other.
    """
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = keras.ops.sum(model(inputs, training=False))
    return np.asarray(tape.gradient(total, inputs))
