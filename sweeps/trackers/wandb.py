"""A sweep's trials as runs of Weights & Biases, wherever its own WANDB_MODE, WANDB_ENTITY and WANDB_DIR point."""

import os
from typing import Any

from data_prep import InputError
from sweeps.trackers.trial import Tracker, Trial

_SECONDS_TO_CONNECT = 30.0
_WITHOUT_SERVER = ("offline", "dryrun", "disabled")


def check_login() -> None:
    """Log in before anything starts, since nobody can be asked later. Raises InputError."""
    if os.environ.get("WANDB_MODE") in _WITHOUT_SERVER:
        return
    import wandb

    try:
        is_known = wandb.login()
    except wandb.Error:
        is_known = False
    if not is_known:
        raise InputError("Weights & Biases knows no API key; run `wandb login`, or set WANDB_MODE=offline.")


class WandB(Tracker):
    """One project a sweep, WANDB_PROJECT or the sweep's name; one run a trial, whose id is made of the trial's.

    Offline, W&B cannot know what it received before: a resumed trial is written whole, from its first epoch.
    """

    def __init__(self, sweep: str, fingerprint: str) -> None:
        self._project, self._fingerprint = os.environ.get("WANDB_PROJECT") or sweep, fingerprint
        names = ("WANDB_BASE_URL", "WANDB_MODE", "WANDB_ENTITY", "WANDB_DIR")
        self.target = " ".join([*[os.environ[name] for name in names if os.environ.get(name)], self._project])
        self._open: dict[str, Any] = {}  # trial → its run
        self._next: dict[str, int] = {}  # trial → the epoch that its run lacks

    def begin(self, token: str) -> None:
        """Keep the token, in which the ids of this record's runs end."""
        self._token = token

    def write(self, trial: Trial) -> None:
        """Log what a trial's run lacks. Raises wandb.Error."""
        run = self._open.get(trial.identity) or self._start(trial)
        for epoch, values in trial.curves.items():
            if epoch >= self._next[trial.identity]:
                run.log(values, step=epoch, commit=True)
                self._next[trial.identity] = epoch + 1
        if trial.has_ended:
            columns = ("status", "reason", "best_epoch", "parameters")
            run.summary.update(trial.final() | {name: trial.row.get(name) for name in columns})
            del self._open[trial.identity]
            run.finish(exit_code=0 if trial.is_complete else 1)

    def leave(self) -> None:
        """Mark the runs that are still open as interrupted."""
        for run in self._open.values():
            run.finish(exit_code=130)

    def _start(self, trial: Trial) -> Any:
        import wandb

        run = wandb.init(
            project=self._project,
            id=f"{trial.identity}-{self._token}",
            name=trial.name,
            config=trial.hyperparameters | {"trial": trial.identity, "data_fingerprint": self._fingerprint},
            resume="allow",
            reinit="create_new",  # trials run side by side
            settings=wandb.Settings(
                console="off", silent=True, save_code=False, x_disable_stats=True, init_timeout=_SECONDS_TO_CONNECT
            ),
        )
        self._open[trial.identity], self._next[trial.identity] = run, run.starting_step
        return run
