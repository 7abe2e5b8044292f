"""What a tracker is told: a trial as its record has it, in the names that every tracker shows."""

import json
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from trainables import Recipe
from trainables.record import COMPLETE

_CURVES = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
    "auc/validation": "validation_auc",
    "learning_rate": "learning_rate",
    "wall_seconds": "wall_seconds",
}


@dataclass
class Tracked:
    """A trial: its row of the record, and its epochs by number, from 1."""

    row: dict[str, Any]
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def trial(self) -> str:
        """Its identity."""
        return str(self.row["trial"])

    @property
    def name(self) -> str:
        """What a person calls it: its number in a search, its network, its seed."""
        number = self.row.get("number")
        return ("" if number is None else f"{number:03d}-") + f"{self.row['network']}-seed{self.row['seed']}"

    @property
    def is_complete(self) -> bool:
        """Whether nothing will be added to it."""
        return self.row["status"] in COMPLETE

    @property
    def is_over(self) -> bool:
        """Whether it has ended, be it for now: what failed is tried again by the next run of the same command."""
        return self.is_complete or self.row["status"] == "failed"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Its recipe: numbers, texts and truth values by name, those of the network's function among them."""
        names = [hyperparameter.name for hyperparameter in fields(Recipe) if hyperparameter.name != "arguments"]
        options = {
            name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
            for name, value in json.loads(self.row["arguments"]).items()
        }
        return {name: self.row[name] for name in names if self.row.get(name) is not None} | options

    @property
    def curves(self) -> dict[int, dict[str, float]]:
        """Of each epoch, in order: the metrics that it has, by the trackers' names."""
        return {epoch: _named(_CURVES, self.epochs[epoch]) for epoch in sorted(self.epochs)}

    def final(self, *splits: str) -> dict[str, float]:
        """The metrics of its best epoch on these splits, such as `final/validation_accuracy`; those that it has."""
        names = [f"{split}_{name}" for split in splits for name in ("loss", "accuracy", "auc")]
        return _named({f"final/{name}": name for name in names}, self.row)


class Tracker(Protocol):
    """A tool that shows trials. It is used by one thread, and may raise what it likes."""

    #: Where it writes: a trial that is complete there is not sent there again.
    target: str

    def begin(self, token: str) -> None:
        """Called first; `token` tells this record's trials from the same ones of another record."""

    def write(self, trial: Tracked) -> None:
        """Bring what the tool shows of a trial up to date, each epoch once, whatever it was told before."""

    def leave(self) -> None:
        """The sweep ends, and with it, for now, the trials that are not over."""


def _named(names: dict[str, str], row: dict[str, Any]) -> dict[str, float]:
    return {name: float(row[column]) for name, column in names.items() if row.get(column) is not None}
