"""What each trial asks of the cluster."""

import math
from collections.abc import Sequence

import ray

from data_prep._command import InputError
from sweeps._options import Options
from trainables import MODELS, Recipe


def request(recipes: Sequence[Recipe], options: Options) -> dict[str, float]:
    """CPUs and GPUs a trial, the same for all: Ray hands a warm worker on only between equal requests.

    Without GPUs, none are asked for. `auto` shares them so that all trials fit on all GPUs at once, as far as the
    networks' own requests allow: Ray fills the first GPU before the second, so the share must be no smaller than that.
    Raises InputError if no node could ever run a trial.
    """
    total = ray.cluster_resources()
    gpus = _gpu_share(recipes, total.get("GPU", 0)) if options.gpus_per_trial is None else options.gpus_per_trial
    asked = {"CPU": options.cpus_per_trial, "GPU": gpus}
    for name, amount in asked.items():
        largest = max(node["Resources"].get(name, 0) for node in ray.nodes() if node["Alive"])
        if amount > largest:
            raise InputError(
                f"A trial asks for {amount:g} {name}s and no node has more than {largest:g}; ask for less."
            )
    return {name.lower(): amount for name, amount in asked.items()}


def _gpu_share(recipes: Sequence[Recipe], gpus: float) -> float:
    if not gpus:
        return 0.0
    least = max(MODELS[recipe.network].gpus for recipe in recipes)
    share = max(least, 1 / math.ceil(len(recipes) / gpus))
    return math.floor(share * 1000) / 1000  # three thirds must not exceed one
