"""The Ray cluster a sweep runs on: the one this machine belongs to, or one started here for the sweep alone."""

import atexit
import contextlib
import gc
import logging
import os
import platform
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ray
import yaml

# No public function tells these; pyproject.toml bounds Ray for this.
from ray._private import utils, worker
from ray.job_config import JobConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data_prep import Folder, InputError
from data_prep.errors import ENDS, BrokenOffError, leave_at_once, received
from sweeps.engine.witness import witnessed
from trainables.worker.actor import UNSHARED
from trainables.worker.gpus import nvidia

# Read by every process of a cluster started here. TensorFlow's chatter and Tune's own tables would bury ours; Tune's
# state, which nothing reads, and its loggers would be a second record; its Ctrl-C handler would train for minutes. By
# default Tune holds one trial ready for a custom searcher; ours limits trials itself.
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}

# Why a cluster cannot be joined, by the words in which Ray says it.
_REFUSALS = {
    "InvalidAuthToken": "it asks for a token: set RAY_AUTH_MODE=token",
    "Version mismatch": "it runs another version of Ray or Python",
    "HTTP address": "that is the address of its dashboard; RAY_ADDRESS is HOST:6379",
}
_UNKNOWN = "Ray cannot connect; if it asks for a token, set RAY_AUTH_MODE=token"

utils.set_sigterm_handler = lambda handler: None  # which would exit without a sentence

_LONGEST_FOLDER = 35  # letters; Ray adds some 65, and the path of a socket has 107 at most
_SECONDS_TO_ANSWER = 5
_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_TO_HEED = 20.0
_MOST_MISSED = 10  # looks for the head; after a minute without it, Ray ends the process
_DEADLY = ("SIGTERM", "SIGHUP")  # for Ray's processes, which are in the same process group
_KILLED_TOGETHER = Path("/sys/fs/cgroup/memory.oom.group")
_AUTOSCALING = Path("~/ray_bootstrap_config.yaml").expanduser()


class _Path(list[str]):
    """Where workers look for modules first. Ray would add the working folder, in which a `trainables.py` may be."""

    def extend(self, folders: Iterable[str]) -> None:
        """Add nothing."""


_is_own = False  # whether the cluster was started here
#: Ray's own folder for what the processes of the connected cluster leave behind: it has this name on every node.
session_folder = ""
# A connection to Ray's process on this machine, which ends when that does.
_raylet: socket.socket | None = None
_is_lost = threading.Event()  # whether one of the two has ended
_head = ""  # the address of Ray's process on the head


def connect(end: Callable[[BrokenOffError], object] = lambda error: None) -> str:
    """Join the cluster that runs on this machine, or start one, and say which. Raises InputError.

    `end` is called when the Ray processes that this one needs have died.
    """
    global _is_own, session_folder, _raylet, _head
    for name, value in (_ENVIRONMENT | _of_memory()).items():
        os.environ.setdefault(name, value)
    handlers = _handlers()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    asked = os.environ.get("RAY_ADDRESS", "")
    address = asked if asked not in ("", "auto") else _address_of_own()
    _is_own = asked == "local" or not (address and _answers(address))
    if _is_own:
        if asked not in ("", "local"):
            raise InputError(f"No Ray cluster answers at RAY_ADDRESS={asked}; start it, or unset RAY_ADDRESS.")
        with witnessed():
            context = _started(quiet)
    else:
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            with witnessed():
                context = ray.init(address=address, **quiet)  # which shows this user's token
        except (ConnectionError, RuntimeError, ValueError) as error:
            message = str(error)
            reason = next((reason for words, reason in _REFUSALS.items() if words in message), _UNKNOWN)
            raise InputError(f"The Ray cluster at {address} does not let this process in ({reason}); see `ray status`.")
    _handle(handlers)
    worker.global_worker.threads_stopped.set()  # of the thread that prints what Ray's processes say when one dies
    worker.global_worker.gcs_error_subscriber.close()
    session_folder, _head = str(context.address_info["session_dir"]), str(context.address_info["gcs_address"])
    _raylet = socket.socket(socket.AF_UNIX)
    _raylet.connect(context.address_info["raylet_socket_name"])
    threading.Thread(target=_watch, args=(_raylet, end), daemon=True).start()
    found = resources()
    size = f"{found['nodes']:g} node, {found['cpus']:g} CPUs, {found['gpus']:g} GPUs"
    return f"Started Ray on this machine: {size}." if _is_own else f"Joined the Ray cluster at {address}: {size}."


