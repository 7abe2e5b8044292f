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
        self._experiment_name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or sweep
        self._fingerprint = fingerprint
        self._store = os.environ.get("MLFLOW_TRACKING_URI")
        self.target = f"{self._store or ''} {self._experiment_name}".strip()
        self._open: dict[str, str] = {}  # trial → its run
        self._sent: dict[str, set[tuple[str, int]]] = {}  # trial → the metrics, by name and step, that its run has

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
        run = self._open.get(trial.identity) or self._start(trial)
        metrics = [(name, step, value) for step, values in trial.curves.items() for name, value in values.items()]
        if trial.has_ended:
            best_epoch = int(trial.row.get("best_epoch") or 0)
            metrics += [(name, best_epoch, value) for name, value in trial.final().items()]
        self._send(run, trial.identity, metrics)
        if trial.has_ended:
            for name in ("status", "reason"):
                self._client.set_tag(run, name, str(trial.row.get(name) or ""))
            self._client.set_terminated(run, "FINISHED" if trial.is_complete else "FAILED")
            del self._open[trial.identity], self._sent[trial.identity]

    def leave(self) -> None:
        """Mark the runs that are still open as interrupted."""
        for run in self._open.values():
            self._client.set_terminated(run, "KILLED")

    def _start(self, trial: Trial) -> str:
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
        identity = str(run.info.run_id)
        params = [Param(name, str(value)) for name, value in trial.hyperparameters.items()]
        self._client.log_batch(identity, params=params)
        histories = {name: self._client.get_metric_history(identity, name) for name in run.data.metrics}
        self._sent[trial.identity] = {(name, metric.step) for name in histories for metric in histories[name]}
        self._open[trial.identity] = identity
        return identity

    def _send(self, run: str, trial: str, metrics: list[tuple[str, int, float]]) -> None:
        """Send those metrics, (name, step, value), that the run does not have at that step."""
        from mlflow.entities import Metric

        sent, now = self._sent[trial], int(time.time() * 1000)
        new = [metric for metric in metrics if metric[:2] not in sent]
        for first in range(0, len(new), _MOST_METRICS):
            part = new[first : first + _MOST_METRICS]
            self._client.log_batch(run, metrics=[Metric(name, value, now, step) for name, step, value in part])
            sent |= {metric[:2] for metric in part}
