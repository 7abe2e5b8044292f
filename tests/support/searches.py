"""Searches as a user asks for them."""

from typing import Any

import optuna

from support.commands import ROOT
from sweeps.engine.options import Options, command
from sweeps.engine.sweep import Sweep
from sweeps.searching.space import Hyperparameter, between, one_of

SEARCH = ROOT / "sweeps" / "search.py"
#: One trial at a time, so that what comes out does not hang on what came first.
SMALL = ("--data", "shards", "--networks", "age-c2-f1,age-c3-f1", "--tune", "learning_rate,dropout", "--epochs", "3")
SMALL += ("--max-concurrent", "1")

NETWORK = Hyperparameter("network", one_of("age-c2-f1", "cifake-cnn"))
RATE = Hyperparameter("learning_rate", between(1e-4, 1e-2, log=True))


def rungs(study: optuna.Study) -> list[dict[int, float]]:
    """Of each trial: rung, from 0 → the accuracy with which it reached that rung."""
    prefix = "completed_rung_"
    return [
        {int(name.removeprefix(prefix)): value for name, value in trial.system_attrs.items() if name.startswith(prefix)}
        for trial in study.get_trials(deepcopy=False)
    ]


def run_main(question: Any, *words: str, options: type[Options] = Options) -> Sweep:
    """The sweep that a command line asks for."""
    sweeps: list[Sweep] = []
    parsed = command("x", "", options, lambda values: sweeps.append(question(values)) or 0)
    parsed.main(list(words), standalone_mode=False)
    return sweeps[0]
