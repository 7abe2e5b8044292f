"""A search in virtual time: curves that were recorded once are replayed, so that methods are compared in seconds.

The study that asks, judges and is told is the one that drives real searches.
"""

import heapq
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweeps.searching.space import Hyperparameter, Space, Values, between, one_of
from sweeps.searching.study import Search, SearchStudy


@dataclass(frozen=True)
class Curves:
    """Recorded curves of n configurations: `validation_accuracy` and `wall_seconds` are (n, epochs).

    `space` holds these configurations and no others; a number with more than two values is the place of one of them,
    from 0, for the simulated sampler is to know their order. `places` finds a configuration's row by its values, as
    JSON.
    """

    validation_accuracy: np.ndarray
    wall_seconds: np.ndarray
    train_images: int
    space: Space
    places: dict[str, int]

    @property
    def quality(self) -> np.ndarray:
        """(n,) the validation accuracy of each configuration's best epoch."""
        return np.asarray(self.validation_accuracy.max(axis=1))

    def best(self, share: float) -> np.ndarray:
        """(n,) bool: the configurations that belong to the best `share`, 0–1, one at least."""
        count = max(1, round(share * len(self.quality)))
        return np.asarray(self.quality >= np.sort(self.quality)[-count])


def curves(frame: pd.DataFrame) -> Curves:
    """Curves from a table with one row a trial and epoch: trial, epoch, validation_accuracy, wall_seconds,
    train_images, and a column for each hyperparameter. Every trial must have every epoch.
    """
    measured = {"trial", "epoch", "validation_accuracy", "wall_seconds", "train_images"}
    names = [name for name in frame.columns if name not in measured]
    ordered = frame.sort_values(["trial", "epoch"], kind="stable")
    trials = ordered.drop_duplicates("trial")
    shape = (len(trials), int(frame["epoch"].max()))
    space, coded = [], {}
    for name in names:
        values = sorted(trials[name].unique().tolist())
        is_ordered = len(values) > 2 and not isinstance(values[0], str)
        space.append(Hyperparameter(name, between(0, len(values) - 1) if is_ordered else one_of(*values)))
        coded[name] = [values.index(value) if is_ordered else value for value in trials[name].tolist()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*coded.values(), strict=True)]
    return Curves(
        ordered["validation_accuracy"].to_numpy(float).reshape(shape),
        ordered["wall_seconds"].to_numpy(float).reshape(shape),
        int(frame["train_images"].iloc[0]),
        space,
        {_key(row): place for place, row in enumerate(rows)},
    )


def simulate(found: Curves, search: Search, workers: int = 1, until: np.ndarray | None = None) -> pd.DataFrame:
    """The trials of a search with so many workers, one row each in the order in which they ended.

    Columns: configuration (its row in the curves), epochs, finished (not stopped), and, as of the end of the trial,
    seconds of virtual time and image_passes of all trials so far. Ends once one of `until`, (n,) bool, has finished.
    """
    study, clock, passes, begun = SearchStudy(search), 0.0, 0, 0
    running: list[tuple[float, int, int, int]] = []  # when its next epoch ends, number, configuration, that epoch
    rows = []
    while True:
        while len(running) < workers and begun < search.trials and (asked := study.ask()):
            begun, place = begun + 1, found.places[_key(asked[1])]
            heapq.heappush(running, (clock + found.wall_seconds[place, 0], asked[0], place, 1))
        if not running:
            break
        clock, number, place, epoch = heapq.heappop(running)
        passes += found.train_images
        is_stopped = study.report(number, epoch, float(found.validation_accuracy[place, epoch - 1]))
        if not is_stopped and epoch < search.epochs:
            heapq.heappush(running, (clock + found.wall_seconds[place, epoch], number, place, epoch + 1))
            continue
        study.tell(number, "stopped" if is_stopped else "finished", [float(found.quality[place])])
        rows.append((place, epoch, not is_stopped, clock, passes))
        if until is not None and not is_stopped and until[place]:
            break
    return pd.DataFrame(rows, columns=["configuration", "epochs", "finished", "seconds", "image_passes"])


def _key(values: Values) -> str:
    return json.dumps(values, sort_keys=True)
