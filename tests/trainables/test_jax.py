"""The same code on JAX: the twelve age networks compute what they compute on TensorFlow, and sweep."""

import json
import os
import random
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from support.commands import PATH_TO_SUPPORT, ROOT, run_python
from support.networks import PARAMETERS, split_of
from trainables import MODELS
from trainables.training.pipeline import jax_backend
from trainables.worker import fork_server

pytest.importorskip("jax")
ON_JAX = os.environ | {"KERAS_BACKEND": "jax"}

SCORES = """
import keras, numpy
assert keras.backend.backend() == "jax"
images, scores = numpy.load("images.npy"), {}
for name in NAMES:
    model = keras.models.load_model(name + ".keras")
    scores[name] = model.predict(images, verbose=0)
numpy.savez("scores.npz", **scores)
"""

CURVE = """
from data_prep.storage import Folder
from support.networks import curve, split_of
from trainables import Recipe
from trainables.training import checkpoint
from trainables.training.selection import Data
from trainables.training.loop import start, train

data = Data(split_of(200, 0), split_of(50, 1), split_of(60, 2), "fingerprint")
recipe, folder = Recipe("age-c2-f1", epochs=4), Folder(".")
undisturbed = train(start(recipe, data), data)
begun = start(recipe, data)
type(begun).stop_reason = property(lambda run: "enough" if run is begun and len(run.history) == 2 else
    ("done" if len(run.history) == 4 else None))
train(begun, data, [lambda run: checkpoint.save(checkpoint.snapshot(run), folder)])
resumed = start(recipe, data)
checkpoint.restore(resumed, folder)
assert len(resumed.history) == 2
train(resumed, data)
assert curve(resumed.history) == curve(undisturbed.history)
assert resumed.history[-1]["train_loss"] < resumed.history[0]["train_loss"]
"""


def test_threads_are_limited_on_a_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPROC", raising=False)
    jax_backend.set_up(1, has_gpu=True)
    assert "NPROC" not in os.environ  # or one thread compiles
    jax_backend.set_up(1)
    assert os.environ["NPROC"] == "1"


@pytest.mark.slow
def test_the_age_networks_give_the_same_scores(tmp_path: Path) -> None:
    images = split_of(20, 0).images
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for name in PARAMETERS:
        model = MODELS[name].build(32)
        model.save(tmp_path / f"{name}.keras")
        expected[name] = model.predict(images, verbose=0)
    run_python("-c", SCORES.replace("NAMES", repr(list(PARAMETERS))), cwd=tmp_path, env=ON_JAX).check_returncode()
    with np.load(tmp_path / "scores.npz") as scores:
        for name in PARAMETERS:
            assert np.allclose(scores[name], expected[name], rtol=1e-4, atol=1e-5), name


@pytest.mark.slow
def test_a_resumed_run_gives_the_same_curve(tmp_path: Path) -> None:
    done = run_python("-c", CURVE, cwd=tmp_path, env=ON_JAX | {"PYTHONPATH": PATH_TO_SUPPORT})
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_pipeline_does_what_it_does_on_tensorflow() -> None:
    tests = ["-m", "pytest", "-q", "-n", "0", "-m", "", "tests/trainables/test_pipeline.py"]
    done = run_python(*tests, cwd=ROOT, env=ON_JAX)
    assert done.returncode == 0, done.stdout


@pytest.mark.disaster
def test_the_gpu_benchmark_runs_to_its_end(tmp_path: Path) -> None:
    parts_run = [
        *("probe", "fit", "program", "program, compiled before"),
        *("deterministic", "deterministic, killed", "deterministic, resumed", "agreement", "study"),
        *("4 at once", "128 pixels, streamed"),
    ]
    words = ["out", "--tiny", "--only", *parts_run]
    done = run_python(ROOT / "tests/benchmarks/gpu.py", *words, cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "out/gpu.json").read_text())
    assert list(parts) == parts_run
    assert {name: part for name, part in parts.items() if part["code"]}.keys() == {"deterministic, killed"}, parts
    assert parts["program"]["said"][-2]["is_resident"]
    assert not parts["fit"]["said"][-1]["is_resident"]
    assert all(row["same_bits"] for row in parts["agreement"]["said"])
    assert parts["4 at once"]["said"][-1]["processes"] == 2
    assert parts["4 at once"]["said"][-1]["failed"] == 0
    assert [row["status"] for row in parts["study"]["said"][:-1]] == ["finished"] * 2


@pytest.mark.slow
def test_a_forked_trial_has_no_tensorflow_and_keeps_to_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a second one finds what the first one compiled, and computes the same with it."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("PYTHONPATH", PATH_TO_SUPPORT)
    place = fork_server.node_folder(f"jax-{os.getpid()}")
    fork_server.start(place)
    try:
        (first,) = fork_server.stream(place, "support.forked:trained_on_jax", 1)
        compiled = sorted(path.name for path in (place / "jax").glob("*-cache"))
        (second,) = fork_server.stream(place, "support.forked:trained_on_jax", 1)
        (wider,) = fork_server.stream(place, "support.forked:trained_on_jax", 3)
        assert len(compiled) > 5
        assert sorted(path.name for path in (place / "jax").glob("*-cache")) == compiled
    finally:
        fork_server.stop()
    assert (first["threads"], wider["threads"]) == (1, 3)
    assert first["curve"] == second["curve"]
    assert first["preallocates"] == "false"
    assert not first["tensorflow"]
    keras.utils.set_random_seed(3)  # which seeds TensorFlow too, here
    assert first["seeded"][:2] == [random.random(), np.random.rand()]


@pytest.mark.cluster
def test_a_sweep_runs(tmp_path: Path) -> None:
    zoo = ROOT / "sweeps" / "zoo.py"
    done = run_python(zoo, "--models", "age-c2-f1,age-c4-f1", "--smoke", cwd=tmp_path, env=ON_JAX)
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(tmp_path / "results" / "zoo" / "trials.parquet")
    assert (rows["status"] == "finished").all()