def _handlers() -> dict[signal.Signals, Any]:
    return {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}


def _handle(handlers: dict[signal.Signals, Any]) -> None:
    """Handle signals as before: Ray's C++ puts handlers of its own in the way, and at the end the system's."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _of_memory() -> dict[str, str]:
    """Keep Ray from killing any worker where memory is short: the system kills the largest trial.

    It kills everything in a container whose control group asks for that, as those of Kubernetes do.
    """
    with contextlib.suppress(OSError):
        if _KILLED_TOGETHER.read_text().strip() == "1":
            return {}
    return {"RAY_memory_monitor_refresh_ms": "0"}


def _started(quiet: dict[str, Any]) -> Any:
    """The context of a Ray that is started here. Raises InputError."""
    where = JobConfig(_py_driver_sys_path=_Path([str(Path(__file__).parents[2])]))
    try:
        return ray.init("local", include_dashboard=False, job_config=where, _temp_dir=_short_folder(), **quiet)
    except Exception as error:  # of any class, for what this machine lacks
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"Ray cannot be started on this machine ({reason}); mend that, or join a cluster.")


def _short_folder() -> str | None:
    """A folder for Ray's sockets, whose paths are short, where that for temporary files has a long name; else None."""
    if len(tempfile.gettempdir()) <= _LONGEST_FOLDER:
        return None
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _address_of_own() -> str | None:
    """The address that a cluster of this user has left on this machine: what others leave in /tmp may be a trap."""
    with contextlib.suppress(OSError):
        if os.lstat(utils.get_ray_address_file(None)).st_uid == os.getuid():
            return str(utils.read_ray_address())
    return None


def _answers(address: str) -> bool:
    """Whether anything listens there. Ray itself takes minutes to give up on the address that a dead cluster left."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER):
            return True
    except (OSError, ValueError):
        return False


def _watch(raylet: socket.socket, end: Callable[[BrokenOffError], object]) -> None:
    """Call `end` when Ray has died. Where that is not heeded, as in a call to Ray, end this process as Ray would."""
    missed = 0  # looks in a row, and no time: a machine that slept has missed nothing
    while raylet is _raylet and not _has_ended(raylet, _SECONDS_BETWEEN_LOOKS) and missed < _MOST_MISSED:
        missed = 0 if _answers(_head) else missed + 1
    if raylet is not _raylet:
        return raylet.close()
    time.sleep(_SECONDS_BETWEEN_LOOKS)  # a signal to all of them reaches this process last
    if raylet is _raylet and ray.is_initialized() and not received():
        _is_lost.set()
        error = BrokenOffError(ENDS["lost"].sentence.format(host=platform.node()))
        end(error)
        time.sleep(_SECONDS_TO_HEED)
        if raylet is _raylet:
            print(error.message, file=sys.stderr, flush=True)
            os._exit(error.exit_code)


def _has_ended(raylet: socket.socket | None, seconds: float = 0.0) -> bool:
    """Whether Ray's process on this machine ends within so many seconds: it sends nothing else."""
    poll = select.poll()
    if raylet:
        poll.register(raylet, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def disconnect() -> None:
    """Leave the cluster, and end it if it was started here.

    While Ray shuts down, it exits the whole process if a reference to something of its own is deleted. Those in cycles
    are deleted by whichever thread happens to collect garbage: this one does it before, and none meanwhile. It also
    exits the process where its own processes are gone, or about to go: then this function kills them and asks nothing.
    """
    global _raylet
    has_ended = ray.is_initialized() and (_is_lost.is_set() or _has_ended(_raylet))
    _raylet = None
    _is_lost.clear()
    if has_ended or (_is_own and received() in _DEADLY):
        atexit.unregister(ray.shutdown)
        leave_at_once()
        if _is_own and worker._global_node:
            worker._global_node.kill_all_processes(check_alive=False, allow_graceful=False)
        return
    handlers = _handlers()
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()
        _handle(handlers)


def here() -> str:
    """The node on which this process runs."""
    return str(ray.get_runtime_context().get_node_id())


def may_be_unseen(folder: Folder) -> bool:
    """Whether other nodes may be unable to read a folder, because it is on this machine's disk.

    A cluster that was not started here may get more nodes at any time.
    """
    return folder.is_local and not _is_own


def check_shared(folder: Folder, name: str) -> None:
    """Raise InputError if some node does not see the file `name` of a folder, for trials write beside it."""
    if not may_be_unseen(folder):
        return
    path = str(folder.local_path(name))
    answers = {node["NodeManagerHostname"]: _on(node, os.path.exists, path) for node in ray.nodes() if node["Alive"]}
    for host, answer in answers.items():
        if not ray.get(answer):
            raise InputError(UNSHARED.format(host=host, folder=folder))


def _on(node: dict[str, Any], function: Callable[..., Any], *arguments: Any) -> Any:
    """A reference to what a function returns on a node."""
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0)(function).options(scheduling_strategy=there).remote(*arguments)


