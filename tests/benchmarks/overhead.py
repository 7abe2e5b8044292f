"""What a trial that does nothing costs: ours, with record, display and a forked process each, and plain Ray Tune."""

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
KINDS = ["plain Ray Tune, reused actors", "ours"]


def measure(repeats: int, counts: tuple[int, ...] = COUNTS) -> pd.DataFrame:
    """One row a number of trials, kind and repeat: seconds a trial, once Ray and the fork server are up."""
    rows = []
    for count in counts:
        for _ in range(repeats):
            for kind in KINDS:
                rows.append((count, kind, in_own_process(kind, count) / count))
                print(f"  {count} trials, {kind}: {rows[-1][2]:.3f} s each", flush=True)
    return pd.DataFrame(rows, columns=["trials", "kind", "seconds a trial"])


def in_own_process(kind: str, count: int) -> float:
    words = [sys.executable, __file__, kind, str(count)]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(words, env=here, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(json.loads(done.stdout.splitlines()[-1]))


def ours(count: int) -> float:
    from overhead import empty_trial, nothing  # by a name that the forked process knows too

    from data_prep.storage import Folder
    from sweeps.engine import cluster as _cluster
    from sweeps.engine import tune as _tuner
    from sweeps.record.writer import Record
    from trainables import Recipe
    from trainables.worker import fork_server as _forkserver

    place = _forkserver.place("overhead")
    _forkserver.start(place)
    _cluster.connect()
    list(_forkserver.stream(place, nothing))  # the import of TensorFlow is no trial's
    with tempfile.TemporaryDirectory() as folder:
        record = Record(Folder(folder))
        for seed in range(count):
            record.add(str(seed), Recipe("age-c2-f1", epochs=1, seed=seed))
        started = time.perf_counter()
        _tuner.tune_trials(record, empty_trial, list(record.trials), {"cpu": 1})
        record.write()
        seconds = time.perf_counter() - started
        finished = sum(row["status"] == "finished" for row in Record(Folder(folder)).trials.values())
        assert finished == count, finished
    _forkserver.stop()
    return seconds


def nothing() -> Iterator[dict[str, Any]]:
    result = {"status": "finished", "reason": "", "best_epoch": 1, "validation_accuracy": 0.5, "wall_seconds": 0.0}
    yield {"rows": [{"epoch": 1, "validation_accuracy": 0.5}], "result": {}}
    yield {"rows": [], "result": result}


def empty_trial(config: dict[str, Any]) -> None:
    from ray import tune

    from trainables.worker import fork_server as _forkserver

    for report in _forkserver.stream(_forkserver.place("overhead"), nothing):
        tune.report(report)


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
    print(json.dumps({"ours": ours, KINDS[0]: plain}[sys.argv[1]](int(sys.argv[2]))))
