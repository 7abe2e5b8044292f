"""Which learning rate, weight decay and label smoothing should a network have, and when?

Population-based training (Jaderberg et al., arXiv:1711.09846), a generation of so many epochs after the other: then
the worst quarter goes on from the checkpoints of the best quarter, with their hyperparameters multiplied by 0.8 or 1.25. So a
member's hyperparameters are a schedule. Each generation of a member is a trial of its own in the record, with its `parent`.

    python sweeps/population.py --data shards/cifake --limit 10000 --network age-c4-f3 --members 8 --epochs 9
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from data_prep.errors import InputError
from sweeps.engine.run import Options, Sweep, main
from sweeps.record.writer import Record
from trainables import Recipe

#: Hyperparameters that can change while a network trains, and the ranges that they start in, by how many times they grow.
HYPERPARAMETERS = {"learning_rate": (1e-4, 1e-2), "weight_decay": (1e-5, 1e-1), "label_smoothing": (1e-3, 0.2)}
_EPOCHS = 9
_CHANGES = (0.8, 1.25)

OPTIONS = [
    click.Option(["--network"], default="age-c4-f3", show_default=True, help="A name from MODELS."),
    click.Option(["--members"], type=click.IntRange(4), default=8, show_default=True, help="Of the population."),
    click.Option(
        ["--generation-epochs"], type=click.IntRange(1), default=1, show_default=True, help="Of a generation."
    ),
]


def population(options: Options) -> Sweep:
    """Train a population of one network, whose worst take over from the best as they train."""
    own = options.own
    if options.seeds > 1:
        raise InputError("A population has a seed for each of its members; give --members instead of --seeds.")

    def recipe(seed: int) -> Recipe:
        chance = _chance(seed, 0)
        drawn = {name: float(np.exp(chance.uniform(*np.log(ends)))) for name, ends in HYPERPARAMETERS.items()}
        hyperparameters: dict[str, Any] = {
            "optimizer": "adamw",
            "epochs": _EPOCHS,
            "early_stopping_epochs": 0,
            "seed": seed,
        }
        made = options.recipe(own["network"], **hyperparameters, **drawn)
        if made.early_stopping_epochs:
            raise InputError("A population trains all its epochs; leave early_stopping_epochs at 0.")
        return dataclasses.replace(made, pause_epoch=_pause(own["generation_epochs"], made.epochs))

    first = [recipe(seed) for seed in range(own["members"])]

    def next_generation(record: Record) -> Sequence[Recipe]:
        return following(record, first, own["generation_epochs"])

    return Sweep(
        name="population",
        question=f"Which schedule of its hyperparameters should {own['network']} have?",
        recipes=first,
        then=next_generation,
        settings=own,
    )


def following(record: Record, members: Sequence[Recipe], epochs: int) -> Sequence[Recipe]:
    """The first generation that is not over in the record; none after that which trained all epochs."""
    over = {record.recipe(trial): trial for trial in record.trials if record.is_over(trial)}
    while members and all(member in over for member in members):
        members = _next(record, members, [over[member] for member in members], epochs)
    return members


def _next(record: Record, members: Sequence[Recipe], trials: Sequence[str], epochs: int) -> list[Recipe]:
    """Each member goes on from itself, but the worst quarter from the best, with changed hyperparameters."""
    if not members[0].pause_epoch:
        return []
    scores = [_score(record, trial) for trial in trials]
    order = sorted(range(len(members)), key=lambda place: scores[place], reverse=True)
    quarter = len(members) // 4
    successors = []
    for place, member in enumerate(members):
        chance = _chance(member.seed, member.pause_epoch)
        is_worst = place in order[-quarter:] or scores[place] < 0
        origin = order[chance.integers(quarter)] if is_worst else place
        changes = (
            {name: _changed(getattr(members[origin], name), name, chance) for name in HYPERPARAMETERS}
            if is_worst
            else {}
        )
        pause = _pause(member.pause_epoch + epochs, member.epochs)
        lineage = {"seed": member.seed, "parent": trials[origin], "pause_epoch": pause}
        successors.append(Recipe.of(members[origin].hyperparameters() | changes | lineage))
    return successors


def _score(record: Record, trial: str) -> float:
    """The validation accuracy after a member's last epoch; -1 if it came to grief."""
    if record.trials[trial]["status"] != "stopped":
        return -1.0
    last: float = record.epochs[trial, record.trials[trial]["epochs_done"]]["validation_accuracy"]
    return last


def _changed(value: float, name: str, chance: np.random.Generator) -> float:
    low, high = HYPERPARAMETERS[name]
    return float(np.clip(value * chance.choice(_CHANGES), low, high))


def _pause(epoch: int, epochs: int) -> int:
    """The epoch to pause after; 0 if training is over by then."""
    return epoch if epoch < epochs else 0


def _chance(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


if __name__ == "__main__":
    main(population, OPTIONS)
