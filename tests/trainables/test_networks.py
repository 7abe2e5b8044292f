"""The written-out families are the published networks: their parameters, and the function of keras.applications'."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from data_prep.errors import InputError
from support.networks import shaken
from trainables import MODELS, Network, Recipe
from trainables.densenet import densenet121_body
from trainables.resnet import resnet50_body
from trainables.training.cost import cost
from trainables.training.network import build
from trainables.vgg import vgg_body

BODIES: dict[str, Callable[..., Any]] = {
    "VGG16": lambda x: vgg_body(x, 16),
    "VGG19": lambda x: vgg_body(x, 19),
    "ResNet50": lambda x: resnet50_body(x, "imagenet"),
    "DenseNet121": lambda x: densenet121_body(x, "imagenet"),
}
DEEP = ("ResNet50", "DenseNet121")  # which take long to build


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (MODELS["vgg16"], 33_601_345),
        (MODELS["vgg19"], 38_911_041),
        (Network("vgg.vgg", {"depth": 16, "top": "pooled"}), 14_715_201),
        (Network("vgg.vgg", {"depth": 19, "top": "pooled"}), 20_024_897),
        (Network("resnet.resnet50", {"stem_type": "imagenet"}), 23_589_761),
        (MODELS["resnet50"], 23_589_761 - 7_680),
        (Network("densenet.densenet121", {"stem_type": "imagenet"}), 7_038_529),
        (MODELS["densenet121"], 7_038_529 - 7_680),
        (MODELS["cifake-cnn"], 141_345),
    ],
    ids=lambda value: value.function + str(value.arguments) if isinstance(value, Network) else str(value),
)
def test_parameters_are_the_published_ones(network: Network, parameters: int) -> None:
    assert network.build(32).count_params() == parameters


@pytest.mark.parametrize("name", ["VGG16", "VGG19", *(pytest.param(name, marks=pytest.mark.slow) for name in DEEP)])
def test_bodies_compute_what_keras_applications_compute(name: str) -> None:
    theirs = shaken(getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(64, 64, 3)))
    pixels = keras.Input((64, 64, 3))
    ours = keras.Model(pixels, BODIES[name](pixels))
    for layer in theirs.layers:
        if layer.weights:
            ours.get_layer(layer.name).set_weights(layer.get_weights())
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    expected = theirs.predict(images, verbose=0)
    assert expected.std() > 0
    assert np.allclose(ours.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-5)


def test_batch_norm_is_a_choice_of_vgg() -> None:
    model = Network("vgg.vgg", {"depth": 16, "batch_norm": True}).build(32)
    assert sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers) == 13


def test_flops_by_hand() -> None:
    # 5x5x3x64 at 16 x 16, 3x3x64x128 at 4 x 4, 512 to one logit; two operations each
    expected = 2 * (5 * 5 * 3 * 64 * 16 * 16 + 3 * 3 * 64 * 128 * 4 * 4 + 512)
    assert cost(MODELS["age-c2-f1"].build(32)).flops == expected


def ending(*last: layers.Layer) -> Callable[[int], keras.Model]:
    def network(image_size: int) -> keras.Model:
        return keras.Sequential([keras.Input((image_size, image_size, 3)), layers.Flatten(), *last])

    return network


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ((layers.Dense(1, activation="sigmoid"),), "ends in sigmoid"),
        ((layers.Dense(1), layers.Activation("tanh")), "ends in tanh"),
        ((layers.Dense(1), layers.Lambda(keras.ops.sigmoid)), None),  # nobody can see into a function
        ((layers.Dense(2),), r"gives an output of shape \(None, 2\)"),
        ((layers.Dense(1, activation="relu"), layers.Dense(1)), None),
        ((layers.Dense(1), layers.Activation("linear", dtype="float32")), None),
    ],
)
def test_an_output_that_is_no_logit_is_refused(
    last: tuple[layers.Layer, ...], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Network, "build", lambda *_: ending(*last)(32))
    models = {"mine": Network("mine.mine")}
    if told is None:
        build(Recipe("mine"), 32, models)
        return
    with pytest.raises(InputError, match=rf"mine {told}; its output must be one logit an image, positive for FAKE\."):
        build(Recipe("mine"), 32, models)
