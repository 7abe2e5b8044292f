"""The Ray face of a trial: it hands a trial to the node's fork server, and its reports to Tune.

It imports no TensorFlow, so that Ray starts it at once, and one actor hands over many trials.
"""

import contextlib
import os
import platform
import random
import time
from typing import Any

import ray
from ray import tune

from trainables.training.selection import keep_data
from trainables.worker import assignment as _task
from trainables.worker import fork_server as _forkserver
from trainables.worker.assignment import Task
from trainables.worker.fork_server import HungError, LostError
from trainables.worker.preemption import leave_to_others, notice

_SECONDS_BEFORE_AGAIN = (2.0, 10.0)


#: What is wrong with a results folder that a node does not see.
UNSHARED = "The node {host} does not see {folder}; give --results a folder that all nodes share, or s3://…"


class MovedError(Exception):
    """The trial's machine is being taken away: it is for Tune to start it elsewhere."""


def run_trial(config: dict[str, Any], *, token: str, shared: dict[str, Any], hang_minutes: float) -> None:
    """Report what the trial of `config["order"]`, its identity and its recipe's hyperparameters, reports.

    `token` is the sweep's, by which its fork servers are found; `shared` what all its trials are told, by the names of
    `Task`, under `backend` Keras's, and under `data`, if nodes cannot read the shards, a reference to the images. A
    trial that says nothing for `hang_minutes` is stopped and has failed. Raises LostError if the trial's process dies,
    and MovedError if its machine is about to go: those are Tune's to repeat.
    """
    place = _forkserver.place(token)
    resources = _resources()
    where = {"hardware": _hardware(), **resources}
    task = _told(config["order"], shared, int(resources["cpus"]))
    if not shared["record"].exists("manifest.json"):  # which the driver writes first: a node that came later
        refusal = UNSHARED.format(host=platform.node(), folder=shared["record"])
        tune.report({"rows": [], "result": {}, "refusal": refusal})
        return
    os.environ["KERAS_BACKEND"] = shared["backend"]  # the driver's, whatever this node's own is
    _forkserver.is_detached = True
    _forkserver.start(place)
    if "data" in shared:
        keep_data(shared["data"], place)
    try:
        reports = _forkserver.stream(place, _task.run, task, place, limit=60 * hang_minutes, stop=notice())
        is_over = False
        with contextlib.closing(reports):  # a trial that is stopped ends in `report`
            for report in reports:
                is_over = "status" in report["result"]
                tune.report(report | {"result": where | report["result"]})
    except HungError:
        reason = f"it hung: no sign of life for {hang_minutes:g} minutes, so it was stopped"
        tune.report({"rows": [], "result": where | {"status": "failed", "reason": reason}})
    except LostError:
        time.sleep(random.uniform(*_SECONDS_BEFORE_AGAIN))  # whatever killed it may be over by then
        raise
    else:
        if notice().is_set() and not is_over:
            leave_to_others()
            raise MovedError("its machine is being taken away")


def _told(order: dict[str, Any], shared: dict[str, Any], cpus: int) -> Task:
    """What a trial is told; of the pretrained weights only those that its network starts from."""
    told = {**order, **shared, "threads": max(1, cpus)}
    for name in ("data", "backend"):
        told.pop(name, None)
    body = shared["models"][order["hyperparameters"]["network"]].pretrained
    told["weights"] = {body: shared["weights"][body]} if body in shared["weights"] else {}
    return Task(**told)


def _resources() -> dict[str, float]:
    resources = tune.get_context().get_trial_resources()
    required = resources.required_resources if resources else {}
    return {"cpus": float(required.get("CPU", 1)), "gpus": float(required.get("GPU", 0))}


def _hardware() -> str:
    """The machine a trial ran on, in words, and which of its GPUs."""
    gpus = "".join(f", GPU {number}" for number in ray.get_gpu_ids())
    return f"{platform.node()}, {os.cpu_count()} x {platform.processor() or platform.machine()}{gpus}"
