"""What trials take: time, shares of CPUs and GPUs, and the cluster they are shares of."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.errors import InputError
from data_prep.job import prepare
from support.trees import make_tree
from sweeps.engine import cluster, plan, resources
from sweeps.engine.options import Options
from sweeps.engine.plan import _at_once, by_cost
from sweeps.engine.resources import cpu_share, gpu_share, request
from sweeps.engine.sweep import FixedList, Sweep
from trainables import Recipe
from trainables.training.cost import Cost
from trainables.training.pipeline.backend import backend
from trainables.training.selection import Data, Split


def test_the_address_of_a_dashboard_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(InputError, match="address of its dashboard"):
            cluster.connect()


@pytest.mark.parametrize(
    ("trials", "gpus", "memory", "share"),
    [(12, 1, 0.01, 0.083), (12, 2, 0.01, 0.166), (3, 2, 0.01, 0.5), (1, 8, 0.01, 1), (12, 1, 0.3, 0.333), (4, 1, 2, 1)],
)
def test_a_share_fits_all_trials_or_as_many_as_memory_allows(
    trials: int, gpus: int, memory: float, share: float
) -> None:
    assert gpu_share(trials, gpus, memory) == share


@pytest.mark.parametrize(
    ("trials", "cpus", "node_cpus", "flops", "share"),
    [(12, 2, 2, 10**7, 1), (1, 2, 2, 10**7, 2), (1, 16, 16, 10**7, 2), (1, 16, 16, 10**9, 16), (3, 16, 8, 10**9, 5)],
)
def test_a_trial_gets_more_threads_only_if_there_are_few(
    trials: int, cpus: float, node_cpus: float, flops: int, share: float
) -> None:
    assert cpu_share(trials, cpus, node_cpus, flops) == share


def test_as_many_trials_fit_as_the_scarcest_resource_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "nodes", lambda: [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 4.0}])
    assert resources.room({"cpu": 2.0, "gpu": 0.0}) == 8 + 2
    assert resources.room({"cpu": 1.0, "gpu": 0.2}) == 5
    assert resources.room({"cpu": 64.0, "gpu": 0.0}) == 1
    monkeypatch.setattr(cluster, "nodes", lambda: [{"CPU": 16.0, "GPU": 2.0}])
    assert resources.room({"cpu": 1.0, "gpu": 0.4}) == 4  # a share is one of a single GPU


@pytest.mark.parametrize(
    ("gpus", "share", "cpus", "trials", "found"),
    [
        (0, 0, 4, 12, (4, "CPUs, 4 at a time")),
        (0, 0, 4, 2, (2, "CPUs, 2 at a time")),
        (2, 0, 16, 12, (2, "2 GPUs")),
        (8, 0.25, 16, 3, (3, "8 GPUs")),
        (8, 2, 16, 12, (4, "8 GPUs")),
    ],
)
def test_a_plan_knows_how_much_time_passes_at_once(
    gpus: int, share: float, cpus: int, trials: int, found: tuple[int, str]
) -> None:
    assert _at_once(gpus, share, cpus, trials) == found


def test_a_plan_counts_the_gpus_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(str(make_tree(tmp_path / "tree")), str(tmp_path / "shards"))
    monkeypatch.setattr(backend, "gpus", lambda: 2)
    monkeypatch.setattr(plan, "_measure", lambda *_: (Measured(1).cost(Recipe("age-c2-f1")), 600.0))
    recipes = [Recipe("age-c2-f1", seed=seed) for seed in range(12)]
    plan.show(Sweep("zoo", "Which?", FixedList(recipes)), Options(data=str(tmp_path / "shards")))
    assert "about 60 min on this machine's 2 GPUs" in " ".join(capsys.readouterr().out.split())


def test_trials_of_one_network_that_take_other_times_are_planned_apart() -> None:
    recipes = [Recipe("age-c2-f1", batch_size=size, seed=seed) for size in (32, 128) for seed in range(3)]
    groups = by_cost([*recipes, Recipe("vgg16"), Recipe("vgg16", arguments='{"batch_norm": true}')])
    assert {name: len(group) for name, group in groups.items()} == {
        "age-c2-f1 batch_size=32": 3,
        "age-c2-f1 batch_size=128": 3,
        "vgg16": 1,
        "vgg16 batch_norm=True": 1,
    }


class Measured:
    """Inputs of networks that cost the same, with so many bytes of training images."""

    token = "sweep"

    def __init__(self, images: int) -> None:
        self.data = Data(*[Split(np.zeros((images, 1, 1, 1), np.uint8), *[np.broadcast_to(0, images)] * 3)] * 3, "data")

    def cost(self, recipe: Recipe) -> Cost:
        return Cost(parameters=1000, trainable_parameters=1000, activations=2**20, flops=10**6)


def test_trials_share_a_gpu_by_the_memory_that_earlier_ones_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 9 GiB a process takes 1.5 for CUDA. The estimates are 2 and 3 GiB besides; the peaks 1.5 and 1, and then 8."""
    monkeypatch.setattr(cluster, "nodes", lambda: [{"CPU": 16.0, "GPU": 1.0}])
    monkeypatch.setattr(cluster, "smallest_gpu_bytes", lambda otherwise: 9.0 * 2**30)
    recipes = [Recipe("age-c2-f1", batch_size=size) for size in (128, 256)]
    strategy, inputs = FixedList(recipes * 6), Measured(2**30 - 2**15)
    rows: list[dict[str, Any]] = [
        {**recipe.hyperparameters(), "arguments": recipe.arguments, "batch_size_used": used, "peak_device_bytes": peak}
        for recipe, used, peak in [(recipes[0], 128, 3 * 2**29), (recipes[1], 256, 2**30), (recipes[1], 128, 2**33)]
    ]
    shares = [request(strategy, inputs, Options(), rows[:some])["gpu"] for some in (0, 1, 2)]  # type: ignore[arg-type]
    assert shares == [0.5, 0.5, 0.333]
    rows.append(recipes[0].hyperparameters())  # which has not run
    assert request(strategy, inputs, Options(), rows)["gpu"] == 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trials", "nodes", "share"),
    [
        (36, [{"CPU": 16.0, "GPU": 2.0}], 0.125),  # 16 at once, 8 on each
        (36, [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}], 0.125),
        (12, [{"CPU": 16.0, "GPU": 2.0}], 0.166),
    ],
)
def test_trials_share_gpus_as_the_cpus_beside_them_admit(
    trials: int, nodes: list[dict[str, float]], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "nodes", lambda: nodes)
    monkeypatch.setattr(cluster, "smallest_gpu_bytes", lambda otherwise: 1000.0 * 2**30)
    strategy = FixedList([Recipe("age-c2-f1", seed=seed) for seed in range(trials)])
    assert request(strategy, Measured(2**20), Options()) == {"cpu": 1.0, "gpu": share}  # type: ignore[arg-type]


