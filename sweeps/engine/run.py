"""A sweep: some recipes, trained side by side on Ray, and the record of what came out."""

import contextlib
import importlib
import math
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa

from data_prep.errors import InputError, run_command
from data_prep.storage import Folder
from sweeps.engine import options as _options
from sweeps.engine.options import Options
from sweeps.record import lease as _lease
from sweeps.record.manifest import Inputs, describe, make_way
from sweeps.record.writer import IMAGES, MANIFEST, Record, read_manifest
from sweeps.trackers import following as _trackers
from trainables import MODELS, Recipe
from trainables.layers.pretrained import Weights, find_weights
from trainables.training import probes as _probes
from trainables.training.selection import Source, image_rows, in_memory, shared_data
from trainables.worker import fork_server as _forkserver

if TYPE_CHECKING:
    from sweeps.engine.resources import Costs
    from sweeps.searching.seeker import Seeker
    from sweeps.searching.space import Values
    from sweeps.searching.study import Search

__all__ = ["Options", "Sweep", "main", "run"]

_MOST_ROUNDS = 3
_SECONDS_TO_REPORT = 30.0  # of a time budget, for Ray to end and the analysis to be written


@dataclass(frozen=True)
class Sweep:
    """A question, and the recipes whose results answer it. `metric` is of validation; `direction` is max or min.

    In a search, `recipes` are one of each network, from which a trial's needs are judged, and `recipe` makes one of the
    values that the search suggests. `then`, whenever all trials so far are over, gives the recipes that follow from the
    record; the sweep ends once there is none among them that it has not run. `settings` are options of the sweep's own
    that decide what a result means.
    """

    name: str
    question: str
    recipes: Sequence[Recipe]
    metric: str = "validation_accuracy"
    direction: str = "max"
    search: "Search | None" = None
    recipe: "Callable[[Values], Recipe] | None" = None
    then: Callable[[Record], Sequence[Recipe]] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def main(question: Callable[[Options], Sweep], own: Sequence[click.Option] = ()) -> None:
    """Run a sweep file as a command, with options of its `own` beside those of every sweep."""
    summary = (question.__doc__ or "").strip()
    run_command(_options.command(question.__name__, summary, lambda options: run(question(options), options), own))


def run(sweep: Sweep, options: Options) -> int:
    """Run a sweep, or what is left of it, and analyse its record. Returns the exit code: 1 if a trial failed."""
    options.check([recipe.network for recipe in sweep.recipes])
    _trackers.check(options.track)
    shard_folder = options.shard_folder()
    if options.plan:
        from sweeps.engine import plan  # imports TensorFlow, to count parameters and time steps

        return plan.show(sweep, shard_folder, options)
    token = secrets.token_hex(6)
    place = _forkserver.place(token)
    _forkserver.start(place)  # imports TensorFlow while this process prepares
    try:
        source = Source(shard_folder, options.limit, options.smoke)
        return _run(sweep, options, Inputs(source, shared_data(source, place), _weights(sweep, options), token))
    finally:
        _forkserver.stop()


def _run(sweep: Sweep, options: Options, inputs: Inputs) -> int:
    if sweep.search:
        _check(sweep.search, inputs)
    folder = Folder(options.results).folder(sweep.name)
    with _lease.held(folder) as lease:
        return _run_alone(sweep, options, inputs, folder, lease)


def _run_alone(sweep: Sweep, options: Options, inputs: Inputs, folder: Folder, lease: _lease.Lease) -> int:
    """Run what is left of a sweep, as the only one that writes its record."""
    make_way(folder, sweep, options, inputs)
    with contextlib.ExitStack() as cluster:
        record = Record(folder)
        trackers = _trackers.following(record, sweep.name, inputs.data.fingerprint, options.track, lease)
        job = _Job(sweep, options, inputs, record, lease, cluster, cluster.enter_context(trackers))
        wanted = job.search(sweep.search) if sweep.search else job.train(sweep.recipes)
        while sweep.then and not job.is_cut_short and all(map(job.record.is_over, wanted)):
            more = [trial for trial in job.train(sweep.then(job.record)) if trial not in wanted]
            if not more:
                break
            wanted += more
        job.end()
        analysed = job.analysis.begin()
    return _finish(job.record, wanted, analysed.wait())


