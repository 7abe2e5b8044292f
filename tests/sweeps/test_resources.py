"""What trials take: time, shares of CPUs and GPUs, and the cluster they are shares of."""

import socket

import pytest

from data_prep.errors import InputError
from sweeps.engine import cluster, resources
from sweeps.engine.plan import by_cost
from sweeps.engine.resources import cpu_share, gpu_share
from trainables import Recipe


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


def test_trials_of_one_network_that_take_other_times_are_planned_apart() -> None:
    recipes = [Recipe("age-c2-f1", batch_size=size, seed=seed) for size in (32, 128) for seed in range(3)]
    groups = by_cost([*recipes, Recipe("vgg16"), Recipe("vgg16", arguments='{"batch_norm": true}')])
    assert {name: len(group) for name, group in groups.items()} == {
        "age-c2-f1 batch_size=32": 3,
        "age-c2-f1 batch_size=128": 3,
        "vgg16": 1,
        "vgg16 batch_norm=True": 1,
    }
