"""A sweep from its options to its report: prepare inputs, run what is left of its trials, analyse the record."""

import _thread
import contextlib
import functools
import importlib
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import click

from data_prep import Folder, copies, shards
from data_prep.errors import ENDS, run_command
from data_prep.escaping import printable
from sweeps.engine.execution import Execution
from sweeps.engine.inputs import Inputs, prepare_inputs
from sweeps.engine.options import Asked, Options, command
from sweeps.engine.sweep import Sweep
from sweeps.record import shown
from sweeps.record.lease import Lease, held
from sweeps.record.manifest import describe, looked, make_way, misfit
from sweeps.record.writer import Record
from sweeps.trackers import following
from trainables import MODELS
from trainables.backends import backend
from trainables.record import IMAGES, read_manifest, replicate
from trainables.worker import fork_server
from trainables.worker.assignment import Shared

_SECONDS_TO_REPORT = 30.0  # of a time budget, for Ray to end and the analysis to be written


def main(question: Callable[[Asked], Sweep]) -> None:
    """Run a sweep file as a command."""
    run_command(command_of(question, run))


def command_of(question: Callable[[Asked], Sweep], then: Callable[[Sweep, Asked], Any]) -> click.Command:
    """Build the command that makes a question's sweep, by the options that the question takes, and hands it on."""
    options, summary = get_type_hints(question)["options"], (question.__doc__ or "").strip()
    return command(question.__name__, summary, options, lambda asked: then(question(asked), asked))


def run(sweep: Sweep, options: Options) -> int:
    """Run a sweep, or what is left of it, and analyse its record. Returns the exit code, 1 if a trial failed."""
    options.check(sweep.strategy.representatives)
    backend()
    following.check(options.track)
    if options.plan:
        from sweeps.engine import plan  # imports TensorFlow, to count parameters and time steps

        return plan.show(sweep, options)
    folder = Folder(options.results).folder(sweep.name)
    if _is_complete(sweep, options, folder):
        print(f"Every trial of {folder} is over, and its report shows them.")
        shown.say(folder, opens=options.open)
        return 0
    try:
        inputs = prepare_inputs(sweep.strategy, options)
        arguments = sweep.strategy.network_arguments()
        if arguments:
            inputs.check(arguments)
        with held(folder) as lease:
            make_way(folder, sweep, options, inputs)
            return _run(sweep, options, inputs, folder, lease)
    finally:
        fork_server.stop()


def _is_complete(sweep: Sweep, options: Options, folder: Folder) -> bool:
    """Whether nothing is left to do, and the report shows it. Takes neither TensorFlow nor Ray nor an image.

    Pretrained weights that are given are not compared here: it takes long to read them.
    """
    if options.fresh or options.weights or not shown.is_current(folder):
        return False
    manifest, selection = read_manifest(folder), options.selection()
    fingerprint = selection.fingerprint(shards.read_manifest(selection.folder).fingerprint)
    if not manifest.is_over or misfit(manifest, sweep, options, fingerprint):
        return False
    record = Record(folder, fingerprint)
    with tempfile.TemporaryDirectory() as scratch:
        sweep.strategy.open(record, Path(scratch))
        recipes = sweep.strategy.next_recipes(record)
    is_over = all(record.is_complete(record.identity(recipe)) for recipe in recipes)
    return is_over and not any(each.behind() for each in following.exporters_of(record, sweep.name, options.track))


def _run(sweep: Sweep, options: Options, inputs: Inputs, folder: Folder, lease: Lease) -> int:
    """Run what is left of a sweep, as the only one that writes its record, and name the trials that failed."""
    start_analysis = functools.cache(lambda: _analysis(folder, options, inputs))
    record = Record(folder, inputs.data.fingerprint)
    sweep.strategy.open(record, inputs.node_folder)
    images = {"train": inputs.data.train_images, "validation": len(inputs.data.validation)}
    execution = Execution(sweep, record, images, inputs.longest_first, start_analysis)
    is_main = threading.current_thread() is threading.main_thread()

    def interrupt() -> None:
        execution.interrupt()  # which ends a sweep that ignores SIGINT, too, as one in a script's background does
        if is_main:
            _thread.interrupt_main()

    lease.interrupt = execution.interrupt_main = interrupt
    with (
        execution.raising_its_error(),
        following.following(record, sweep.name, options.track, lease),
        contextlib.ExitStack() as at_end,
    ):
        has_work = execution.has_work()
        if has_work or not read_manifest(folder).is_over:
            begun, is_over, beside = time.monotonic(), threading.Event(), ThreadPoolExecutor(1)
            at_end.callback(is_over.set)  # for Ctrl-C waits neither for linear probes nor for costs
            floor = beside.submit(inputs.probe, is_over)
            beside.shutdown(wait=False)
            if has_work:
                _run_on_cluster(execution, options, inputs, lease, at_end, is_over)
            _complete(record, floor.result(), time.monotonic() - begun)
        analysis = start_analysis()
        assert analysis.stdin
        with contextlib.suppress(BrokenPipeError), analysis.stdin:  # while Ray ends, the analysis begins
            analysis.stdin.write(b"\n")
    code = _code_of(analysis)
    failed = [record.trials[trial] for trial in execution.proposed if record.trials[trial]["status"] == "failed"]
    for row in failed:
        print(printable(f"failed: {row['network']} ({replicate(row)}): {row['reason']}"), file=sys.stderr)
    if failed:
        print(ENDS["failed"].sentence.format(count=len(failed)), file=sys.stderr)
    return code or (ENDS["failed"].code if failed else 0)


