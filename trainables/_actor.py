"""The Ray face of a trial: it hands a trial to the node's fork server, and its reports to Tune.

It imports no TensorFlow, so that Ray starts it at once, and one actor hands over many trials.
"""

import os
import platform
from typing import Any

import ray
from ray import tune

from trainables import _forkserver


def run_trial(config: dict[str, Any], *, token: str, shared: dict[str, Any]) -> None:
    """Report what the trial of `config["order"]`, its identity and its recipe's knobs, reports.

    `token` is the sweep's, by which its fork servers are found; `shared` what all its trials are told, by the names of
    `Task`. Raises LostError if the trial's process dies: that is Tune's to repeat.
    """
    place = _forkserver.place(token)
    resources = _resources()
    where = {"hardware": _hardware(), **resources}
    task = {**config["order"], **shared, "threads": max(1, int(resources["cpus"]))}
    body = shared["models"][task["knobs"]["network"]].pretrained
    task["weights"] = {body: shared["weights"][body]} if body in shared["weights"] else {}
    for report in _forkserver.stream(place, _trial, task, place):
        tune.report(report | {"result": where | report["result"]})


def _trial(task: dict[str, Any], place: Any) -> Any:
    """What runs in the forked process, which has imported TensorFlow."""
    from trainables._trial import Task, run_trial

    return run_trial(Task(**task), place)


def _resources() -> dict[str, float]:
    resources = tune.get_context().get_trial_resources()
    required = resources.required_resources if resources else {}
    return {"cpus": float(required.get("CPU", 1)), "gpus": float(required.get("GPU", 0))}


def _hardware() -> str:
    """The machine a trial ran on, in words, and which of its GPUs."""
    gpus = "".join(f", GPU {number}" for number in ray.get_gpu_ids())
    return f"{platform.node()}, {os.cpu_count()} x {platform.processor() or platform.machine()}{gpus}"
