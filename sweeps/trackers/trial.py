"""A trial as trackers show it, by the names that all of them use, and what a tracker has to do."""

import json
from dataclasses import dataclass, field
from typing import Any

from trainables import Recipe
from trainables.record import COMPLETE, EPOCHS, SCHEMAS
from trainables.training.metrics import EPOCH_METRICS, SCORED_SPLITS

_METRICS = {f"{split}_{metric}": f"{metric}/{split}" for split in ("train", "validation") for metric in EPOCH_METRICS}
#: A tracker's name → the column of the record's epochs: `loss/train` for `train_loss`, others by their own names.
_CURVES = {_METRICS.get(column.name, column.name): column.name for column in SCHEMAS[EPOCHS] if column.type == "double"}


@dataclass
class Trial:
    """A trial: its row of the record, and its epochs by number, from 1."""

    row: dict[str, Any]
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The trial's identity: 12 hexadecimal digits."""
        return str(self.row["trial"])

    @property
    def name(self) -> str:
        """The trial's name for people: its number in a search, its network, its seed."""
        number = self.row.get("number")
        subset = f"-set{self.row['training_subset']}" if self.row.get("training_subset") else ""
        return ("" if number is None else f"{number:03d}-") + f"{self.row['network']}-seed{self.row['seed']}{subset}"

    @property
    def is_complete(self) -> bool:
        """Whether nothing will be added to the trial."""
        return self.row["status"] in COMPLETE

    @property
    def has_ended(self) -> bool:
        """Whether the trial is complete or has failed; the next run of the same command tries a failed one again."""
        return self.is_complete or self.row["status"] == "failed"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The trial's hyperparameters by name: numbers, texts and truth values; the network's arguments among them."""
        recipe = Recipe.of(
            {name: self.row[name] for name in Recipe("").hyperparameters() if self.row.get(name) is not None}
        )
        arguments = {
            name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
            for name, value in recipe.network_arguments.items()
        }
        return {name: value for name, value in recipe.hyperparameters().items() if name != "arguments"} | arguments

    @property
    def curves(self) -> dict[int, dict[str, float]]:
        """For each epoch, in order: the metrics that it has, by the trackers' names."""
        return {epoch: _values(_CURVES, self.epochs[epoch]) for epoch in sorted(self.epochs)}

    @property
    def seconds(self) -> float:
        """How long the trial's epochs took, together."""
        return sum(values.get("wall_seconds", 0.0) for values in self.curves.values())

    def final(self, splits: tuple[str, ...] = SCORED_SPLITS) -> dict[str, float]:
        """The metrics of the best epoch on these splits that the trial has, such as `final/validation_accuracy`."""
        names = [f"{split}_{metric}" for split in splits for metric in EPOCH_METRICS]
        return _values({f"final/{name}": name for name in names}, self.row)


def _values(columns: dict[str, str], row: dict[str, Any]) -> dict[str, float]:
    return {name: float(row[column]) for name, column in columns.items() if row.get(column) is not None}


class Tracker:
    """A tool that shows trials. One thread uses it; its methods may raise anything."""

    #: Where it writes: a trial that is complete there is not sent there again.
    target: str

    def begin(self, token: str) -> None:
        """Prepare, before the first `write`; `token` tells this record's trials from equal ones of another record."""

    def write(self, trial: Trial) -> None:
        """Bring what the tool shows of a trial up to date: each epoch once, whatever was written before."""

    def leave(self) -> None:
        """Close the trials that are still open, at the end of the sweep."""