def nodes() -> list[dict[str, float]]:
    """The resources of the cluster's nodes, and of those that its autoscaler may still start.

    `ray up` leaves its configuration, with resources and the most workers that it may start, on the head node.
    """
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not _AUTOSCALING.exists():
        return alive
    config = yaml.safe_load(_AUTOSCALING.read_text())
    most = config.get("max_workers", 0)
    types = [kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]]
    workers = [
        kind["resources"] for kind in types for _ in range(kind.get("max_workers", most)) if kind.get("resources")
    ]
    to_come = sorted(workers, key=lambda resources: -resources.get("GPU", 0))[:most]
    return alive + to_come[: max(0, len(to_come) + 1 - len(alive))]


def has_all_gpus() -> bool:
    """Whether no other job holds a GPU of the connected cluster."""
    return bool(ray.available_resources().get("GPU", 0) == resources()["gpus"])


def smallest_gpu_bytes(otherwise: float) -> float:
    """The memory of the cluster's smallest GPU; `otherwise` of one that nvidia-smi does not tell of."""
    return float(min(ray.get([_on(node, _smallest_gpu_bytes, otherwise) for node in _gpu_nodes()]), default=otherwise))


def on_gpu_node(function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
    """What a function returns on a node that has a GPU; None without such a node, after so long, and if it fails."""
    with contextlib.suppress(ray.exceptions.RayError):
        return next((ray.get(_on(node, function, *arguments), timeout=seconds) for node in _gpu_nodes()), None)
    return None


def _gpu_nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]


def _smallest_gpu_bytes(otherwise: float) -> float:
    sizes = [int(mebibytes) * 2.0**20 for (mebibytes,) in nvidia("memory.total") if mebibytes.isdecimal()]
    return min(filter(None, sizes), default=otherwise)


def resources() -> dict[str, float]:
    """CPUs, GPUs and nodes of the connected cluster."""
    total = ray.cluster_resources()
    alive = [node for node in ray.nodes() if node["Alive"]]
    return {"nodes": len(alive), "cpus": total.get("CPU", 0), "gpus": total.get("GPU", 0)}


def hardware() -> dict[str, Any]:
    """The connected cluster as a record's manifest has it."""
    return resources() | {"cpu_model": _cpu_model(), "platform": platform.platform(), "python": sys.version.split()[0]}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
