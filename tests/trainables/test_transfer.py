"""Transfer: ImageNet's weights come in as Keras has them, images are prepared as they ask, and frozen stays frozen."""

import dataclasses
import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from data_prep.errors import InputError
from data_prep.storage import Folder
from support.commands import ROOT, Command, refused
from support.networks import shaken, split_of
from trainables import MODELS, Recipe
from trainables.layers.pretrained import BODIES, find_weights
from trainables.record import read_trials
from trainables.training.loop import Run, start, train
from trainables.training.network import body_layers
from trainables.training.selection import Data, DataSelection
from trainables.transfer import transfer

ZOO = ROOT / "sweeps" / "zoo.py"
NAMES = {"vgg16": "vgg16", "vgg19": "vgg19", "resnet50": "resnet", "densenet121": "densenet"}


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(split_of(128, 0), split_of(50, 1), split_of(60, 2), "fingerprint", is_smoke=True)


def application(body: str) -> keras.Model:
    """Keras's own network, with weights that make all of it count."""
    model = getattr(keras.applications, BODIES[body].application)(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )
    return shaken(model)


# ── weights ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body", [pytest.param(body, marks=() if body == "vgg16" else pytest.mark.slow) for body in BODIES]
)
def test_a_file_of_keras_gives_the_features_of_keras(body: str, tmp_path: Path, data: Data) -> None:
    theirs = application(body)
    with h5py.File(tmp_path / BODIES[body].file, "w") as file:
        save_weights_to_hdf5_group(file, theirs)
    weights = find_weights([body], str(tmp_path))
    recipe = Recipe(f"{body}-transfer", arguments={"resize_to": 64})  # type: ignore[arg-type]
    run = start(recipe, data, weights={body: weights[body].layers})
    images = data.test.images[:4]
    features = keras.Model(run.model.input, run.model.get_layer("features").output).predict(images, verbose=0)
    larger = keras.layers.Resizing(64, 64)(images.astype(np.float32))
    prepared = getattr(keras.applications, NAMES[body]).preprocess_input(np.array(larger))
    expected = theirs.predict(prepared, verbose=0).mean((1, 2))
    assert expected.std() > 0
    assert np.allclose(features, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.real
def test_the_weights_of_imagenet_recognise_textures(imagenet: Path, data: Data) -> None:
    """The real file: Keras reads the same from it as we do."""
    theirs = keras.applications.VGG16(weights=str(imagenet), include_top=False, input_shape=(32, 32, 3))
    ours = find_weights(["vgg16"], str(imagenet))["vgg16"]
    for layer in theirs.layers:
        for mine, expected in zip(ours.layers.get(layer.name, []), layer.get_weights(), strict=True):
            assert np.array_equal(mine, expected)
    assert sum(array.size for arrays in ours.layers.values() for array in arrays) == theirs.count_params()


def test_without_weights_there_is_no_transfer(data: Data) -> None:
    with pytest.raises(InputError, match="starts from the ImageNet weights of vgg16"):
        start(Recipe("vgg16-transfer"), dataclasses.replace(data, is_smoke=False))


@pytest.mark.slow
def test_what_is_wrong_with_the_weights_is_one_sentence(
    tmp_path: Path, command: Command, command_here: Command
) -> None:
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "folder").mkdir()
    with h5py.File(tmp_path / "small.h5", "w") as file:
        save_weights_to_hdf5_group(file, MODELS["age-c2-f1"].build(32))
    for models, weights, told in (
        ("vgg16-transfer", ["--weights", "nowhere"], "--weights nowhere does not exist"),
        ("vgg16-transfer", ["--weights", "folder"], f"has no {BODIES['vgg16'].file}; put it there"),
        ("vgg16-transfer", ["--weights", "text.h5"], "no weight file in Keras's HDF5 format"),
        ("vgg16-transfer", ["--weights", "small.h5"], "holds 79,233 weights, and VGG16 without its top has 14,714,688"),
        ("vgg16-transfer,vgg19-transfer", ["--weights", "small.h5"], "is one file, and the networks need 2"),
    ):
        assert told in refused(command_here(ZOO, "--models", models, *weights))
    offline = os.environ | {"KERAS_HOME": str(tmp_path / "keras"), "https_proxy": "http://127.0.0.1:9"}
    told = f"put {BODIES['vgg16'].file} into {tmp_path / 'keras' / 'models'}"
    assert told in refused(command(ZOO, "--models", "vgg16-transfer", env=offline))
    assert not (tmp_path / "results").exists()


