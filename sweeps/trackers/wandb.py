"""A sweep's trials as runs of Weights & Biases, wherever its own WANDB_MODE, WANDB_ENTITY and WANDB_DIR point."""

import os
from typing import Any

from data_prep.errors import InputError
from sweeps.trackers.tracked import Tracked

_SECONDS_TO_CONNECT = 30.0
_SPLITS = ("validation", "test", "test_clean")
_WITHOUT_SERVER = ("offline", "dryrun", "disabled")


def check() -> None:
    """Log in before anything starts, for later nobody can be asked. Raises InputError."""
    if os.environ.get("WANDB_MODE") in _WITHOUT_SERVER:
        return
    import wandb

    try:
        is_known = wandb.login()
    except wandb.Error:
        is_known = False
    if not is_known:
        raise InputError("Weights & Biases knows no API key; run `wandb login`, or set WANDB_MODE=offline.")


class WandB:
    """One project a sweep, WANDB_PROJECT or the sweep's name; one run a trial, whose id is made of the trial's.

    Offline, W&B cannot know what it was told before: a trial that goes on is written whole, from its first epoch.
    """

    def __init__(self, sweep: str, fingerprint: str) -> None:
        self._project = os.environ.get("WANDB_PROJECT") or sweep
        self._fingerprint = fingerprint
        names = ("WANDB_BASE_URL", "WANDB_MODE", "WANDB_ENTITY", "WANDB_DIR")
        self.target = " ".join([*[os.environ[name] for name in names if os.environ.get(name)], self._project])
        self._open: dict[str, Any] = {}
        self._next: dict[str, int] = {}

    def begin(self, token: str) -> None:
        """The runs of this record have ids that end in its token."""
        self._token = token

    def write(self, trial: Tracked) -> None:
        """Log what a trial's run has not. Raises wandb.Error."""
        run = self._open.get(trial.trial) or self._start(trial)
        for epoch, values in trial.curves.items():
            if epoch >= self._next[trial.trial]:
                run.log(values, step=epoch, commit=True)
                self._next[trial.trial] = epoch + 1
        if trial.is_over:
            told = {name: trial.row.get(name) for name in ("status", "reason", "best_epoch", "parameters")}
            run.summary.update(trial.final(*_SPLITS) | told)
            del self._open[trial.trial]
            run.finish(exit_code=0 if trial.is_complete else 1)

    def leave(self) -> None:
        """The runs that are still open were interrupted."""
        for run in self._open.values():
            run.finish(exit_code=130)

    def _start(self, trial: Tracked) -> Any:
        import wandb

        run = wandb.init(
            project=self._project,
            id=f"{trial.trial}-{self._token}",
            name=trial.name,
            config=trial.hyperparameters | {"trial": trial.trial, "data_fingerprint": self._fingerprint},
            resume="allow",
            reinit="create_new",  # trials run side by side
            settings=wandb.Settings(
                console="off", silent=True, save_code=False, x_disable_stats=True, init_timeout=_SECONDS_TO_CONNECT
            ),
        )
        self._open[trial.trial] = run
        self._next[trial.trial] = run.starting_step
        return run
