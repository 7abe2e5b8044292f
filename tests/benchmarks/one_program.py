"""An epoch as one compiled program, for JAX: a prototype of what training on a GPU could be, which `gpu.py` measures.

A scan runs all steps of an epoch over images that lie in the device's memory, so that the host launches one program
instead of thousands. Several copies of a network, with other seeds, may train side by side in the same program.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import keras.src.backend.jax.nn
import numpy as np

from trainables import MODELS, Recipe
from trainables.training.network import build
from trainables.training.schedule import optimizer

#: The values of the trainable variables, of the others, and of the optimizer's.
State = tuple[list[Any], list[Any], list[Any]]


class Program:
    """One network's compiled epoch and scoring pass, for as many copies as there are seeds."""

    def __init__(self, recipe: Recipe, image_size: int, seeds: Sequence[int] = (0,)) -> None:
        drawn = [self._draw(recipe, image_size, seed) for seed in seeds]
        self.model, self.optimizer = drawn[0][0], drawn[0][1]
        self.state: State = jax.tree.map(lambda *values: jnp.stack(values), *(state for _, _, state in drawn))
        self._loss = keras.losses.BinaryCrossentropy(from_logits=True)

    @staticmethod
    def _draw(recipe: Recipe, image_size: int, seed: int) -> tuple[Any, Any, State]:
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy(recipe.precision)
        model, rule = build(recipe, image_size, MODELS), optimizer(recipe, [], 1)
        rule.build(model.trainable_variables)
        variables = (model.trainable_variables, model.non_trainable_variables, rule.variables)
        return model, rule, tuple([variable.value for variable in part] for part in variables)

    def _step(self, images: Any, labels: Any, state: State, indices: Any) -> tuple[State, Any]:
        def loss(trainable: list[Any], others: list[Any]) -> tuple[Any, list[Any]]:
            logits, others = self.model.stateless_call(trainable, others, images[indices], training=True)
            return self._loss(labels[indices][:, None], logits), others

        trainable, others, moments = state
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, others)
        trainable, moments = self.optimizer.stateless_apply(moments, gradients, trainable)
        return (trainable, others, moments), value

    def epoch(self, unroll: int = 1) -> Callable[..., tuple[State, Any]]:
        """(state of k copies, images, labels, order (steps, k, batch)) → (state, losses (steps, k)); state is donated.

        One copy is trained without vmap, whose convolutions are grouped.
        """

        def copies(images: Any, labels: Any, state: State, indices: Any) -> tuple[State, Any]:
            step = functools.partial(self._step, images, labels)
            if indices.shape[0] > 1:
                return jax.vmap(step)(state, indices)
            state, loss = step(jax.tree.map(lambda value: value[0], state), indices[0])
            return jax.tree.map(lambda value: value[None], state), loss[None]

        @functools.partial(jax.jit, donate_argnums=0)
        def epoch(state: State, images: Any, labels: Any, order: Any) -> tuple[State, Any]:
            return jax.lax.scan(functools.partial(copies, images, labels), state, order, unroll=unroll)

        return epoch

    def score(self) -> Callable[[State, Any], Any]:
        """(state of k copies, images (chunks, n, h, w, 3)) → logits (k, chunks · n)."""

        def one(state: State, images: Any) -> Any:
            def chunk(part: Any) -> Any:
                return self.model.stateless_call(state[0], state[1], part, training=False)[0][:, 0]

            return jax.lax.map(chunk, images).reshape(-1)

        @jax.jit
        def score(state: State, images: Any) -> Any:
            copies = [jax.tree.map(operator.itemgetter(i), state) for i in range(len(state[0][0]))]
            return jnp.stack([one(copy, images) for copy in copies])

        return score


def orders(count: int, batch: int, seeds: Sequence[int], epoch: int) -> np.ndarray:
    """The order of an epoch for each seed, without an incomplete last batch: (steps, k, batch) int32."""
    permutations = [np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32) for seed in seeds]
    return np.stack([order[: count // batch * batch].reshape(-1, batch) for order in permutations], axis=1)


def use_matrix_products() -> None:
    """Make Keras's convolutions products of shifted slices and a matrix, which vmap turns into one batched product."""
    convolution = keras.src.backend.nn.conv

    def conv(inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", *more: Any, **named: Any) -> Any:
        if inputs.ndim != 4:
            return convolution(inputs, kernel, strides, padding, *more, **named)
        height, width, channels, filters = kernel.shape
        down, right = (strides, strides) if isinstance(strides, int) else strides
        if padding.lower() == "same":
            pads = [
                max((-(-n // s) - 1) * s + k - n, 0)
                for n, s, k in zip(inputs.shape[1:3], (down, right), (height, width), strict=True)
            ]
            inputs = jnp.pad(inputs, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
        rows, columns = (inputs.shape[1] - height) // down + 1, (inputs.shape[2] - width) // right + 1
        slices = [
            inputs[:, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * right + 1 : right]
            for i in range(height)
            for j in range(width)
        ]
        matrix = jnp.reshape(jnp.asarray(kernel), (height * width * channels, filters))
        return jnp.einsum("bhwc,co->bhwo", jnp.concatenate(slices, axis=-1), matrix.astype(inputs.dtype))

    keras.src.backend.nn.conv = keras.src.backend.jax.nn.conv = conv