# ── what is trained ───────────────────────────────────────────────────────────────────────────────────────────────────


def changed(run: Run, before: list[np.ndarray]) -> set[str]:
    """The layers of the body whose weights, or statistics, are no longer what they were."""
    names = [layer.name for layer in run.model.layers for _ in layer.get_weights()]
    now = [weight for layer in run.model.layers for weight in layer.get_weights()]
    body = {layer.name for layer in body_layers(run.model)}
    pairs = zip(names, before, now, strict=True)
    return {name for name, old, new in pairs if name in body and not np.array_equal(old, new)}


def weights_of(run: Run) -> list[np.ndarray]:
    return [weight for layer in run.model.layers for weight in layer.get_weights()]


@pytest.mark.parametrize(
    ("network", "train_from", "first_trained"),
    [
        ("vgg16-transfer", None, None),
        pytest.param("densenet121-transfer", None, None, marks=pytest.mark.slow),
        pytest.param("resnet50-transfer", None, "conv4_block1", marks=pytest.mark.slow),
        ("vgg16-transfer", "block5", "block5"),
        pytest.param("densenet121-transfer", "pool4", "pool4", marks=pytest.mark.slow),
        ("vgg16-transfer", "all", "block1"),
    ],
)
def test_frozen_layers_keep_their_weights_and_statistics(
    network: str, train_from: str | None, first_trained: str | None, data: Data
) -> None:
    options = {"train_from": train_from} if train_from else {}
    run = start(Recipe.of({"network": network, "epochs": 1, "arguments": options}), data)
    before = weights_of(run)
    train(run, data)
    moved = changed(run, before)
    names = [layer.name for layer in body_layers(run.model) if layer.weights]
    starts = [place for place, name in enumerate(names) if first_trained and name.startswith(first_trained)]
    # A bias before batch norm has no gradient; its kernel has one.
    assert moved == (set(names[starts[0] :]) if starts else set())


def test_the_papers_resnet_freezes_seven_residual_blocks() -> None:
    model = MODELS["resnet50-transfer"].build(32)
    blocks = {layer.name.rpartition("_")[0] for layer in model.layers if layer.name.endswith("_add")}
    frozen = {block for block in blocks if not model.get_layer(f"{block}_3_conv").trainable}
    assert len(blocks) == 16
    assert frozen == {
        *(f"conv2_block{index}" for index in (1, 2, 3)),
        *(f"conv3_block{index}" for index in range(1, 5)),
    }


@pytest.mark.slow
def test_the_head_is_trained_first_and_then_the_rest_at_a_tenth_of_the_rate(data: Data) -> None:
    recipe = Recipe.of(
        {"network": "vgg16-transfer", "arguments": {"train_from": "block5"}, "epochs": 3, "head_epochs": 2}
    )
    run = start(recipe, data)
    before = weights_of(run)
    moved: list[set[str]] = []
    train(run, data, [lambda run: moved.append(changed(run, before))])
    assert moved == [set(), set(), {"block5_conv1", "block5_conv2", "block5_conv3"}]
    assert [row["learning_rate"] for row in run.history] == pytest.approx([1e-3, 1e-3, 1e-4])


def test_images_are_enlarged_inside_the_model() -> None:
    model = transfer(32, "vgg16", resize_to=96)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.get_layer("block5_pool").output.shape == (None, 3, 3, 512)


# ── the real data ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.real
def test_real_transfer_learns_and_preprocessing_is_worth_something(
    cifake: Path, imagenet: Path, tmp_path: Path, command: Command
) -> None:
    """A short form, 2,000 images and 2 epochs, of 20,000 and 5."""
    assert command("-m", "data_prep", "--source", cifake, "--out", "shards", "--limit", 3000).returncode == 0
    accuracies = {}
    for preprocessing in ("imagenet", "rescale"):
        choice = f"vgg16-transfer.preprocessing={preprocessing}"
        words = ("--models", "vgg16-transfer", "--limit", 2000, "--epochs", 2, "--set", choice, "--weights", imagenet)
        done = command(ZOO, "--data", "shards", "--results", preprocessing, *words)
        assert done.returncode == 0, done.stderr
        row = read_trials(Folder(str(tmp_path / preprocessing / "zoo"))).iloc[0]
        assert row["arguments"] == f'{{"preprocessing": "{preprocessing}"}}'
        accuracies[preprocessing] = row["validation_accuracy"]
    assert accuracies["imagenet"] > max(0.65, accuracies["rescale"]), accuracies
    assert len(DataSelection(Folder(str(tmp_path / "shards"))).load().train) > 2000
