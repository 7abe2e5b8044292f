"""Optuna alone, with its own parallelism: threads of one process. python optuna_alone.py WORK OUT"""

import json
import os
import sys
from pathlib import Path

import optuna
from _fit import fit
from floor import NETWORKS

work, out = Path(sys.argv[1]), Path(sys.argv[2])
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler({"name": NETWORKS}, seed=0))
study.optimize(
    lambda trial: fit(trial.suggest_categorical("name", NETWORKS), work), n_trials=len(NETWORKS), n_jobs=os.cpu_count()
)
out.write_text(json.dumps({trial.params["name"]: trial.value for trial in study.trials}))
