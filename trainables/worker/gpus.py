"""Places on the GPUs of a node: which trial computes on which.

Ray fills the first GPU before it gives any of the second, so that with shares of GPUs alone the first trials would
crowd there. Here each trial takes its place on the GPU of which the least is taken.
"""

import contextlib
import fcntl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

_SECONDS_BETWEEN_LOOKS, _SECONDS_TO_ANSWER = 0.2, 20
_ROUNDING = 0.01  # shares are rounded down: 0.333 is a third


@contextlib.contextmanager
def place(folder: Path, gpus: Sequence[str], share: float) -> Iterator[str]:
    """Hold `share`, 0–1, of the GPU of which trials of this node hold the least; of equals, of the first.

    `gpus` are names as CUDA_VISIBLE_DEVICES has them. Waits until that much is free; who comes later waits behind. A
    place is a locked file in `folder`, so it is free as soon as its holder ends, however that ends.
    """
    with (folder / "gpus.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        while min((taken := _taken(folder, gpus)).values()) + share > 1 + _ROUNDING:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        gpu = min(taken, key=taken.__getitem__)
        with tempfile.NamedTemporaryFile(prefix=f"gpu {share:.4f} {quote(gpu, '')} ", dir=folder) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            fcntl.flock(turn, fcntl.LOCK_UN)
            yield gpu


def nvidia(*fields: str, gpu: str = "") -> list[list[str]]:
    """These fields of one GPU of this machine, or of all, as nvidia-smi tells them; empty where it does not in time."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        asked = command + [f"--id={gpu}"] * bool(gpu)
        answer = subprocess.run(asked, capture_output=True, check=True, timeout=_SECONDS_TO_ANSWER)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [line.split(", ") for line in answer.stdout.decode(errors="replace").splitlines()]
    return [line for line in lines if len(line) == len(fields)]


def _taken(folder: Path, gpus: Sequence[str]) -> dict[str, float]:
    """How much of each GPU is taken. Deletes the files of places whose holders were killed."""
    taken = dict.fromkeys(gpus, 0.0)
    for path in folder.glob("gpu *"):
        _, share, gpu, _ = path.name.split()
        with contextlib.suppress(FileNotFoundError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                if unquote(gpu) in taken:
                    taken[unquote(gpu)] += float(share)
    return taken
