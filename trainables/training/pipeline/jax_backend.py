"""Training, scoring and gradients on JAX."""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np

from trainables.training.selection import Split


def set_up(threads: int, deterministic: bool = False, has_gpu: bool = False) -> None:
    """Limit this process to that many threads on a CPU, before JAX first computes.

    If `deterministic`, a GPU computes the same bits each time.
    """
    if not has_gpu:  # for which one thread compiles five times as long as all of 16 processors
        os.environ["NPROC"] = str(threads)  # which XLA takes for the number of processors
    if deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true"


def use_cpu() -> None:
    """Take the CPU, in a process that has not computed yet and whose CUDA_VISIBLE_DEVICES hides all GPUs.

    JAX fails if it finds a driver without a GPU.
    """
    jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]


def gpus() -> int:
    """How many GPUs this process sees."""
    try:
        return len(jax.devices("gpu"))
    except RuntimeError as error:
        if "Unknown backend" not in str(error):
            raise
        return 0


def peak_bytes() -> int | None:
    """The most memory of its first GPU that this process has used; None without a GPU."""
    return int(jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]) if gpus() else None


def gpu_bytes() -> int:
    """The memory of the GPU that this process may use; 0 on a CPU."""
    return int((jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 0))


def compile_options() -> dict[str, Any]:
    """Options of Keras's `compile`. One step an execution: JAX would unroll several, and compile for minutes."""
    return {"steps_per_execution": 1, "jit_compile": True}


def batches(split: Split, order: np.ndarray, batch_size: int) -> keras.utils.PyDataset:
    """One epoch for `fit`: images (b, h, w, 3) uint8 and labels (b, 1) float32.

    For a GPU a thread gathers the batch after the next, while Keras sends the next one.
    """
    return _Batches(split, order, batch_size)


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self, split: Split, order: np.ndarray, batch_size: int) -> None:
        super().__init__(workers=1 if gpu_bytes() else 0, max_queue_size=1)
        self._split = split
        self._indices = np.split(order, range(batch_size, len(order), batch_size))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        indices = self._indices[index]
        return self._split.images[indices], self._split.labels[indices].astype(np.float32)[:, None]


def epoch_program(
    model: keras.Model, images: np.ndarray, labels: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], None]:
    """One epoch of a compiled model as one program, over images and labels that it puts into the device's memory.

    It takes the images' order: whole batches (steps, b) int32, and an incomplete last one (r,), r from 0.
    """
    device_images, device_labels = jax.device_put((images, labels))
    program = compiled_epoch(model)

    def train(order: np.ndarray, rest: np.ndarray) -> None:
        variables = training_variables(model)
        state = program(_values(variables), device_images, device_labels, order, rest)
        for part, values in zip(variables, state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)

    return train


def compiled_epoch(model: keras.Model) -> jax.stages.Wrapped:
    """The program itself: (state, images, labels, order, rest) → state, the values of `training_variables`."""

    @functools.partial(jax.jit, donate_argnums=0)
    def program(state: Any, images: jax.Array, labels: jax.Array, order: jax.Array, rest: jax.Array) -> Any:
        def step(state: Any, indices: jax.Array) -> tuple[Any, None]:
            return model.train_step(state, (images[indices], labels[indices]))[1], None

        state, _ = jax.lax.scan(step, state, order)
        return step(state, rest)[0] if len(rest) else state

    return program


def stated_bytes(
    model: keras.Model, images: np.ndarray, batch_size: int, place: jax.sharding.Sharding | None = None
) -> int:
    """What XLA states that an epoch's program takes of the device's memory, its images included, in bytes.

    It is compiled for this process's device, or for that of `place`, and no image is sent there.
    """
    steps, rest = divmod(len(images), batch_size)
    labels, order = np.zeros((len(images), 1), np.float32), np.zeros((steps, batch_size), np.int32)
    arguments = (_values(training_variables(model)), images, labels, order, np.zeros(rest, np.int32))
    shapes = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=place),  # type: ignore[no-untyped-call]
        arguments,
    )
    memory: Any = compiled_epoch(model).lower(*shapes).compile().memory_analysis()
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes  # without what lies in the arguments' place
    return int(memory.temp_size_in_bytes + memory.argument_size_in_bytes + results)


def training_variables(model: keras.Model) -> list[list[Any]]:
    """What a compiled model's `train_step` takes and gives on JAX, in its order."""
    weights = [model.trainable_variables, model.non_trainable_variables]
    return [*weights, model.optimizer.variables, model.metrics_variables]


def _values(variables: list[list[Any]]) -> tuple[list[jax.Array], ...]:
    return tuple([variable.value for variable in part] for part in variables)


def forward(model: keras.Model) -> Callable[[np.ndarray], jax.Array]:
    """The model's compiled forward pass: images (n, h, w, 3) uint8 → (n, 1), or batches (k, n, h, w, 3) → (k, n, 1)."""

    @jax.jit
    def program(trainable: list[jax.Array], others: list[jax.Array], images: jax.Array) -> jax.Array:
        def logits(batch: jax.Array) -> jax.Array:
            return model.stateless_call(trainable, others, batch, training=False)[0]  # type: ignore[no-any-return]

        return jax.lax.map(logits, images) if images.ndim == 5 else logits(images)

    return lambda images: program(*_values(training_variables(model)[:2]), images)


def gradient(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The gradient of each output with respect to its own inputs (n, …) float32, outside training: (n, …) float32.

    It is computed as that of their sum: outside training, images do not influence each other.
    """
    return np.asarray(jax.grad(lambda inputs: keras.ops.sum(model(inputs, training=False)))(images))
