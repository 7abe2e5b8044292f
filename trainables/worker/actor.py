"""A trial's actor on Ray: hands an assignment to the node's fork server, and passes the reports on to Tune.

It imports no TensorFlow, so Ray starts it at once, and one actor runs many trials.
"""

import contextlib
import functools
import json
import os
import platform
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray._private.worker import global_worker  # no public function tells it; pyproject.toml bounds Ray for this
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data_prep import Folder
from trainables import MODELS
from trainables.record import MANIFEST
from trainables.training.arrays import Piece, assembled, mapped, pieces, shared_data
from trainables.training.outcome import failed_row
from trainables.training.recipe import Recipe
from trainables.training.selection import Data, DataSelection, New
from trainables.worker import fork_server, mps
from trainables.worker.assignment import Assignment, Report, Shared
from trainables.worker.fork_server import HungError, LostError
from trainables.worker.gpus import nvidia, place
from trainables.worker.memory import NoRoomError, room
from trainables.worker.preemption import notice, refuse_more_work

_GROWTH = (1, 2, 4, 8, 16)  # of a trial's share of a GPU that had no room for it, up to a whole one
_SECONDS_BEFORE_RETRY = (2.0, 10.0)

#: Why a sweep ends if a node does not see the results folder.
UNSHARED = "The node {host} does not see {folder}; give --results a folder that all nodes share, or s3://…"

_NO_MPS = (
    "{host} has no nvidia-cuda-mps-control, which --mps needs; install it with NVIDIA's driver, or leave --mps out."
)


class MovedError(Exception):
    """The trial's machine is being taken away: Tune is to start the trial elsewhere."""


def supervise_trial(config: dict[str, Any], *, shared: Shared) -> None:
    """Run the trial `config["trial"]` with `config["recipe"]`, as JSON, and report to Tune, flat, an epoch at a time.

    A trial for which its GPU has no room is tried again with twice its share, once that much is free, and so on up to a
    whole GPU. A trial that reports nothing for `shared.hang_minutes` is stopped and has failed. Raises LostError if the
    trial's process dies, and MovedError if its machine is about to go: Tune repeats those.
    """
    if not _sees(shared.record):
        tune.report({"refusal": UNSHARED.format(host=platform.node(), folder=shared.record)})
        return
    if shared.mps and not mps.is_installed():
        tune.report({"refusal": _NO_MPS.format(host=platform.node())})
        return
    node_folder, resources = _start_server(shared.token, shared.backend, shared.mps), _resources()
    if shared.home and not shared.selection.is_here(shared.fingerprint):
        mapped(node_folder, functools.partial(_fetch, shared, *shared.home))
    assignment = _assignment(config, shared, max(1, int(resources["cpus"])))
    for factor in _GROWTH:
        gpus = min(factor * resources["gpus"], max(1.0, resources["gpus"]))
        try:
            with _gpu(gpus, node_folder, shared) as columns:
                return _run(replace(assignment, gpus=gpus), columns | {"cpus": resources["cpus"], "gpus": gpus})
        except NoRoomError as error:
            row = failed_row(str(error))
        time.sleep(random.uniform(*_SECONDS_BEFORE_RETRY))  # meanwhile other trials may end
    tune.report(row)


def stated_bytes(token: str, backend: str, has_mps: bool, recipe: Recipe, image_size: int, images: int) -> int:
    """What the compiler states that training takes of this node's first GPU, in bytes; 0 where it states nothing."""
    node_folder = _start_server(token, backend, has_mps)
    os.environ["CUDA_VISIBLE_DEVICES"] = node_gpus()[0]
    arguments = (recipe, image_size, images, MODELS)
    stream = fork_server.stream(node_folder, "trainables.training.cost:stated_bytes", *arguments)
    with contextlib.closing(stream) as answers:
        return int(next(answers))


@functools.cache
def _sees(record: Folder) -> bool:
    """Whether this node sees a record; the driver writes its manifest first, but this node may have joined later."""
    return record.exists(MANIFEST)


def _start_server(token: str, backend: str, has_mps: bool) -> Path:
    """Start the fork server of a sweep on this node, unless it runs. Returns its folder."""
    os.environ["KERAS_BACKEND"] = backend  # the driver's, whatever this node's own is
    node_folder = fork_server.node_folder(token)
    if has_mps:
        mps.choose(node_folder)
    fork_server.is_detached = True
    fork_server.start(node_folder)
    return node_folder


