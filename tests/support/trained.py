"""The record that sweeps/zoo.py leaves, without Ray: python -m support.trained OPTIONS OF THE ZOO

Strategy, execution, trials and manifest are a sweep's; only the trials run one after the other, in this process.
"""

import contextlib
import os
import shutil
import sys

from data_prep.errors import run_command
from data_prep.storage import Folder
from sweeps.engine.execution import Execution
from sweeps.engine.inputs import Inputs
from sweeps.engine.options import command
from sweeps.record.manifest import describe
from sweeps.record.writer import Record
from sweeps.zoo import ZooOptions, zoo
from trainables import MODELS
from trainables.record import IMAGES
from trainables.worker.assignment import Assignment, Shared
from trainables.worker.trial import run_trial


def train(options: ZooOptions) -> int:
    """Train the networks that the options ask for. Returns the exit code."""
    sweep = zoo(options)
    inputs = Inputs(options.selection(), {}, f"trained-{os.getpid()}")
    folder = Folder(options.results).folder(sweep.name)
    with contextlib.ExitStack() as at_the_end:
        inputs.node_folder.mkdir()
        at_the_end.callback(shutil.rmtree, inputs.node_folder)
        record = Record(folder, inputs.data.fingerprint)
        describe(sweep, options, inputs, {"nodes": [], "cpus": 1, "gpus": 0}, folder).write(folder)
        folder.write_table(IMAGES, inputs.selection.image_rows(inputs.data))
        run_trials(Execution(sweep, record, {}, list, lambda: None), inputs)
        record.write()
    return 0


def run_trials(execution: Execution, inputs: Inputs) -> None:
    """Run trials one after the other until none is left."""
    record = execution.record
    shared = Shared("", inputs.selection, MODELS, {}, record.folder, "tensorflow", 1.0)
    while trial := execution.next_trial():
        execution.mark_running(trial)
        assignment = Assignment(trial, record.recipe(trial), 1, shared)
        for report in run_trial(assignment, inputs.node_folder):
            execution.enter_report(trial, {"device": "CPU of a test"} | report)
        execution.release()


if __name__ == "__main__":
    run_command(command("trained", train.__doc__ or "", ZooOptions, train), sys.argv[1:])