class _Analysis:
    """The analysis of a record, in a process of its own."""

    def __init__(self, folder: Folder) -> None:
        self._words = [sys.executable, "-P", "-m", "analysis", str(folder), "--wait"]
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> subprocess.Popen[bytes]:
        """Start the process: it imports what it needs, and waits. Never told to begin, it ends with this one."""
        if not self._process:
            self._process = subprocess.Popen(self._words, stdin=subprocess.PIPE)
        return self._process

    def begin(self) -> subprocess.Popen[bytes]:
        """Let it begin."""
        process = self.prepare()
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.close()
        return process


def _check(search: "Search", inputs: Inputs) -> None:
    """Raises InputError for a method that does not fit its space, and for options that a network does not take."""
    from sweeps.searching import space as _space
    from trainables.training.network import refusals

    search.check()
    asked = _space.options_to_check(search.space)
    for refusal in _forkserver.stream(_forkserver.place(inputs.token), refusals, asked, MODELS):
        raise InputError(refusal)


def _weights(sweep: Sweep, options: Options) -> dict[str, Weights]:
    """The pretrained weights that the sweep's networks start from. A smoke run does not wait for a download."""
    bodies = {MODELS[recipe.network].pretrained for recipe in sweep.recipes} - {""}
    if bodies and options.smoke and not options.weights:
        print(f"A smoke run: random weights stand in for ImageNet's ({', '.join(sorted(bodies))}).", flush=True)
        return {}
    return find_weights(sorted(bodies), options.weights)


