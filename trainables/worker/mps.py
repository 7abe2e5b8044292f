"""NVIDIA's Multi-Process Service: processes that share a GPU compute at the same time, instead of in turn.

Its daemon belongs to one fork server. It ends with that, however that ends: a shell waits for the end of its standard
input, which the server and its children hold open. A daemon that does not quit is killed.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

CONTROL, _CHOSEN = "nvidia-cuda-mps-control", "mps"
PIPES = "CUDA_MPS_PIPE_DIRECTORY"  # in the environment of processes that the daemon serves
_END = f'cat; echo quit | timeout -k 1 30 {CONTROL} || kill -9 $(cat "$0"/{CONTROL}.pid); rm -rf "$0"'
_SECONDS_TO_START = 30


def is_installed() -> bool:
    """Whether this machine has MPS."""
    return shutil.which(CONTROL) is not None


def choose(node_folder: Path) -> None:
    """Have the fork server of this node folder, which has not started, serve its trials."""
    node_folder.mkdir(mode=0o700, exist_ok=True)
    (node_folder / _CHOSEN).touch()


def serve(node_folder: Path) -> "subprocess.Popen[bytes] | None":
    """Start the daemon for all of the machine's GPUs, and have this process's children use it, if that was chosen.

    The daemon ends once nobody holds the returned process's standard input. None where it does not start.
    """
    if not (is_installed() and (node_folder / _CHOSEN).exists()):
        return None
    folder = f"{node_folder}-mps"  # not within the node folder, which may be deleted first
    chosen = {PIPES: folder, "CUDA_MPS_LOG_DIRECTORY": folder}
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | chosen
    Path(folder).mkdir(exist_ok=True)
    start = _run([CONTROL, "-d"], environment, subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        start.wait(_SECONDS_TO_START)
    if start.returncode != 0:
        start.kill()
        shutil.rmtree(folder, ignore_errors=True)
        return None
    os.environ |= chosen
    return _run(["sh", "-c", _END, folder], environment, subprocess.PIPE)


def _run(command: list[str], environment: dict[str, str], source: int) -> "subprocess.Popen[bytes]":
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdin=source, stdout=nothing, stderr=nothing)
