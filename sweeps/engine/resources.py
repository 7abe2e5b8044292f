"""What each trial asks of the cluster."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from data_prep import InputError
from sweeps.engine import cluster
from sweeps.engine.inputs import Inputs
from sweeps.engine.options import Options
from sweeps.engine.sweep import Strategy
from trainables.training.cost import training_bytes
from trainables.training.recipe import Recipe
from trainables.worker.actor import stated_bytes

_GIB = float(2**30)
_PROCESS_BYTES = 1.5 * _GIB  # of a GPU, for CUDA and cuDNN, whatever the network
_SMALL_FLOPS = 50_000_000  # an image: fewer do not fill more than two threads
_ROUNDING = 1e-6
_SECONDS_TO_COMPILE = 200.0  # a network with 121 layers takes 110
_UNKNOWN_GPU_BYTES = 16 * _GIB  # of a GPU that nvidia-smi does not tell of


def request(
    strategy: Strategy, inputs: Inputs, options: Options, rows: Iterable[Mapping[str, Any]] = ()
) -> dict[str, float]:
    """CPUs and GPUs a trial, the same for all trials: Ray reuses a warm actor only for an equal request.

    `auto` CPUs are those of all nodes that can run a trial, shared among the concurrent trials, one at least; a small
    network does not fill more than two. `auto` GPUs are shared among as many trials as these CPUs admit, and memory
    allows: by what earlier trials took, which `rows` of the record say, by what JAX states, or by an estimate. Raises
    InputError if no node could ever run a trial.
    """
    nodes, recipes = cluster.nodes(), [*strategy.representatives, *strategy.follow_ups]
    cpus, gpus = options.cpus_per_trial, options.gpus_per_trial
    with_gpus = [node for node in nodes if node.get("GPU")] if gpus != 0 else []
    if cpus is None:
        node_cpus = [node["CPU"] for node in with_gpus or nodes if node.get("CPU")] or [1.0]
        flops = max(inputs.cost(recipe).flops for recipe in recipes)
        cpus = cpu_share(strategy.concurrency, sum(node_cpus), min(node_cpus), flops)
    if gpus is None and with_gpus:
        trials = min(strategy.concurrency, sum(_fitting({"cpu": cpus}, node) for node in with_gpus))
        count, gpus = sum(node["GPU"] for node in with_gpus), 1.0
        if trials > count:  # else none shares a GPU, however much memory it takes
            most = _memory(recipes, inputs, options, rows)
            memory = (most + _PROCESS_BYTES) / cluster.smallest_gpu_bytes(_UNKNOWN_GPU_BYTES)
            gpus = gpu_share(trials, count, memory)
    for name, amount in {"CPU": cpus, "GPU": gpus or 0.0}.items():
        largest = max(node.get(name, 0) for node in nodes)
        if amount > largest:
            remedy = "ask for less" if largest else "give --gpus-per-trial 0"
            raise InputError(f"A trial asks for {amount:g} {name}s and no node has more than {largest:g}; {remedy}.")
    return {"cpu": cpus, "gpu": gpus or 0.0}


def _memory(recipes: Iterable[Recipe], inputs: Inputs, options: Options, rows: Iterable[Mapping[str, Any]]) -> int:
    """The bytes of a GPU that the largest trial takes: the most that earlier ones of its kind took, or an estimate.

    Of the recipes without earlier trials, that with the largest estimate is compiled where the backend is JAX, and
    takes what JAX states.
    """
    peaks = Counter[tuple[Any, ...]]()
    for row in rows:
        kind = (row["network"], row["arguments"], row["precision"], row.get("batch_size_used"))
        peaks[kind] = max(peaks[kind], row.get("peak_device_bytes") or 0)
    images = inputs.data.subset(1).train.images  # each trial's process holds its own
    taken, estimates = list[int](), dict[Recipe, int]()
    for recipe in recipes:
        if peak := peaks[recipe.network, recipe.arguments, recipe.precision, recipe.batch_size]:
            taken.append(peak)
        else:
            estimates[recipe] = training_bytes(inputs.cost(recipe), recipe) + images.nbytes
    if estimates:
        largest = max(estimates, key=estimates.__getitem__)
        taken.append(_stated(largest, inputs, options.mps, len(images)) or estimates[largest])
    return max(taken)


def _stated(recipe: Recipe, inputs: Inputs, has_mps: bool, images: int) -> int:
    """What JAX states that a trial takes of a GPU, in bytes; 0 if it cannot be asked, and with TensorFlow."""
    if os.environ.get("KERAS_BACKEND") != "jax":
        return 0
    asked = (inputs.token, "jax", has_mps, recipe, inputs.data.image_size, images)
    return int(cluster.on_gpu_node(stated_bytes, *asked, seconds=_SECONDS_TO_COMPILE) or 0)


def room(asked: dict[str, float]) -> int:
    """How many trials with this request fit on the cluster's nodes at once, one at least."""
    return max(1, sum(_fitting(asked, node) for node in cluster.nodes()))


def _fitting(asked: dict[str, float], node: dict[str, float]) -> int:
    """How many trials with this request fit on a node. A share of a GPU is one of a single GPU."""
    fitting = {name: node.get(name.upper(), 0) / amount for name, amount in asked.items() if amount}
    if 0 < asked.get("gpu", 0) < 1:
        fitting["gpu"] = node.get("GPU", 0) * math.floor(1 / asked["gpu"] + _ROUNDING)
    return math.floor(min(fitting.values()) + _ROUNDING)


def cpu_share(trials: int, cpus: float, node_cpus: float, flops: int) -> float:
    """The CPUs, and so threads, of a trial: more than one only if there are two CPUs or more per trial."""
    most = node_cpus if flops > _SMALL_FLOPS else min(2, node_cpus)
    return float(max(1, min(cpus // trials, most)))


def gpu_share(trials: int, gpus: float, memory: float) -> float:
    """The share of a GPU, 0–1, with which `trials`, as many as the CPUs admit, run at once, or as memory allows.

    `memory` is the share of a GPU's memory that the largest trial needs; above 1, a trial gets a whole GPU.
    """
    at_once = min(max(1, math.ceil(trials / gpus)), max(1, math.floor(1 / memory)))
    return math.floor(1000 / at_once) / 1000  # three thirds must not exceed one
