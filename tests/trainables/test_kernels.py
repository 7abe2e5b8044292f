"""On a GPU, TensorFlow has kernels for all that trains and scores: without, it copies to the CPU and back.

Its wheel is built for CUDA and names its kernels on any machine.
"""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from support.networks import split_of
from trainables import MODELS, Recipe
from trainables.layers.blocks import Augmentation
from trainables.training.loop import start
from trainables.training.pipeline.backend import backend
from trainables.training.selection import Data

pytestmark = pytest.mark.slow

#: What runs no kernel of its own: calls, loops, and the inputs and outputs of functions.
CALLS = {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf"}
NO_KERNELS = CALLS | {"Placeholder", "NoOp"}
LARGE = {"densenet121", "densenet121-transfer", "resnet50", "resnet50-transfer", "vgg16", "vgg19", "vgg16-transfer"}
LARGE |= {"vgg19-transfer"}
LARGEST = {"densenet121", "resnet50"}  # whose bodies those of transfer networks are


@pytest.fixture(scope="module")
def smoke() -> Data:
    return Data(split_of(40, 0), split_of(40, 1), split_of(40, 2), "fingerprint", is_smoke=True)


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "gpu_bytes", lambda: 2**40)
    tf.function(lambda x: x + 1, jit_compile=True)(1)  # registers XLA's kernels


def nodes(function: Any) -> Iterator[tuple[tf.compat.v1.NodeDef, bool]]:
    """The operations of a traced function and of those it calls, and whether XLA compiles them."""
    graph = function.graph.as_graph_def()
    library = {each.signature.name: each for each in graph.library.function}
    pending: list[tuple[Any, bool]] = [(graph.node, False)]
    while pending:
        operations, is_compiled = pending.pop()
        for node in operations:
            yield node, is_compiled
            called = [attribute.func.name for attribute in node.attr.values() if attribute.func.name]
            inner = [library[name] for name in called]
            pending += [(each.node_def, is_compiled or each.attr["_XlaMustCompile"].b) for each in inner]


def operations_of(function: Any, *inputs: np.ndarray) -> list[tuple[tf.compat.v1.NodeDef, bool]]:
    """The operations of a function for such inputs."""
    shapes = [tf.TensorSpec(array.shape, array.dtype) for array in inputs]
    return list(nodes(tf.function(function, autograph=False).get_concrete_function(*shapes)))


def has_kernel(node: tf.compat.v1.NodeDef, is_compiled: bool) -> bool:
    """Whether a GPU has a kernel for the operation with its types: XLA's where XLA compiles it."""
    return any(
        kernel.device_type in (("XLA_GPU_JIT",) if is_compiled else ("GPU", "DEFAULT"))
        and all(
            node.attr[constraint.name].type in constraint.allowed_values.list.type
            or set(node.attr[constraint.name].list.type) & set(constraint.allowed_values.list.type)
            for constraint in kernel.constraint
        )
        for kernel in get_registered_kernels_for_op(node.op).kernel
    )


def without_kernels(data: Data, network: str, **hyperparameters: Any) -> set[str]:
    """The operations, with their types, for which a GPU has no kernel, where images lie in its memory.

    XLA compiles the convolutions of every network, but where Keras says that a layer must do without.
    """
    run = start(Recipe.of({"network": network, "batch_size": 8, **hyperparameters}), data)
    images, labels = data.train.images[:20], data.train.labels[:20].astype(np.float32)[:, None]
    run.model._symbolic_build(data_batch=(images, labels))
    epoch, forward = backend.epoch_program(run.model, images, labels), backend.forward(run.model)
    order, batches = np.zeros((2, 8), np.int32), np.zeros((2, 8, *images.shape[1:]), np.uint8)
    operations = [*operations_of(epoch, order, order[0, :4]), *operations_of(forward, batches)]
    for name in ("Conv2D", "Conv2DBackpropFilter"):
        compiled = {is_compiled for node, is_compiled in operations if node.op == name}
        assert compiled == {all(layer.supports_jit for layer in run.model.layers)}, name
    return {
        f"{node.op} of {', '.join(sorted(tf.as_dtype(each.type).name for each in node.attr.values() if each.type))}"
        for node, is_compiled in operations
        if node.op not in NO_KERNELS and not has_kernel(node, is_compiled)
    }


def tier(network: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] * (network in LARGE) + [pytest.mark.disaster] * (network in LARGEST)


@pytest.mark.parametrize("network", [pytest.param(name, marks=tier(name)) for name in MODELS])
def test_a_gpu_has_all_kernels_of_a_network(network: str, smoke: Data) -> None:
    assert without_kernels(smoke, network) == set()


@pytest.mark.parametrize(
    "hyperparameters",
    [
        *({"arguments": {"augmentation": name, "batch_norm": True, "dropout": 0.5}} for name in get_args(Augmentation)),
        *({"optimizer": name, "weight_decay": 0.01, "schedule": "cosine"} for name in ("adam", "adamw", "sgd")),
        *({"precision": name, "label_smoothing": 0.1} for name in ("mixed_bfloat16", "mixed_float16")),
    ],
    ids=lambda hyperparameters: " ".join(map(str, hyperparameters.values())),
)
def test_a_gpu_has_all_kernels_of_a_recipe(hyperparameters: dict[str, Any], smoke: Data) -> None:
    assert without_kernels(smoke, "age-c2-f1", **hyperparameters) == set()


def test_a_gather_from_a_value_would_have_none(smoke: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    gather = tf.gather
    monkeypatch.setattr(tf, "gather", lambda variable, places: gather(tf.convert_to_tensor(variable), places))
    assert any("GatherV2" in operation and "uint8" in operation for operation in without_kernels(smoke, "custom-3"))
