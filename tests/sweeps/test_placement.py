"""Which GPU a trial gets: in a model of a node under Ray, and on a real Ray that pretends to have GPUs."""

import contextlib
import fcntl
import functools
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import ray
from ray import tune as ray_tune

from data_prep.storage import Folder
from sweeps.engine import cluster, tune
from sweeps.engine.execution import Execution
from sweeps.engine.resources import cpu_share, gpu_share, room
from sweeps.engine.sweep import FixedList, Sweep
from sweeps.record.writer import Record
from trainables import Recipe
from trainables.training.selection import DataSelection
from trainables.worker import actor
from trainables.worker.assignment import Shared
from trainables.worker.gpus import place

#: Of the table's points, six that two cores can run; three in the longest tier.
REAL = [((4, 8), 12), ((2, 16), 12), ((8, 12), 36)]
REAL += [pytest.param(*point, marks=pytest.mark.disaster) for point in [((1, 8), 36), ((2, 8), 12), ((8, 8), 12)]]
FINISHED = {"status": "finished", "reason": "all epochs are trained", "best_epoch": 1, "validation_accuracy": 0.6}
SHARED = Shared("", DataSelection(Folder("shards")), {}, {}, Folder("record"), "tensorflow", 1.0)
GPUS, CPUS, TRIALS = (1, 2, 4, 8), (8, 12, 16, 64, 192), (12, 36, 50, 720)
SMALL = 10**7  # operations of an image


