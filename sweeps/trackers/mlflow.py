"""A sweep's trials as runs of MLflow, wherever its own MLFLOW_TRACKING_URI points."""

import logging
import os
import time

from sweeps.trackers.trial import Tracker, Trial

_MOST_METRICS = 500  # a request; MLflow takes a thousand
# Our own thread tries an absent server again; MLflow itself would wait many minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class MLflow(Tracker):
    """One experiment a sweep, MLFLOW_EXPERIMENT_NAME or the sweep's name; one run a trial, found again by its tags."""

    def __init__(self, sweep: str, fingerprint: str) -> None:
        self._experiment_name, self._fingerprint = os.environ.get("MLFLOW_EXPERIMENT_NAME") or sweep, fingerprint
        self._store = os.environ.get("MLFLOW_TRACKING_URI")
        self.target = f"{self._store or ''} {self._experiment_name}".strip()
        # Trial → its run, and the metrics, by name and step, that this has.
        self._open: dict[str, tuple[str, set[tuple[str, int]]]] = {}

    def begin(self, token: str) -> None:
        """Find or create the experiment."""
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        from mlflow import MlflowClient

        self._client, self._token = MlflowClient(self._store), token
        known = self._client.get_experiment_by_name(self._experiment_name)
        self._experiment = known.experiment_id if known else self._client.create_experiment(self._experiment_name)

    def write(self, trial: Trial) -> None:
        """Send what a trial's run lacks. Raises MlflowException."""
        from mlflow.entities import Metric

        run, sent = self._open.get(trial.identity) or self._start(trial)
        best_epoch, now = int(trial.row.get("best_epoch") or 0), int(time.time() * 1000)
        steps = [*trial.curves.items(), *[(best_epoch, trial.final())] * trial.has_ended]
        metrics = [Metric(name, value, now, step) for step, values in steps for name, value in values.items()]
        new = [metric for metric in metrics if (metric.key, metric.step) not in sent]
        for first in range(0, len(new), _MOST_METRICS):
            part = new[first : first + _MOST_METRICS]
            self._client.log_batch(run, metrics=part)
            sent.update((metric.key, metric.step) for metric in part)
        if trial.has_ended:
            for name in ("status", "reason"):
                self._client.set_tag(run, name, str(trial.row.get(name) or ""))
            self._client.set_terminated(run, "FINISHED" if trial.is_complete else "FAILED")
            del self._open[trial.identity]

    def leave(self) -> None:
        """Mark the runs that are still open as interrupted."""
        for run, _ in self._open.values():
            self._client.set_terminated(run, "KILLED")

    def _start(self, trial: Trial) -> tuple[str, set[tuple[str, int]]]:
        """The run of a trial, found or created, and running. It counts as open once all of this has succeeded.

        An earlier run of the sweep may have created it, or a request that got no answer.
        """
        from mlflow.entities import Param

        wanted = f"tags.record = '{self._token}' and tags.trial = '{trial.identity}'"
        known = self._client.search_runs([self._experiment], wanted, max_results=1)
        if known:
            self._client.update_run(known[0].info.run_id, status="RUNNING")
        tags = {"trial": trial.identity, "record": self._token, "data_fingerprint": self._fingerprint}
        run = known[0] if known else self._client.create_run(self._experiment, tags=tags, run_name=trial.name)
        client, identity = self._client, str(run.info.run_id)
        client.log_batch(identity, params=[Param(name, str(value)) for name, value in trial.hyperparameters.items()])
        sent = {(name, past.step) for name in run.data.metrics for past in client.get_metric_history(identity, name)}
        return self._open.setdefault(trial.identity, (identity, sent))