def _fetch(shared: Shared, home: str, folder: Path, new: New) -> Data:
    """Fetch the images, which this node cannot read, from a `folder` of the node `home`."""
    there = NodeAffinitySchedulingStrategy(home, soft=False)
    send = ray.remote(num_cpus=0, scheduling_strategy=there, _generator_backpressure_num_objects=2)(_send)
    return assembled(map(ray.get, send.remote(shared.selection, folder)), shared.selection, shared.fingerprint, new)


def _send(selection: DataSelection, folder: Path) -> Iterator[Piece]:
    yield from pieces(shared_data(selection, folder))


def _run(assignment: Assignment, columns: dict[str, Any]) -> None:
    """Run a trial in a process of this node's fork server, and report what it yields, with more columns of its row.

    Raises NoRoomError where it needs more of a GPU.
    """
    shared, node_folder = assignment.shared, fork_server.node_folder(assignment.shared.token)
    versions = ", ".join(f"{package} {version(package)}" for package in ("keras", shared.backend))
    known = {"backend": shared.backend, "versions": versions, **columns}
    trial = (node_folder, "trainables.worker.trial:run_trial", assignment, node_folder)
    last: Report = {}
    stream = fork_server.stream(*trial, seconds=60 * shared.hang_minutes, stop=notice())
    try:
        # If Tune stops the trial, `report` raises. A process may abort where others raise an error.
        with room(assignment.gpus, lambda: "epoch" in last), contextlib.closing(stream) as reports:
            for last in reports:
                if "no_room" in last:
                    raise NoRoomError(last["no_room"])
                tune.report(known | last)
    except HungError:
        reason = f"it hung: no sign of life for {shared.hang_minutes:g} minutes, so it was stopped"
        tune.report(known | failed_row(reason))
    except LostError:
        time.sleep(random.uniform(*_SECONDS_BEFORE_RETRY))  # whatever killed it may be over by then
        raise
    else:
        if notice().is_set() and "status" not in last:
            refuse_more_work()
            raise MovedError("its machine is being taken away")


def _assignment(config: dict[str, Any], shared: Shared, threads: int) -> Assignment:
    """The trial's assignment, with the pretrained weights of its own network only."""
    recipe = Recipe.of(json.loads(config["recipe"]))
    body = shared.models[recipe.network].pretrained
    weights = {body: shared.weights[body]} if body in shared.weights else {}
    return Assignment(config["trial"], recipe, threads, replace(shared, weights=weights))


def _resources() -> dict[str, float]:
    resources = tune.get_context().get_trial_resources()
    required = resources.required_resources if resources else {}
    return {"cpus": float(required.get("CPU", 1)), "gpus": float(required.get("GPU", 0))}


@contextlib.contextmanager
def _gpu(gpus: float, node_folder: Path, shared: Shared) -> Iterator[dict[str, Any]]:
    """Show a trial's process its GPUs, or none. Yields the columns of the trial's row that are about them.

    It is any GPU of the node if they are all the sweep's, and else the one that Ray gave.
    """
    given = [str(gpu) for gpu in ray.get_gpu_ids()]
    chosen = place(node_folder, node_gpus() if shared.has_all_gpus else given, gpus) if 0 < gpus <= 1 else None
    with chosen or contextlib.nullcontext(",".join(given)) as visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
        processors = f"{platform.node()}, {os.cpu_count()} x {platform.processor() or platform.machine()}"
        if not visible:
            yield {"device": processors}
            return
        name, driver = _card(visible.partition(",")[0])
        device = f"{processors}, GPU {visible}" + (f" ({name})" if name else "")
        yield {"device": device, "driver": driver, "mps": shared.mps}


@functools.cache
def _card(gpu: str) -> tuple[str | None, str | None]:
    """Name and driver of a GPU, where nvidia-smi tells them."""
    found = nvidia("name", "driver_version", gpu=gpu)
    return (found[0][0], found[0][1]) if found else (None, None)


def node_gpus() -> list[str]:
    """All GPUs that Ray has on this node, by their names in CUDA_VISIBLE_DEVICES."""
    here = ray.get_runtime_context().get_node_id()
    count = next(int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["NodeID"] == here)
    names = global_worker.original_visible_accelerator_ids.get("GPU") or list(map(str, range(count)))
    return names[:count]