def request(trials: int, gpus: int, cpus: int, memory: float = 0.005) -> dict[str, float]:
    """What a trial of so many asks of one node."""
    share = cpu_share(trials, cpus, cpus, SMALL)
    return {"cpu": share, "gpu": gpu_share(min(trials, int(cpus // share)), gpus, memory)}


class Node:
    """A node under Ray, which gives each trial of the fullest GPU that has enough left, and CPUs."""

    def __init__(self, asked: dict[str, float], gpus: int, cpus: int, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.cpus, self.left = float(cpus), [1.0] * gpus
        self.running: list[tuple[int, int, contextlib.AbstractContextManager[str]]] = []

    def start(self) -> bool:
        """Start a trial on a GPU that Ray gives, and place it on one of ours. Returns whether there was room."""
        fitting = [left for left in self.left if left + 1e-9 >= self.asked["gpu"]]
        if not fitting or self.cpus < self.asked["cpu"]:
            return False
        rays = self.left.index(min(fitting))
        self.left[rays] -= self.asked["gpu"]
        self.cpus -= self.asked["cpu"]
        held = place(self.folder, [str(gpu) for gpu in range(len(self.left))], self.asked["gpu"])
        self.running.append((rays, int(held.__enter__()), held))
        return True

    def end(self, number: int) -> None:
        rays, _, held = self.running.pop(number)
        held.__exit__(None, None, None)
        self.left[rays] += self.asked["gpu"]
        self.cpus += self.asked["cpu"]


def run(node: Node, trials: int, check: Callable[[Node], object]) -> None:
    """Run trials of random length on a node, which `check` sees after each start."""
    ends, waiting = random.Random(0), trials
    while waiting or node.running:
        while waiting and node.start():
            waiting -= 1
            check(node)
        for _ in range(min(len(node.running), ends.randint(1, 3))):
            node.end(ends.randrange(len(node.running)))


def loads(node: Node, whose: int) -> list[int]:
    """Trials on each GPU, as Ray gives them (0) or as we place them (1)."""
    found = Counter(trial[whose] for trial in node.running)
    return [found[gpu] for gpu in range(len(node.left))]


def check(found: list[int], newest: int, most: int) -> bool:
    """Check the loads of the GPUs once a trial has started on `newest`. Returns whether all places are taken.

    Trials that end together leave a gap, until others have started in their places.
    """
    assert found[newest] - 1 <= min(found), "the trial started on a GPU that ran more than another"
    is_full = sum(found) == most
    assert max(found) - min(found) <= 1 or not is_full
    return is_full


@pytest.mark.parametrize("memory", [0.005, 0.3])
@pytest.mark.parametrize(("gpus", "cpus"), list(itertools.product(GPUS, CPUS)))
def test_no_gpu_runs_two_trials_more_than_another(gpus: int, cpus: int, memory: float, tmp_path: Path) -> None:
    for trials in TRIALS:
        asked, full = request(trials, gpus, cpus, memory), list[bool]()
        most = min(trials, int(cpus // asked["cpu"]), gpus * int(1 / memory))
        run(
            Node(asked, gpus, cpus, tmp_path),
            trials,
            lambda node, most=most, full=full: full.append(check(loads(node, 1), node.running[-1][1], most)),
        )
        assert any(full), "the share of a GPU admits fewer trials than the CPUs and memory"


@pytest.mark.parametrize(("trials", "gpus", "cpus"), [(36, 2, 16), (720, 8, 64), (12, 4, 192)])
def test_ray_alone_would_crowd_the_first_gpus(trials: int, gpus: int, cpus: int, tmp_path: Path) -> None:
    """Whatever the share, so that a trial has to choose its GPU itself."""
    gaps = []
    node = Node(request(trials, gpus, cpus), gpus, cpus, tmp_path)
    run(node, trials, lambda node: gaps.append(max(loads(node, 0)) - min(loads(node, 0))))
    assert max(gaps) > 1


def placed(config: dict[str, Any], folder: Path, share: float, most: int) -> None:
    """A trial that does nothing but hold its GPU, until `most` have, and write down when: in turn, so in true order."""
    held = actor._gpu(share, folder, SHARED)
    with turn(folder) as events:
        held.__enter__()
        print("start", os.environ["CUDA_VISIBLE_DEVICES"], file=events)
    while (folder / "events").read_text().count("start") < most:
        time.sleep(0.1)
    time.sleep(random.uniform(0, 0.3))
    with turn(folder) as events:
        print("end", os.environ["CUDA_VISIBLE_DEVICES"], file=events)
        held.__exit__(None, None, None)
    ray_tune.report(FINISHED)


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[TextIO]:
    with (folder / "events").open("a") as events:
        fcntl.flock(events, fcntl.LOCK_EX)
        yield events


@pytest.fixture
def node(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A Ray of one node that pretends to have GPUs: their number, and that of CPUs."""
    gpus, cpus = request.param
    for name, value in cluster._ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    context = ray.init(address="local", num_gpus=gpus, num_cpus=cpus, **quiet)
    monkeypatch.setattr(cluster, "session_folder", str(context.address_info["session_dir"]))
    yield gpus, cpus
    cluster.disconnect()


@pytest.mark.cluster
@pytest.mark.parametrize(("node", "trials"), REAL, indirect=["node"], ids=str)
def test_ray_places_trials_so(node: tuple[int, int], trials: int, tmp_path: Path) -> None:
    gpus, cpus = node
    asked, folder = request(trials, gpus, cpus), tmp_path / str(trials)
    most = min(trials, int(cpus // asked["cpu"]))
    strategy = FixedList([Recipe("age-c2-f1", seed=seed) for seed in range(trials)])
    folder.mkdir()
    record = Record(Folder(str(folder)), "data")
    execution = Execution(Sweep("age", "Which?", strategy), record, {}, list, lambda: None)
    execution.room = functools.partial(room, asked)
    trainable = ray_tune.with_parameters(placed, folder=folder, share=asked["gpu"], most=most)
    tune.run(execution, ray_tune.with_resources(trainable, asked))
    found, full = [0] * gpus, list[bool]()
    for event, gpu in map(str.split, (folder / "events").read_text().splitlines()):
        found[int(gpu)] += 1 if event == "start" else -1
        if event == "start":
            full.append(check(found, int(gpu), most))
    assert len(full) == trials
    assert any(full)


@pytest.mark.cluster
@pytest.mark.parametrize("node", [(1, 2), (0, 2)], indirect=True, ids=["GPU", "none"])
def test_a_node_with_a_gpu_is_asked_for_what_a_trial_takes(node: tuple[int, int]) -> None:
    asked = ("asked", "jax", False, Recipe("age-c2-f1"), 32, 100)
    stated = cluster.on_gpu_node(actor.stated_bytes, *asked, seconds=60)
    assert stated == (0 if node[0] else None), "JAX sees no GPU, on a node that pretends to have one"
    assert cluster.on_gpu_node(lambda: time.sleep(60), seconds=0.1) is None
    assert cluster.on_gpu_node(lambda: {}["no key"], seconds=60) is None
