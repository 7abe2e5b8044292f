"""What each trial asks of the cluster."""

import math

from data_prep import InputError
from sweeps.engine import cluster
from sweeps.engine.inputs import Inputs
from sweeps.engine.options import Options
from sweeps.engine.sweep import Strategy
from trainables.training.cost import training_bytes

_GIB = float(2**30)
_PROCESS_BYTES = 1.5 * _GIB  # of a GPU, for CUDA and cuDNN, whatever the network
_SMALL_FLOPS = 50_000_000  # an image: fewer do not fill more than two threads
_UNKNOWN_GPU_BYTES = 16 * _GIB  # of a GPU that nvidia-smi does not tell of


def request(strategy: Strategy, inputs: Inputs, options: Options) -> dict[str, float]:
    """CPUs and GPUs a trial, the same for all trials: Ray reuses a warm actor only for an equal request.

    `auto` GPUs are shared so that all concurrent trials fit on all GPUs at once, as far as memory allows: Ray fills the
    first GPU before the second, so a share must be no smaller. `auto` CPUs are those of all nodes shared among the
    concurrent trials, one at least; a small network does not fill more than two. Raises InputError if no node could
    ever run a trial.
    """
    nodes, recipes = cluster.nodes(), [*strategy.representatives, *strategy.follow_ups]
    cpus, gpus = options.cpus_per_trial, options.gpus_per_trial
    if cpus is None:
        node_cpus = [node["CPU"] for node in nodes if node.get("CPU")] or [1.0]
        flops = max(inputs.cost(recipe).flops for recipe in recipes)
        cpus = cpu_share(strategy.concurrency, sum(node_cpus), min(node_cpus), flops)
    if gpus is None:
        count = sum(node.get("GPU", 0) for node in nodes)
        most = max(training_bytes(inputs.cost(recipe), recipe) for recipe in recipes)
        most += inputs.data.subset(1).train.images.nbytes  # each trial's process holds its own
        memory = (most + _PROCESS_BYTES) / cluster.smallest_gpu_bytes(_UNKNOWN_GPU_BYTES)
        gpus = gpu_share(strategy.concurrency, count, memory) if count else 0.0
    for name, amount in {"CPU": cpus, "GPU": gpus}.items():
        largest = max(node.get(name, 0) for node in nodes)
        if amount > largest:
            raise InputError(
                f"A trial asks for {amount:g} {name}s and no node has more than {largest:g}; ask for less."
            )
    return {"cpu": cpus, "gpu": gpus}


def room(asked: dict[str, float]) -> int:
    """How many trials with this request fit on the cluster's nodes at once, one at least."""
    fitting = [
        min(math.floor(node.get(name.upper(), 0) / amount + 1e-6) for name, amount in asked.items() if amount)
        for node in cluster.nodes()
    ]
    return max(1, sum(fitting))


def cpu_share(trials: int, cpus: float, node_cpus: float, flops: int) -> float:
    """The CPUs, and so threads, of a trial: more than one only if there are two CPUs or more per trial."""
    most = node_cpus if flops > _SMALL_FLOPS else min(2, node_cpus)
    return float(max(1, min(cpus // trials, most)))


def gpu_share(trials: int, gpus: float, memory: float) -> float:
    """The share of a GPU, 0–1, with which all trials run at once, or as many as memory allows.

    `memory` is the share of a GPU's memory that the largest trial needs; above 1, a trial gets a whole GPU.
    """
    at_once = min(math.ceil(trials / gpus), max(1, math.floor(1 / memory)))
    return math.floor(1000 / at_once) / 1000  # three thirds must not exceed one