def test_a_gpu_that_no_node_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "nodes", lambda: [{"CPU": 16.0}])
    with pytest.raises(InputError, match="no node has more than 0; give --gpus-per-trial 0"):
        request(FixedList([Recipe("age-c2-f1")]), Measured(1), Options(gpus_per_trial=0.5))  # type: ignore[arg-type]


def test_on_jax_the_largest_trial_takes_what_its_program_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 9 GiB a process takes 1.5 for CUDA; the estimate of the larger recipe is 3 GiB."""
    asked: list[tuple[Any, ...]] = []
    answer: list[float | None] = [0.75 * 2**30]

    def on_gpu_node(function: Any, *arguments: Any, seconds: float) -> float | None:
        asked.append(arguments)
        return answer[0]

    monkeypatch.setattr(cluster, "nodes", lambda: [{"CPU": 16.0, "GPU": 1.0}])
    monkeypatch.setattr(cluster, "smallest_gpu_bytes", lambda otherwise: 9.0 * 2**30)
    monkeypatch.setattr(cluster, "on_gpu_node", on_gpu_node)
    small, large = recipes = [Recipe("age-c2-f1", batch_size=size) for size in (128, 256)]
    strategy, inputs = FixedList(recipes * 6), Measured(2**30 - 2**15)

    def share(*rows: dict[str, Any]) -> float:
        return request(strategy, inputs, Options(), rows)["gpu"]  # type: ignore[arg-type]

    assert share() == 0.5
    assert not asked, "TensorFlow states nothing"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert share() == 0.25
    assert asked == [("sweep", "jax", False, large, 1, 2**30 - 2**15)]
    peaks = [
        {
            **recipe.hyperparameters(),
            "arguments": "{}",
            "batch_size_used": recipe.batch_size,
            "peak_device_bytes": 2**30,
        }
        for recipe in recipes
    ]
    assert share(peaks[1]) == 0.333
    assert asked[1][3] == small
    assert share(*peaks) == 0.333
    assert len(asked) == 2, "what has been measured is not asked for"
    answer[0] = None  # no node with a GPU, or none that answers
    assert share() == 0.5
    del asked[:]
    alone = request(FixedList([large]), inputs, Options())  # type: ignore[arg-type]
    assert alone["gpu"] == 1.0
    assert not asked, "nothing is compiled for a trial that has a GPU to itself"
