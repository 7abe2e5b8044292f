"""What a trial that does nothing costs: ours, with record, display and a forked process each, and plain Ray Tune.

    python tests/benchmarks/overhead.py "plain Ray Tune, reused actors" 1000
    python tests/benchmarks/overhead.py ours 1000
    python tests/benchmarks/overhead.py "ours, 8 pretended nodes" 1000

Each prints its seconds. `submitted` prints the driver's, from the strategy's recipes to Tune's trials: nothing is run.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

COUNTS = (10, 100, 1_000)
SUBMITTED = (1_000, 10_000)
KINDS = ["plain Ray Tune, reused actors", "ours"]
NODES = 8


def measure(repeats: int, counts: tuple[int, ...] = COUNTS) -> pd.DataFrame:
    """One row a number of trials, kind and repeat: seconds a trial, once Ray and the fork server are up."""
    rows = []
    for count in counts:
        for _ in range(repeats):
            for kind in KINDS:
                rows.append((count, kind, in_own_process(kind, count) / count))
                print(f"  {count} trials, {kind}: {rows[-1][2]:.3f} s each", flush=True)
    return pd.DataFrame(rows, columns=["trials", "kind", "seconds a trial"])


def submissions(repeats: int) -> pd.DataFrame:
    """One row a number of trials and repeat: milliseconds of driver a trial to submit it."""
    rows = [(count, 1000 * in_own_process("submitted", count) / count) for count in SUBMITTED for _ in range(repeats)]
    return pd.DataFrame(rows, columns=["trials", "milliseconds a trial"])


def in_own_process(kind: str, count: int) -> float:
    words = [sys.executable, __file__, kind, str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(json.loads(done.stdout.splitlines()[-1]))


def execution_of(count: int, folder: str) -> Any:
    """A sweep of so many trials that differ in their seeds."""
    from data_prep.storage import Folder
    from sweeps.engine.execution import Execution
    from sweeps.engine.sweep import FixedList, Sweep
    from sweeps.record.writer import Record
    from trainables import Recipe

    recipes = [Recipe("age-c2-f1", epochs=1, seed=seed) for seed in range(count)]
    images = {"train": 100, "validation": 20}
    return Execution(
        Sweep("overhead", "", FixedList(recipes)),
        Record(Folder(folder)),
        images,
        lambda recipes: recipes,
        lambda: None,
    )


def ours_on_nodes(count: int) -> float:
    """On as many Ray nodes as it has, each of one CPU, all of this machine."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(NODES - 1):
        nodes.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = nodes.address
    return ours(count, room=NODES)


def ours(count: int, room: int | None = None) -> float:
    from overhead import empty_trial  # by a name that the forked process knows too
    from ray import tune as ray_tune

    from data_prep.storage import Folder
    from sweeps.engine import cluster, tune
    from sweeps.record.writer import Record
    from trainables.worker import fork_server

    node_folder = fork_server.node_folder("overhead")
    fork_server.start(node_folder)
    cluster.connect()
    list(fork_server.stream(node_folder, "overhead:nothing"))  # the import of TensorFlow is no trial's
    with tempfile.TemporaryDirectory() as folder:
        execution = execution_of(count, folder)
        execution.room = lambda: room or os.cpu_count() or 1
        started = time.perf_counter()
        tune.run(execution, ray_tune.with_resources(empty_trial, {"cpu": 1}))
        execution.record.write()
        seconds = time.perf_counter() - started
        finished = sum(row["status"] == "finished" for row in Record(Folder(folder)).trials.values())
        assert finished == count, finished
    fork_server.stop()
    return seconds


def nothing() -> Iterator[dict[str, Any]]:
    yield {"epoch": 1, "validation_accuracy": 0.5, "validation_loss": 0.7, "train_loss": 0.7, "train_accuracy": 0.5}
    yield {"status": "finished", "reason": "", "best_epoch": 1, "validation_accuracy": 0.5, "wall_seconds": 0.0}


def empty_trial(config: dict[str, Any]) -> None:
    from ray import tune

    from trainables.worker import fork_server

    for report in fork_server.stream(fork_server.node_folder("overhead"), "overhead:nothing"):
        tune.report(report)


def submitted(count: int) -> float:
    """CPU seconds that the driver takes to submit so many trials to Tune; each leaves at once."""
    from ray import tune
    from ray.tune.experiment import Experiment
    from ray.tune.search.search_generator import SearchGenerator

    from sweeps.engine.tune import _Searcher

    with tempfile.TemporaryDirectory() as folder:
        execution = execution_of(count, folder)
        searcher = SearchGenerator(_Searcher(execution))
        trainable = tune.with_resources(lambda config: None, {"cpu": 1})
        searcher.add_configurations([Experiment("tune", trainable, storage_path=folder, num_samples=10 * count)])
        started, trials = time.process_time(), 0
        while trial := searcher.next_trial():
            trial.create_placement_group_factory()
            trials += 1
            execution.release()
        seconds = time.process_time() - started
    assert trials == count, trials
    return seconds


def plain(count: int) -> float:
    import ray
    from ray import tune

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(lambda config: tune.report({"accuracy": 0.5}), {"cpu": 1}),
            param_space={"seed": tune.grid_search(list(range(count)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        started = time.perf_counter()
        assert len(tuner.fit()) == count
        return time.perf_counter() - started


if __name__ == "__main__":
    here = str(Path(__file__).parent)  # where the processes of trials find `empty_trial`
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    kinds = {"ours": ours, "ours, 8 pretended nodes": ours_on_nodes, "submitted": submitted, KINDS[0]: plain}
    print(json.dumps(kinds[sys.argv[1]](int(sys.argv[2]))))
