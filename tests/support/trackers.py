"""Trackers that write into a folder, and nothing of the user's own."""

import os
from pathlib import Path
from typing import Any

from support.sweeps import ZOO

EPOCHS = 60
SWEEP = (ZOO, "--models", "age-c2-f1,age-c4-f2", "--data", "shards", "--epochs", EPOCHS, "--batch-size", 4)


def environment(place: Path, **variables: str) -> dict[str, str]:
    """This process's environment without its user's own trackers, and with trackers that write into `place`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "WANDB_"))}
    own = {"MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db", "WANDB_MODE": "offline", "WANDB_DIR": str(place)}
    return kept | own | variables


def mlflow_client(place: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{place}/mlflow.db")
