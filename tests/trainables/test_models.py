"""Every row of MODELS keeps the same contracts."""

from pathlib import Path

import keras
import numpy as np
import pytest

from support.commands import run_python
from support.networks import PARAMETERS
from trainables import MODELS, Recipe
from trainables.training import checkpoint
from trainables.training.loop import start
from trainables.training.selection import Data


@pytest.mark.parametrize("name", MODELS)
def test_every_network_has_a_recipe_that_holds(name: str) -> None:
    assert Recipe.of({"network": name, **MODELS[name].recipe}).network == name


@pytest.mark.parametrize("name", MODELS)
def test_every_network_takes_pixels_and_gives_one_logit(name: str) -> None:
    model = MODELS[name].build(32)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 1)
    assert model.layers[-1].activation is keras.activations.linear
    assert MODELS[name].source


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_the_age_networks_have_the_published_parameters(name: str, parameters: int) -> None:
    assert MODELS[name].build(32).count_params() == parameters


@pytest.mark.parametrize("trunk", ["c2", "c3", "c4"])
def test_every_age_trunk_ends_in_512_features(trunk: str) -> None:
    model = MODELS[f"age-{trunk}-f1"].build(32)
    assert model.layers[-2].output.shape == (None, 512)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == int(trunk[1])


def test_the_model_itself_rescales_pixels() -> None:
    model = MODELS["age-c2-f1"].build(32)
    rescaling = model.layers[1]
    assert np.allclose(rescaling(np.full((1, 32, 32, 3), 255.0)), 1.0)


def test_networks_share_no_weights_and_seeds_decide_them(data: Data) -> None:
    hashes = [start(Recipe(name), data).initial_weights for name in PARAMETERS]
    assert len(set(hashes)) == 12
    assert start(Recipe("age-c2-f1"), data).initial_weights == hashes[0]
    assert start(Recipe("age-c2-f1", seed=1), data).initial_weights != hashes[0]


LOAD_AND_SCORE = """
import pathlib, keras, numpy
images = numpy.load("images.npy")
for path in pathlib.Path().glob("*.keras"):
    numpy.save(path.stem, keras.models.load_model(path, safe_mode=True).predict(images, verbose=0))
"""


@pytest.mark.slow
def test_keras_alone_loads_the_best_networks(data: Data, tmp_path: Path) -> None:
    """In a process that has none of our code: the stored files score as the networks do."""
    images = data.test.images[:8]
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for name in MODELS:
        model = MODELS[name].build(32)
        (tmp_path / f"{name}.keras").write_bytes(checkpoint._keras_file(model))
        expected[name] = model.predict(images, verbose=0)
    run_python("-c", LOAD_AND_SCORE, cwd=tmp_path).check_returncode()
    for name, scores in expected.items():
        assert np.allclose(np.load(tmp_path / f"{name}.npy"), scores, rtol=1e-4, atol=1e-4), name
