"""A sweep from its options to its report: prepare inputs, run what is left of its trials, analyse the record."""

import contextlib
import importlib
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_prep.errors import InputError, run_command
from data_prep.storage import Folder
from sweeps.engine import inputs as sweep_inputs
from sweeps.engine.costs import Costs
from sweeps.engine.execution import Execution
from sweeps.engine.inputs import Inputs
from sweeps.engine.options import Asked, Options, command
from sweeps.engine.sweep import Sweep
from sweeps.record.lease import Lease, held
from sweeps.record.manifest import describe, make_way
from sweeps.record.writer import Record
from sweeps.trackers import following
from trainables import MODELS
from trainables.record import IMAGES, MANIFEST, read_manifest
from trainables.training.arrays import in_memory
from trainables.worker import fork_server
from trainables.worker.assignment import Shared

_SECONDS_TO_REPORT = 30.0  # of a time budget, for Ray to end and the analysis to be written


def main(question: Callable[[Asked], Sweep], options: type[Asked] = Options) -> None:  # type: ignore[assignment]
    """Run a sweep file as a command whose options are the fields of an options class."""
    summary = (question.__doc__ or "").strip()
    run_command(command(question.__name__, summary, options, lambda asked: run(question(asked), asked)))


def run(sweep: Sweep, options: Options) -> int:
    """Run a sweep, or what is left of it, and analyse its record. Returns the exit code: 1 if a trial failed."""
    options.check([recipe.network for recipe in sweep.strategy.representatives])
    following.check(options.track)
    if options.plan:
        from sweeps.engine import plan  # imports TensorFlow, to count parameters and time steps

        return plan.show(sweep, options)
    try:
        inputs = sweep_inputs.prepare(sweep.strategy, options)
        _check_arguments(sweep, inputs)
        folder = Folder(options.results).folder(sweep.name)
        with held(folder) as lease:
            make_way(folder, sweep, options, inputs)
            return _run(sweep, options, inputs, folder, lease)
    finally:
        fork_server.stop()


def _check_arguments(sweep: Sweep, inputs: Inputs) -> None:
    """Raise InputError for an argument that a network does not take: only where Keras is at hand can that be judged."""
    asked = sweep.strategy.network_arguments()
    if asked:
        function = "trainables.training.network:refusals"
        for refusal in fork_server.stream(inputs.node_folder, function, asked, MODELS):
            raise InputError(refusal)


def _run(sweep: Sweep, options: Options, inputs: Inputs, folder: Folder, lease: Lease) -> int:
    """Run what is left of a sweep, as the only one that writes its record."""
    record, analysis = Record(folder, inputs.data.fingerprint), _Analysis(folder)
    sweep.strategy.open(record, inputs.node_folder)
    with (
        following.following(record, sweep.name, record.fingerprint, options.track, lease) as trackers,
        contextlib.ExitStack() as cluster,
    ):
        costs, images = Costs(inputs), {split: len(getattr(inputs.data, split)) for split in ("train", "validation")}
        execution = Execution(sweep, record, trackers, images, costs.longest_first, analysis.prepare)
        if execution.has_work():
            _Job(sweep, options, inputs, record, lease, costs).run(execution, cluster)
        process = analysis.begin()  # while Ray ends
    return _exit_code(record, execution.trials, process.wait())


