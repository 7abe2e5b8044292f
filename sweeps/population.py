"""Which learning rate, weight decay and label smoothing should a network have, and when?

Population-based training (Jaderberg et al., arXiv:1711.09846), in generations of a few epochs: after each, the worst
quarter of the members resumes from the checkpoints of the best quarter, with their hyperparameters multiplied by 0.8 or
1.25. So a member's hyperparameters are a schedule. Each generation of a member is a trial with its `parent`.

    python sweeps/population.py --data shards/cifake --limit 10000 --network age-c4-f3 --members 8 --epochs 9
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep import InputError
from data_prep.numbers import Whole
from sweeps.engine.options import Options, option
from sweeps.engine.run import main
from sweeps.engine.sweep import Stages, Sweep
from sweeps.record.writer import Record
from trainables import Recipe

#: Hyperparameters that can change while a network trains, and the ranges of their first values, on a logarithmic scale.
HYPERPARAMETERS = {"learning_rate": (1e-4, 1e-2), "weight_decay": (1e-5, 1e-1), "label_smoothing": (1e-3, 0.2)}
_EPOCHS = 9
_FACTORS = (0.8, 1.25)


@dataclass(frozen=True, kw_only=True)
class PopulationOptions(Options):
    """What a user asked of a population."""

    network: str = option("A name that `python -m trainables` lists.", "age-c4-f3")
    members: int = option("Of the population.", 8, Whole(4))
    generation_epochs: int = option("Of a generation.", 1, Whole(1))


def population(options: PopulationOptions) -> Sweep:
    """Train a population of one network, whose worst take over from the best as they train."""
    if options.seeds > 1:
        raise InputError("A population has a seed for each of its members; give --members instead of --seeds.")

    def recipe(seed: int) -> Recipe:
        random = np.random.default_rng([seed, 0])
        drawn = {name: float(np.exp(random.uniform(*np.log(ends)))) for name, ends in HYPERPARAMETERS.items()}
        fixed: dict[str, Any] = {"optimizer": "adamw", "epochs": _EPOCHS, "early_stopping_epochs": 0, "seed": seed}
        member = options.recipe(options.network, **fixed, **drawn)
        if member.early_stopping_epochs:
            raise InputError("A population trains all its epochs; leave early_stopping_epochs at 0.")
        return dataclasses.replace(member, pause_epoch=_pause(options.generation_epochs, member.epochs))

    first = [recipe(seed) for seed in range(options.members)]
    return Sweep(
        name="population",
        question=f"Which schedule of its hyperparameters should {options.network} have?",
        strategy=Stages(first, then=lambda record: next_generation(record, first, options.generation_epochs)),
        settings={name: getattr(options, name) for name in ("network", "members", "generation_epochs")},
    )


def next_generation(record: Record, members: Sequence[Recipe], epochs: int) -> Sequence[Recipe]:
    """The first generation that is not complete in the record; none after the generation that trained all epochs."""
    while members and all(record.is_complete(record.identity(member)) for member in members):
        members = _next(record, members, epochs)
    return members


def _next(record: Record, members: Sequence[Recipe], epochs: int) -> list[Recipe]:
    """Each member resumes from itself, but the worst quarter from the best, with changed hyperparameters."""
    if not members[0].pause_epoch:
        return []
    trials = [record.identity(member) for member in members]
    scores = [_score(record, trial) for trial in trials]
    order = sorted(range(len(members)), key=lambda place: scores[place], reverse=True)
    quarter = len(members) // 4
    successors = []
    for place, member in enumerate(members):
        random = np.random.default_rng([member.seed, member.pause_epoch])
        is_worst = place in order[-quarter:] or scores[place] < 0
        origin = order[random.integers(quarter)] if is_worst else place
        changes = {
            name: float(np.clip(getattr(members[origin], name) * random.choice(_FACTORS), *ends))
            for name, ends in (HYPERPARAMETERS.items() if is_worst else ())
        }
        pause = _pause(member.pause_epoch + epochs, member.epochs)
        lineage = {"seed": member.seed, "parent": trials[origin], "pause_epoch": pause}
        successors.append(Recipe.of(members[origin].hyperparameters() | changes | lineage))
    return successors


def _score(record: Record, trial: str) -> float:
    """Validation accuracy after a member's last epoch; -1 if it was not paused, but collapsed, diverged or failed."""
    is_paused = record.trials[trial]["status"] == "stopped"
    return float(record.history(trial)[-1]["validation_accuracy"]) if is_paused else -1.0


def _pause(epoch: int, epochs: int) -> int:
    """The epoch to pause after; 0 if training is over by then."""
    return epoch if epoch < epochs else 0


if __name__ == "__main__":
    main(population)
