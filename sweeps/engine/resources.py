"""What each trial asks of the cluster."""

import math
from collections.abc import Sequence

from data_prep.errors import InputError
from sweeps.engine import cluster
from sweeps.engine.options import Options
from sweeps.record.manifest import Inputs
from trainables import MODELS, Recipe
from trainables.training.cost import Cost, measure_all, training_bytes
from trainables.worker import fork_server

_GIB = float(2**30)
_PROCESS_BYTES = 1.5 * _GIB  # of a GPU, for CUDA and cuDNN, whatever the network
_SMALL_FLOPS = 50_000_000  # of an image: less does not fill more than two threads
_UNKNOWN_GPU_BYTES = 16 * _GIB  # of a GPU that nvidia-smi does not tell of


Costs = dict[tuple[str, str], Cost]


def costs(recipes: Sequence[Recipe], inputs: Inputs) -> Costs:
    """Network and options → cost. Raises InputError for a recipe that does not fit its network.

    They are measured in a process of their own, for the driver has no TensorFlow, and must not take hold of a GPU.
    """
    distinct = {_kind(recipe): recipe for recipe in recipes}
    size = inputs.data.image_size
    answers = fork_server.stream(fork_server.place(inputs.token), measure_all, list(distinct.values()), size, MODELS)
    found = {}
    for kind, answer in zip(distinct, answers, strict=True):
        if isinstance(answer, str):
            raise InputError(answer)
        found[kind] = answer
    return found


def work(recipe: Recipe, costs: Costs) -> int:
    """How long a trial takes compared to others: its floating-point operations for every training image."""
    return costs[_kind(recipe)].flops * recipe.epochs


def request(recipes: Sequence[Recipe], trials: int, costs: Costs, inputs: Inputs, options: Options) -> dict[str, float]:
    """CPUs and GPUs a trial, the same for all: Ray hands a warm worker on only between equal requests.

    There are so many `trials` that could run at once, of recipes like these. Without GPUs, none are asked for. `auto`
    shares them so that all trials fit on all GPUs at once, as far as memory allows: Ray fills the first GPU before the
    second, so a share must be no smaller than that. `auto` CPUs are those of all nodes shared among all trials, one at
    least; a small network does not fill more than two. Raises InputError if no node could ever run a trial.
    """
    nodes, cpus, gpus = cluster.nodes(), options.cpus_per_trial, options.gpus_per_trial
    asked = {
        "CPU": _auto_cpus(recipes, trials, costs, nodes) if cpus is None else cpus,
        "GPU": _auto_gpus(recipes, trials, costs, inputs, nodes) if gpus is None else gpus,
    }
    for name, amount in asked.items():
        most = max(node.get(name, 0) for node in nodes)
        if amount > most:
            raise InputError(f"A trial asks for {amount:g} {name}s and no node has more than {most:g}; ask for less.")
    return {name.lower(): amount for name, amount in asked.items()}


def room(asked: dict[str, float]) -> int:
    """How many trials that ask for so much fit on the cluster's nodes at once, one at least."""
    fitting = [
        min(math.floor(node.get(name.upper(), 0) / amount + 1e-6) for name, amount in asked.items() if amount)
        for node in cluster.nodes()
    ]
    return max(1, sum(fitting))


def _auto_cpus(recipes: Sequence[Recipe], trials: int, costs: Costs, nodes: Sequence[dict[str, float]]) -> float:
    cpus = [node["CPU"] for node in nodes if node.get("CPU")] or [1.0]
    return cpu_share(trials, sum(cpus), min(cpus), max(costs[_kind(recipe)].flops for recipe in recipes))


def _auto_gpus(
    recipes: Sequence[Recipe], trials: int, costs: Costs, inputs: Inputs, nodes: Sequence[dict[str, float]]
) -> float:
    gpus = sum(node.get("GPU", 0) for node in nodes)
    if not gpus:
        return 0.0
    most = max(training_bytes(costs[_kind(recipe)], recipe) for recipe in recipes)
    most += inputs.data.train.images.nbytes  # each trial's process holds its own
    return gpu_share(trials, gpus, (most + _PROCESS_BYTES) / cluster.smallest_gpu_bytes(_UNKNOWN_GPU_BYTES))


def cpu_share(trials: int, cpus: float, node_cpus: float, flops: int) -> float:
    """The CPUs, and so threads, of a trial: more than one only if there are fewer trials than CPUs."""
    most = node_cpus if flops > _SMALL_FLOPS else min(2, node_cpus)
    return float(max(1, min(cpus // trials, most)))


def gpu_share(trials: int, gpus: float, memory: float) -> float:
    """The share of a GPU, 0–1, with which all trials run at once, or as many as memory allows.

    `memory` is the share of a GPU's memory that the largest trial needs. One that needs more than all gets a whole GPU.
    """
    at_once = min(math.ceil(trials / gpus), max(1, math.floor(1 / memory)))
    return math.floor(1000 / at_once) / 1000  # three thirds must not exceed one


def _kind(recipe: Recipe) -> tuple[str, str]:
    return recipe.network, recipe.arguments