@dataclass
class _Job:
    """The trials of a sweep on a cluster, which is joined only if there are any."""

    sweep: Sweep
    options: Options
    inputs: Inputs
    record: Record
    lease: Lease
    costs: Costs

    def run(self, execution: Execution, cluster: contextlib.ExitStack) -> None:
        """Join a cluster, write down what is about to run, run it, and complete the manifest."""
        from sweeps.engine import cluster as ray_cluster
        from sweeps.engine import resources

        started, probes = time.monotonic(), self._probes()
        with ThreadPoolExecutor(1) as beside:  # the fork server may still be importing TensorFlow
            strategy = self.sweep.strategy
            measured = beside.submit(self.costs.measure, [*strategy.representatives, *strategy.follow_ups])
            cluster.callback(ray_cluster.disconnect)
            print(ray_cluster.connect(), flush=True)
            tune = importlib.import_module("sweeps.engine.tune")
            measured.result()
        request = resources.request(strategy, self.costs, self.inputs, self.options)
        execution.room = partial(resources.room, request)
        manifest = describe(self.sweep, self.options, self.inputs, ray_cluster.hardware())
        self.lease.check()
        ray_cluster.check_shared(self.lease.folder, self.lease.name)
        self.record.write()
        self.record.folder.write_table(IMAGES, self.inputs.selection.image_rows(self.inputs.data))
        manifest.write(self.record.folder)
        with self._left_in_order():
            seconds = self._seconds_left()
            if seconds > 0:
                tune.run_trials(execution, self._trainable(), request, seconds)
        if self._seconds_left() <= 0:
            over = sum(map(self.record.is_complete, self.record.trials))
            left = max(strategy.trials, len(self.record.trials)) - over
            print(f"The time budget is spent: the same command goes on, with {left} trials left.")
        seeds = sorted({row["seed"] for row in self.record.trials.values()})
        ended = {"wall_seconds": time.monotonic() - started, "floor": probes.result(), "seeds": seeds}
        self.record.folder.write_json(MANIFEST, read_manifest(self.record.folder) | ended)

    def _probes(self) -> "Future[dict[str, Any] | None]":
        """Begin to measure what linear probes reach on the same images, beside the trials."""
        function, folder = "trainables.training.probes:measure", self.inputs.node_folder
        pool = ThreadPoolExecutor(1)
        answer = pool.submit(next, fork_server.stream(folder, function, self.inputs.selection, folder), None)
        pool.shutdown(wait=False)
        return answer

    @contextlib.contextmanager
    def _left_in_order(self) -> Iterator[None]:
        """Leave the record as one that the same command goes on with, however the trials end."""
        try:
            yield
        finally:
            if not self.lease.error:  # for then the record is another sweep's
                self.record.interrupt()
                self.record.write()
                self.sweep.strategy.close(self.record)
            over = sum(map(self.record.is_complete, self.record.trials))
            print(f"{over} of {len(self.record.trials)} trials are over.")

    def _seconds_left(self) -> float:
        """Seconds of the time budget that are left, without the report."""
        if self.sweep.time_budget is None:
            return math.inf
        return self.options.begun + self.sweep.time_budget - _SECONDS_TO_REPORT - time.monotonic()

    def _trainable(self) -> Callable[..., None]:
        """The function that Tune calls for each trial."""
        import ray
        from ray import tune

        from sweeps.engine import cluster
        from trainables.worker.actor import run_trial

        inputs = self.inputs
        shared = Shared(
            token=inputs.token,
            selection=inputs.selection,
            models=MODELS,
            weights={body: weights.layers for body, weights in inputs.weights.items()},
            record=self.record.folder.absolute(),
            backend=read_manifest(self.record.folder)["backend"],
            hang_minutes=self.options.hang_minutes,
            data=ray.put(in_memory(inputs.data)) if cluster.must_send(inputs.selection.folder) else None,
        )
        return tune.with_parameters(run_trial, shared=shared)  # type: ignore[no-any-return]


class _Analysis:
    """The analysis of a record, in a process of its own."""

    def __init__(self, folder: Folder) -> None:
        self._command = [sys.executable, "-P", "-m", "analysis", str(folder), "--wait"]
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> subprocess.Popen[bytes]:
        """Start the process: it imports what it needs, and waits. It ends with this process if it is never begun."""
        if not self._process:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
        return self._process

    def begin(self) -> subprocess.Popen[bytes]:
        """Let it begin."""
        process = self.prepare()
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.close()
        return process


def _exit_code(record: Record, trials: list[str], analysed: int) -> int:
    """Name the failed trials of the sweep, and return the exit code."""
    failed = [record.trials[trial] for trial in trials if record.trials[trial]["status"] == "failed"]
    for row in failed:
        print(f"failed: {row['network']} (seed {row['seed']}): {row['reason']}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} trials failed; the same command tries them again.", file=sys.stderr)
    return 1 if failed else analysed
