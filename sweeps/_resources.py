"""What each trial asks of the cluster."""

import math
import os
import subprocess
from collections.abc import Sequence

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data_prep._command import InputError
from sweeps._options import Options
from trainables import MODELS, Recipe
from trainables._cost import Cost, training_bytes

_MIB, _GIB = float(2**20), float(2**30)
_PROCESS_BYTES = 1.5 * _GIB  # of a GPU, for CUDA and cuDNN, whatever the network
_UNKNOWN_GPU_BYTES = 16 * _GIB  # of a GPU that nvidia-smi does not tell of


def request(recipes: Sequence[Recipe], options: Options, image_size: int) -> dict[str, float]:
    """CPUs and GPUs a trial, the same for all: Ray hands a warm worker on only between equal requests.

    Without GPUs, none are asked for. `auto` shares them so that all trials fit on all GPUs at once, as far as memory
    allows: Ray fills the first GPU before the second, so a share must be no smaller than that.
    Raises InputError if no node could ever run a trial, and for a recipe that does not fit its network.
    """
    gpus = ray.cluster_resources().get("GPU", 0)
    is_auto = options.gpus_per_trial is None
    is_doubtful = any(recipe.network_options or recipe.head_epochs for recipe in recipes)
    costs = _costs(recipes, image_size) if is_doubtful or (gpus and is_auto) else {}
    asked = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial or 0}
    if gpus and is_auto:
        most = max(training_bytes(costs[_kind(recipe)], recipe) for recipe in recipes)
        asked["GPU"] = gpu_share(len(recipes), gpus, (most + _PROCESS_BYTES) / _gpu_bytes())
    for name, amount in asked.items():
        largest = max(node["Resources"].get(name, 0) for node in ray.nodes() if node["Alive"])
        if amount > largest:
            raise InputError(
                f"A trial asks for {amount:g} {name}s and no node has more than {largest:g}; ask for less."
            )
    return {name.lower(): amount for name, amount in asked.items()}


def gpu_share(trials: int, gpus: float, memory: float) -> float:
    """The share of a GPU, 0–1, with which all trials run at once, or as many as memory allows.

    `memory` is the share of a GPU's memory that the largest trial needs. One that needs more than all gets a whole GPU.
    """
    at_once = min(math.ceil(trials / gpus), max(1, math.floor(1 / memory)))
    return math.floor(1000 / at_once) / 1000  # three thirds must not exceed one


def _kind(recipe: Recipe) -> tuple[str, str]:
    return recipe.network, recipe.options


def _costs(recipes: Sequence[Recipe], image_size: int) -> dict[tuple[str, str], Cost]:
    """Network and options → cost, measured by a worker: the driver has no TensorFlow. Raises InputError."""
    distinct = {_kind(recipe): recipe for recipe in recipes}
    found = ray.get(ray.remote(max_calls=1)(_measure).remote(list(distinct.values()), image_size))
    for answer in found:
        if isinstance(answer, str):
            raise InputError(answer)
    return dict(zip(distinct, found, strict=True))


def _measure(recipes: Sequence[Recipe], image_size: int) -> list[Cost | str]:
    """Costs, or why there are none, computed on the CPU; the process ends with it, and with its view of no GPU."""
    from trainables._cost import measure

    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    answers: list[Cost | str] = []
    for recipe in recipes:
        try:
            answers.append(measure(recipe, image_size, MODELS))
        except InputError as error:
            answers.append(error.message)
    return answers


def _gpu_bytes() -> float:
    """The memory of the smallest GPU of the cluster."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    answers = [
        ray.remote(num_cpus=0)(_smallest_gpu)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote()
        for node in nodes
    ]
    return float(min(ray.get(answers)))


def _smallest_gpu() -> float:
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True).stdout
        mebibytes: list[int] = [int(line) for line in told.split()]
        return min(mebibytes) * _MIB
    except (OSError, ValueError, subprocess.CalledProcessError):
        return _UNKNOWN_GPU_BYTES
