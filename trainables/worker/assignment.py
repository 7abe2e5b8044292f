"""What an actor is handed to run. Importing this needs neither Keras nor Ray."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep import Folder
from trainables.layers.pretrained import Layers
from trainables.training.network import Network
from trainables.training.recipe import Recipe
from trainables.training.selection import DataSelection

#: A trial's report, flat, by the column names of `trainables.record`: an epoch (it has `epoch`), or at the end the
#: trial's row (it has `status`). Four names are no columns: `refusal`, why the sweep cannot run at all; `no_room`, why
#: the trial needs more of a GPU; and `storage_errno` with `storage_path`, what can no longer be read or written.
Report = dict[str, Any]


@dataclass(frozen=True)
class Shared:
    """What all trials of a sweep are handed.

    `token` identifies the sweep on every node; `weights` are ImageNet's, by body; `backend` is Keras's; `home` is the
    driver's node and the folder there, from which a node that does not see the shards fetches the images, known by
    their `fingerprint`; `has_all_gpus` says that no other job holds a GPU of the cluster, `mps` that trials share GPUs
    through NVIDIA's MPS.
    """

    token: str
    selection: DataSelection
    models: Mapping[str, Network]
    weights: Mapping[str, Layers]
    record: Folder
    backend: str
    hang_minutes: float
    fingerprint: str = ""
    home: tuple[str, Path] | None = None
    has_all_gpus: bool = True
    mps: bool = False


@dataclass(frozen=True)
class Assignment:
    """A trial to run with so many threads and GPUs, from its last checkpoint where it has one.

    `shared` has no more weights than the trial's.
    """

    trial: str
    recipe: Recipe
    threads: int
    shared: Shared
    gpus: float = 0.0
