"""NVIDIA's Multi-Process Service: processes that share a GPU compute at the same time, instead of in turn.

Its daemon belongs to one fork server. It ends with that, however that ends: a shell waits for the end of its standard
input, which the server and its children hold open.
"""

import os
import shutil
import subprocess
from pathlib import Path

CONTROL, _CHOSEN = "nvidia-cuda-mps-control", "mps"
_SERVE = f'mkdir -p "$0"; {CONTROL} -d < /dev/null; cat; echo quit | {CONTROL}; rm -rf "$0"'


def is_installed() -> bool:
    """Whether this machine has MPS."""
    return shutil.which(CONTROL) is not None


def choose(node_folder: Path) -> None:
    """Have the fork server of this node folder, which has not started, serve its trials."""
    node_folder.mkdir(mode=0o700, exist_ok=True)
    (node_folder / _CHOSEN).touch()


def serve(node_folder: Path) -> "subprocess.Popen[bytes] | None":
    """Start the daemon for all of the machine's GPUs, and have this process's children use it, if that was chosen.

    The daemon ends once nobody holds the returned process's standard input.
    """
    if not (is_installed() and (node_folder / _CHOSEN).exists()):
        return None
    folder = f"{node_folder}-mps"  # not within the node folder, which may be deleted first
    os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    nothing = subprocess.DEVNULL
    command = ["sh", "-c", _SERVE, folder]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing)