def _analysis(folder: Folder, options: Options, inputs: Inputs) -> "subprocess.Popen[bytes]":
    """A process that imports its packages, waits for a line, and then analyses. If this process dies first, so does it.

    Ctrl-C is for this process, which says so.
    """
    words = [sys.executable, "-P", "-m", "analysis", str(folder), "--wait", *["--open"] * options.open]
    words += ["--data", str(inputs.selection.folder)]
    words += ["--margin", f"{options.margin:g}"] if options.margin is not None else []
    output = None if sys.stdout is sys.__stdout__ else subprocess.PIPE  # within a notebook, which has no other
    environment = os.environ | ({"FORCE_COLOR": ""} if output else {})  # which a kernel sets
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=output, env=environment, start_new_session=True)


def _code_of(analysis: "subprocess.Popen[bytes]") -> int:
    """The exit code of the analysis, once it has ended, and its output is shown."""
    try:
        if analysis.stdout:
            print(analysis.stdout.read().decode(), end="")
        code = analysis.wait()
    except BaseException:
        analysis.kill()
        raise
    if code >= 0:
        return code
    print(ENDS["unreported"].sentence, file=sys.stderr)
    return ENDS["unreported"].code


def _run_on_cluster(
    execution: Execution,
    options: Options,
    inputs: Inputs,
    lease: Lease,
    at_end: contextlib.ExitStack,
    is_over: threading.Event,
) -> None:
    """Join a cluster, which is left `at_end`, write down what is about to run, and run it."""
    from sweeps.engine import cluster, resources

    sweep, record, beside = execution.sweep, execution.record, ThreadPoolExecutor(1)
    measured = beside.submit(inputs.measure, [*sweep.strategy.representatives, *sweep.strategy.follow_ups], is_over)
    beside.shutdown(wait=False)  # for the fork server may still be importing TensorFlow
    at_end.callback(cluster.disconnect)
    print(cluster.connect(execution.fail), flush=True)
    importlib.import_module("sweeps.engine.tune")
    measured.result()
    request = resources.request(sweep.strategy, inputs, options, record.trials.values())
    execution.room = functools.partial(resources.room, request)
    manifest = describe(sweep, options, inputs, cluster.hardware(), record.folder)
    lease.check()
    cluster.check_shared(lease.folder, lease.name)
    record.write()
    record.folder.write_table(IMAGES, inputs.selection.image_rows(inputs.data))
    copies.take_sheet(inputs.selection.folder, record.folder)
    manifest.write(record.folder)
    _train(execution, options, inputs, lease, request, manifest.backend)


def _complete(record: Record, floor: dict[str, Any] | None, seconds: float) -> None:
    """Complete the manifest of a sweep that is over, though an earlier run may have been killed on the way to this."""
    manifest = read_manifest(record.folder)
    seeds = sorted({row["seed"] for row in record.trials.values()})
    over = replace(manifest, wall_seconds=seconds, floor=floor, seeds=seeds, looks=looked(manifest, record))
    over.write(record.folder)


def _train(
    execution: Execution, options: Options, inputs: Inputs, lease: Lease, request: dict[str, float], backend: str
) -> None:
    """Run the trials, and leave the record as one that the same command continues, however they end."""
    from sweeps.engine import cluster, tune

    record, strategy, budget = execution.record, execution.sweep.strategy, execution.sweep.time_budget
    deadline = options.begun + budget - _SECONDS_TO_REPORT if budget else math.inf
    try:
        if time.monotonic() < deadline:
            shared = Shared(
                token=inputs.token,
                selection=inputs.selection,
                models=MODELS,
                weights={body: weights.layers for body, weights in inputs.weights.items()},
                record=record.folder.absolute(),
                backend=backend,
                hang_minutes=options.hang_minutes,
                fingerprint=inputs.data.fingerprint,
                home=(cluster.here(), inputs.node_folder) if cluster.may_be_unseen(inputs.selection.folder) else None,
                has_all_gpus=cluster.has_all_gpus(),
                mps=options.mps,
            )
            tune.run_trials(execution, shared, request, deadline)
    finally:
        if not lease.error:  # for then the record is another sweep's
            record.interrupt()
            record.write()
            strategy.close(record)
        over = sum(map(record.is_complete, record.trials))
        print(f"{over} of {len(record.trials)} trials are over.")
    left = max(strategy.planned, len(record.trials)) - over
    if left and time.monotonic() >= deadline:
        print(ENDS["budget"].sentence.format(count=left))
