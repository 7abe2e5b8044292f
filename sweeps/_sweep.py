"""A sweep: some recipes, trained side by side on Ray, and the record of what came out. The only place with a Tuner."""

import contextlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
import pyarrow as pa

from data_prep._command import run_command
from data_prep._storage import Folder
from sweeps import _lease, _options
from sweeps._manifest import Inputs, describe, make_way
from sweeps._options import Options
from sweeps._progress import Display
from sweeps._record import IMAGES, MANIFEST, Record
from trainables import MODELS, Recipe, _forkserver
from trainables._data import Source, image_rows, in_memory, shared_data
from trainables._weights import Weights, find

__all__ = ["Options", "Sweep", "main", "run"]

_MOST_ROUNDS = 3


@dataclass(frozen=True)
class Sweep:
    """A question, and the recipes whose results answer it. `metric` is of validation; `direction` is max or min."""

    name: str
    question: str
    recipes: Sequence[Recipe]
    metric: str = "validation_accuracy"
    direction: str = "max"


def main(question: Callable[[Options], Sweep], own: Sequence[click.Option] = ()) -> None:
    """Run a sweep file as a command, with options of its `own` beside those of every sweep."""
    summary = (question.__doc__ or "").strip()
    run_command(_options.command(question.__name__, summary, lambda options: run(question(options), options), own))


def run(sweep: Sweep, options: Options) -> int:
    """Run a sweep, or what is left of it, and analyse its record. Returns the exit code: 1 if a trial failed."""
    options.check([recipe.network for recipe in sweep.recipes])
    shard_folder = options.shard_folder()
    if options.plan:
        from sweeps import _plan  # imports TensorFlow, to count parameters and time steps

        return _plan.show(sweep, shard_folder, options)
    token = secrets.token_hex(6)
    place = _forkserver.place(token)
    _forkserver.start(place)  # imports TensorFlow while this process prepares
    try:
        source = Source(shard_folder, options.limit, options.smoke)
        return _run(sweep, options, Inputs(source, shared_data(source, place), _weights(sweep, options), token))
    finally:
        _forkserver.stop()


def _run(sweep: Sweep, options: Options, inputs: Inputs) -> int:
    folder = Folder(options.results).folder(sweep.name)
    with _lease.held(folder) as lease:
        return _run_alone(sweep, options, inputs, folder, lease)


def _run_alone(sweep: Sweep, options: Options, inputs: Inputs, folder: Folder, lease: _lease.Lease) -> int:
    """Run what is left of a sweep, as the only one that writes its record."""
    make_way(folder, options, inputs)
    record = Record(folder)
    wanted = {recipe.identity(inputs.data.fingerprint): recipe for recipe in sweep.recipes}
    for trial, recipe in wanted.items():
        record.add(trial, recipe)
    left = [trial for trial in wanted if not record.is_over(trial)]
    with contextlib.ExitStack() as cluster:
        if left:
            _run_on_ray(sweep, options, record, inputs, left, cluster, lease)
        analysis = subprocess.Popen([sys.executable, "-P", "-m", "analysis", str(record.folder)])
    return _finish(record, list(wanted), analysis.wait())


def _weights(sweep: Sweep, options: Options) -> dict[str, Weights]:
    """The pretrained weights that the sweep's networks start from. A smoke run does not wait for a download."""
    bodies = {MODELS[recipe.network].pretrained for recipe in sweep.recipes} - {""}
    if bodies and options.smoke and not options.weights:
        print(f"A smoke run: random weights stand in for ImageNet's ({', '.join(sorted(bodies))}).", flush=True)
        return {}
    return find(sorted(bodies), options.weights)


def _run_on_ray(
    sweep: Sweep,
    options: Options,
    record: Record,
    inputs: Inputs,
    left: list[str],
    cluster: contextlib.ExitStack,
    lease: _lease.Lease,
) -> None:
    """Run the trials that are left. The cluster is left with `cluster`, beside what then is still to do."""
    from sweeps import _cluster, _resources

    started = time.monotonic()
    cluster.callback(_cluster.disconnect)
    print(_cluster.connect(), flush=True)
    costs = _resources.costs(sweep.recipes, inputs)
    resources = _resources.request(sweep.recipes, costs, inputs, options)
    left = sorted(left, key=lambda trial: _resources.work(record.recipe(trial), costs), reverse=True)
    manifest = describe(sweep, options, inputs, _cluster.hardware())
    lease.check()
    _cluster.check_shared(lease.folder, lease.name)
    record.write()
    record.folder.write_table(IMAGES, pa.table(image_rows(inputs.source.folder, inputs.data)))
    record.folder.write_json(MANIFEST, manifest)
    try:
        _tune(record, inputs, left, resources, options.hang_minutes)
    finally:
        if not lease.error:  # for then the record is another's
            record.put_back_running()
            record.write()
        over = sum(record.is_over(trial) for trial in record.trials)
        print(f"{over} of {len(record.trials)} trials are over.")
    record.folder.write_json(MANIFEST, manifest | {"wall_seconds": time.monotonic() - started})


def _tune(record: Record, inputs: Inputs, left: list[str], resources: dict[str, float], hang_minutes: float) -> None:
    import ray
    from ray import tune

    from sweeps import _cluster
    from trainables._actor import run_trial

    shared = {
        "source": inputs.source,
        "models": MODELS,
        "weights": {body: weights.layers for body, weights in inputs.weights.items()},
        "record": record.folder.absolute(),
    }
    if _cluster.must_send(inputs.source.folder):
        shared["data"] = ray.put(in_memory(inputs.data))
    trainable = tune.with_parameters(run_trial, token=inputs.token, shared=shared, hang_minutes=hang_minutes)
    for _ in range(_MOST_ROUNDS):  # a trial whose node goes while it is being placed is not tried again by Tune
        tune_trials(record, trainable, left, resources)
        left = [trial for trial in left if record.trials[trial]["status"] == "pending"]
        if not left:
            return


def tune_trials(record: Record, trainable: Callable[..., None], left: list[str], resources: dict[str, float]) -> None:
    """Run the trials that are left on the connected cluster, as many at once as it has room for, in this order."""
    from ray import tune

    from sweeps._recorder import MOST_LOSSES, Recorder

    orders = [{"trial": trial, "knobs": record.recipe(trial).knobs()} for trial in left]
    with Display(record) as display, tempfile.TemporaryDirectory() as scratch:  # for Tune's own state, never read again
        recorder = Recorder(record, display)
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            param_space={"order": tune.grid_search(orders)},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[recorder],
                failure_config=tune.FailureConfig(max_failures=MOST_LOSSES),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except KeyboardInterrupt:
            if recorder.error:
                raise recorder.error
            raise


def _finish(record: Record, wanted: list[str], analysed: int) -> int:
    """List the wanted trials that failed, and return the exit code."""
    failed = [record.trials[trial] for trial in wanted if record.trials[trial]["status"] == "failed"]
    for row in failed:
        print(f"failed: {row['network']} (seed {row['seed']}): {row['reason']}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} trials failed; the same command tries them again.", file=sys.stderr)
    return 1 if failed else analysed