@dataclass
class _Job:
    """A sweep that runs: what it is, what it is given, and its record. It joins a cluster when it first needs one.

    The cluster is left with `cluster`, beside what then is still to do.
    """

    sweep: Sweep
    options: Options
    inputs: Inputs
    record: Record
    lease: _lease.Lease
    cluster: contextlib.ExitStack
    trackers: _trackers.Trackers
    started: float = 0.0
    is_cut_short: bool = False  # by the time budget

    @cached_property
    def _floor(self) -> "Future[dict[str, Any] | None]":
        """What linear probes reach on the same images, measured beside the trials."""
        place, pool = _forkserver.place(self.inputs.token), ThreadPoolExecutor(1)
        found = pool.submit(next, _forkserver.stream(place, _probes.measure, self.inputs.source, place), None)
        pool.shutdown(wait=False)
        return found

    @cached_property
    def analysis(self) -> _Analysis:
        """What follows on the sweep."""
        return _Analysis(self.record.folder)

    def train(self, recipes: Sequence[Recipe]) -> list[str]:
        """Run what is left of some recipes. Returns the identities of all of them."""
        from sweeps.engine import resources as _resources

        wanted = {recipe.identity(self.inputs.data.fingerprint): recipe for recipe in recipes}
        for trial, recipe in wanted.items():
            self.record.add(trial, recipe)
        left = [trial for trial in wanted if not self.record.is_over(trial)]
        if left:
            costs, resources = self._begin(recipes, len(recipes))
            left.sort(key=lambda trial: _resources.work(self.record.recipe(trial), costs), reverse=True)
            with self._running():
                self._train(left, resources)
        return list(wanted)

    def search(self, search: "Search") -> list[str]:
        """Run what is left of a search. Returns the identities of all its trials."""
        from sweeps.searching.seeker import Seeker

        assert self.sweep.recipe
        data = self.inputs.data
        sizes = {"train_images": len(data.train), "validation_images": len(data.validation)}
        journal = _forkserver.place(self.inputs.token) / "study.journal"
        seeker = Seeker(search, self.record, self.sweep.recipe, data.fingerprint, sizes, journal)
        if seeker.left:
            at_once = min(search.trials, self.options.own.get("max_concurrent") or search.trials)
            _, resources = self._begin(self.sweep.recipes, at_once)
            with self._running():
                try:
                    self._seek(seeker, resources, at_once)
                finally:
                    if not self.lease.error:
                        seeker.save()
        return seeker.trials

    def end(self) -> None:
        """Complete the manifest, if there was anything to do."""
        if self.started:
            seconds = time.monotonic() - self.started
            seeds = sorted({row["seed"] for row in self.record.trials.values()})
            manifest = read_manifest(self.record.folder)
            known = {"wall_seconds": seconds, "seeds": seeds, "floor": self._floor.result()}
            self.record.folder.write_json(MANIFEST, manifest | known)

    def _begin(self, recipes: Sequence[Recipe], trials: int) -> "tuple[Costs, dict[str, float]]":
        """Join a cluster, and write down what is about to run: so many trials of recipes like these.

        Returns costs, and what a trial asks for.
        """
        from sweeps.engine import cluster as _cluster
        from sweeps.engine import resources as _resources

        is_first, self.started = not self.started, self.started or time.monotonic()
        if is_first:
            _ = self._floor  # begins
        with ThreadPoolExecutor(1) as beside:  # the fork server may still be importing TensorFlow
            measured = beside.submit(_resources.costs, recipes, self.inputs)
            if is_first:
                self.cluster.callback(_cluster.disconnect)
                print(_cluster.connect(), flush=True)
                importlib.import_module("sweeps.engine.tune")
            costs = measured.result()
        resources = _resources.request(recipes, trials, costs, self.inputs, self.options)
        if is_first:
            manifest = describe(self.sweep, self.options, self.inputs, _cluster.hardware())
            self.lease.check()
            _cluster.check_shared(self.lease.folder, self.lease.name)
            self.record.write()
            images = image_rows(self.inputs.source.folder, self.inputs.data)
            self.record.folder.write_table(IMAGES, pa.table(images))
            self.record.folder.write_json(MANIFEST, manifest)
        return costs, resources

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """While trials run. However that ends, the record is left as one that can be gone on with."""
        try:
            yield
        finally:
            if not self.lease.error:  # for then the record is another's
                self.record.put_back_running()
                self.record.write()
            over = sum(self.record.is_over(trial) for trial in self.record.trials)
            print(f"{over} of {len(self.record.trials)} trials are over.")

    def _train(self, left: list[str], resources: dict[str, float]) -> None:
        from sweeps.engine.tune import tune_trials

        trainable, prepare = self._trainable(), self.analysis.prepare
        for _ in range(_MOST_ROUNDS):  # a trial whose node goes while it is being placed is not tried again by Tune
            seconds = self._seconds_left(len(left))
            if not seconds:
                return
            tune_trials(self.record, trainable, left, resources, seconds, prepare, self.trackers)
            left = [trial for trial in left if self.record.trials[trial]["status"] in ("pending", "running")]
            if not left:
                return

    def _seek(self, seeker: "Seeker", resources: dict[str, float], at_once: int) -> None:
        from sweeps.engine import resources as _resources
        from sweeps.engine.tune import tune_search

        at_once = min(at_once, _resources.room(resources))
        for _ in range(_MOST_ROUNDS + 1):
            seeker.begin_round()
            seconds = self._seconds_left(seeker.left)
            if not seconds:
                return
            tune_search(self.record, self._trainable(), seeker, resources, at_once, seconds, self.trackers)

    def _seconds_left(self, trials: int) -> float:
        """Of the time budget, while there are trials left: none, and it is said, once it is spent."""
        budget = self.options.own.get("time_budget")
        seconds = self.options.begun + budget - _SECONDS_TO_REPORT - time.monotonic() if budget else math.inf
        if trials and seconds <= 0:
            self.is_cut_short = True
            print(f"The time budget is spent: the same command goes on, with {trials} trials left.")
        return max(0.0, seconds) if trials else 0.0

    def _trainable(self) -> Callable[..., None]:
        import ray
        from ray import tune

        from sweeps.engine import cluster as _cluster
        from trainables.worker.actor import run_trial

        shared = {
            "source": self.inputs.source,
            "models": MODELS,
            "weights": {body: weights.layers for body, weights in self.inputs.weights.items()},
            "record": self.record.folder.absolute(),
            "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        }
        if _cluster.must_send(self.inputs.source.folder):
            shared["data"] = ray.put(in_memory(self.inputs.data))
        hang = self.options.hang_minutes
        return tune.with_parameters(run_trial, token=self.inputs.token, shared=shared, hang_minutes=hang)  # type: ignore[no-any-return]


def _finish(record: Record, wanted: list[str], analysed: int) -> int:
    """List the wanted trials that failed, and return the exit code."""
    failed = [record.trials[trial] for trial in wanted if record.trials[trial]["status"] == "failed"]
    for row in failed:
        print(f"failed: {row['network']} (seed {row['seed']}): {row['reason']}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} trials failed; the same command tries them again.", file=sys.stderr)
    return 1 if failed else analysed
