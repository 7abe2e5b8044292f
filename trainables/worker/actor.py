"""A trial's actor on Ray: hands an assignment to the node's fork server, and passes the reports on to Tune.

It imports no TensorFlow, so Ray starts it at once, and one actor runs many trials.
"""

import contextlib
import json
import os
import platform
import random
import time
from dataclasses import replace
from typing import Any

import ray
from ray import tune

from trainables.record import MANIFEST
from trainables.training.arrays import mapped
from trainables.training.outcome import failed_row
from trainables.training.recipe import Recipe
from trainables.worker import fork_server
from trainables.worker.assignment import Assignment, Shared
from trainables.worker.fork_server import HungError, LostError
from trainables.worker.preemption import notice, refuse_more_work

_SECONDS_BEFORE_RETRY = (2.0, 10.0)

#: Why a sweep ends if a node does not see the results folder.
UNSHARED = "The node {host} does not see {folder}; give --results a folder that all nodes share, or s3://…"


class MovedError(Exception):
    """The trial's machine is being taken away: Tune is to start the trial elsewhere."""


def supervise_trial(config: dict[str, Any], *, shared: Shared) -> None:
    """Run the trial `config["trial"]` with `config["recipe"]`, as JSON, and report to Tune, flat, an epoch at a time.

    A trial that reports nothing for `shared.hang_minutes` is stopped and has failed. Raises LostError if the trial's
    process dies, and MovedError if its machine is about to go: Tune repeats those.
    """
    if not shared.record.exists(MANIFEST):  # which the driver writes first: this node joined later
        tune.report({"refusal": UNSHARED.format(host=platform.node(), folder=shared.record)})
        return
    os.environ["KERAS_BACKEND"] = shared.backend  # the driver's, whatever this node's own is
    node_folder, resources = fork_server.node_folder(shared.token), _resources()
    fork_server.is_detached = True
    fork_server.start(node_folder)
    if shared.data is not None:
        mapped(node_folder, lambda: ray.get(shared.data))
    assignment = _assignment(config, shared, max(1, int(resources["cpus"])))
    known = {"device": _device(), "backend": shared.backend, **resources}
    trial = (node_folder, "trainables.worker.trial:run_trial", assignment, node_folder)
    has_ended, stream = False, fork_server.stream(*trial, seconds=60 * shared.hang_minutes, stop=notice())
    try:
        with contextlib.closing(stream) as reports:  # if Tune stops the trial, `report` raises
            for report in reports:
                has_ended = "status" in report
                tune.report(known | report)
    except HungError:
        reason = f"it hung: no sign of life for {shared.hang_minutes:g} minutes, so it was stopped"
        tune.report(known | failed_row(reason))
    except LostError:
        time.sleep(random.uniform(*_SECONDS_BEFORE_RETRY))  # whatever killed it may be over by then
        raise
    else:
        if notice().is_set() and not has_ended:
            refuse_more_work()
            raise MovedError("its machine is being taken away")


def _assignment(config: dict[str, Any], shared: Shared, threads: int) -> Assignment:
    """The trial's assignment, with the pretrained weights of its own network only."""
    recipe = Recipe.of(json.loads(config["recipe"]))
    body = shared.models[recipe.network].pretrained
    weights = {body: shared.weights[body]} if body in shared.weights else {}
    return Assignment(config["trial"], recipe, threads, replace(shared, weights=weights, data=None))


def _resources() -> dict[str, float]:
    resources = tune.get_context().get_trial_resources()
    required = resources.required_resources if resources else {}
    return {"cpus": float(required.get("CPU", 1)), "gpus": float(required.get("GPU", 0))}


def _device() -> str:
    """Host, processors, and which of its GPUs."""
    gpus = "".join(f", GPU {number}" for number in ray.get_gpu_ids())
    return f"{platform.node()}, {os.cpu_count()} x {platform.processor() or platform.machine()}{gpus}"
