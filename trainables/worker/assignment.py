"""What a trial is told. Its process imports neither Ray nor Tune, and the actor that asks for it no TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.storage import Folder
from trainables.training.selection import Source

if TYPE_CHECKING:
    from trainables.layers.pretrained import Layers
    from trainables.training.network import Network

#: `rows`, epochs not yet reported; `result`, columns of the trial's row; `storage`, an errno and, where it is known, a
#: file or folder, if something can no longer be read or written.
Report = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A trial's identity and its recipe's hyperparameters, and what all trials of a sweep share."""

    trial: str
    hyperparameters: dict[str, Any]
    source: Source
    models: "dict[str, Network]"
    weights: "dict[str, Layers]"
    record: Folder
    threads: int

    @property
    def checkpoints(self) -> Folder:
        """Where this trial's checkpoints are."""
        return self.record.folder(f"checkpoints/{self.trial}")


def run(task: Task, place: Path) -> Iterator[Report]:
    """`_trial.run_trial`, in a process that has imported TensorFlow."""
    from trainables.worker.trial import run_trial

    return run_trial(task, place)
