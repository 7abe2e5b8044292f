"""Grad-CAM and saliency of networks whose maps are known."""

import io
import os

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.detector.explanations import default_layer, grad_cam, map_layers, saliency
from data_prep.errors import InputError
from support.commands import ROOT, run_python
from trainables import MODELS


def by_hand(skip: bool = False) -> keras.Model:
    """A 1 x 1 convolution to red and green, their means, and the logit 2 red - green; or with a way around it."""
    pixels = keras.Input((4, 4, 3), name="pixels")
    convolution = keras.layers.Conv2D(2, 1, use_bias=False, name="red_green")
    maps = convolution(pixels)
    x = keras.layers.Add(name="sum")([maps, keras.layers.Conv2D(2, 1, name="around")(pixels)]) if skip else maps
    means = keras.layers.GlobalAveragePooling2D()(x)
    logit = keras.layers.Dense(1, use_bias=False, name="logit")
    model = keras.Model(pixels, logit(means))
    convolution.set_weights([np.array([[[[1, 0], [0, 1], [0, 0]]]], np.float32)])
    logit.set_weights([np.array([[2], [-1]], np.float32)])
    return model


def spotted() -> np.ndarray:
    """Two equal images: red 160 at (0, 1), green 80 at (2, 3), blue everywhere."""
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[:, 0, 1, 0], images[:, 2, 3, 1], images[..., 2] = 160, 80, 200
    return images


def test_the_known_map_of_grad_cam() -> None:
    """The gradient over a map is its weight over sixteen places: 2/16 and -1/16, and the other way round for REAL."""
    fake, real = np.zeros((4, 4)), np.zeros((4, 4))
    fake[0, 1], real[2, 3] = 160 * 2 / 16, 80 / 16
    maps = grad_cam(by_hand(), spotted(), np.array([True, False]), "red_green")
    assert np.allclose(maps, [fake, real])


def test_the_known_saliency() -> None:
    assert np.allclose(saliency(by_hand(), spotted()), np.full((2, 4, 4), 2 / 16))


def test_saliency_is_the_slope_of_the_logit() -> None:
    keras.utils.set_random_seed(0)
    model, images = MODELS["cifake-cnn"].build(32), np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    found = saliency(model, images)[0]
    row, column = np.unravel_index(found.argmax(), found.shape)
    slopes = []
    for channel in range(3):
        step = np.zeros((1, 32, 32, 3), np.float32)
        step[0, row, column, channel] = 0.1
        up, down = (np.asarray(model(images.astype(np.float32) + sign * step)) for sign in (1, -1))
        slopes.append(abs(float((up - down)[0, 0])) / 0.2)
    assert max(slopes) == pytest.approx(found.max(), rel=0.05)


def test_a_layer_with_a_way_around_it_is_refused_and_the_possible_ones_named() -> None:
    model = by_hand(skip=True)
    assert list(map_layers(model)) == ["sum"]
    for layer in ("red_green", "no such layer", "logit"):
        with pytest.raises(InputError, match=r"it has sum\."):
            grad_cam(model, spotted(), np.array([True, False]), layer)


@pytest.mark.parametrize("name", ["age-c2-f1", "age-c4-f2", "cifake-cnn", "custom-2", "resnet50", "vgg16-transfer"])
def test_the_default_layer_is_the_deepest_whose_map_is_not_too_small(name: str) -> None:
    model = MODELS[name].build(32)
    layer = default_layer(model)
    side = model.get_layer(layer).output.shape[1]
    assert side >= 4
    deeper = model.layers[[each.name for each in model.layers].index(layer) + 1 :]
    sides = [each.output.shape[1] for each in deeper if len(each.output.shape) == 4]
    idle = (keras.layers.Dropout, keras.layers.Identity)
    assert all(
        other < 4 or isinstance(each, idle) or each.name not in set(map_layers(model, 4))
        for each, other in zip([each for each in deeper if len(each.output.shape) == 4], sides, strict=True)
    )
    maps = grad_cam(model, np.zeros((1, 32, 32, 3), np.uint8), np.array([True]), layer)
    assert maps.shape == (1, side, side)


def test_a_network_without_maps_has_no_layer_for_grad_cam() -> None:
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.Dense(1)(keras.layers.Flatten()(pixels)))
    with pytest.raises(InputError, match="convolution"):
        default_layer(model)


@pytest.mark.slow
def test_jax_gives_the_same() -> None:
    pytest.importorskip("jax")
    done = run_python(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n0",
        __file__,
        "-k",
        "known or slope or way_around",
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_an_image_is_enlarged_pixel_by_pixel() -> None:
    """The corner of the sheet's first picture has the colours of the image, and no others."""
    from analysis.figures.sheets import Pictures, draw
    from analysis.figures.style import rendered

    row = {"kind": "uncertain", "name": "net", "row": 3, "object_class": "cat", "label": 1, "probability": 0.5}
    frame = pd.DataFrame([row | {"threshold": 0.0, "images": 9, "layer": "conv", "map_side": 4}])
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[0, ::2, ::2], image[0, 1::2, 1::2] = (255, 0, 0), (255, 0, 0)
    pictures = Pictures(image, np.zeros((1, 4, 4), np.float32), np.zeros((1, 8, 8), np.float32))
    sheet = np.asarray(Image.open(io.BytesIO(rendered(draw(frame, pictures), ("png",))["png"])).convert("RGB"))
    red = (sheet == (255, 0, 0)).all(axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    board = sheet[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert 150 < len(board) < 250
    between = (board[..., 0] > 0) & (board[..., 0] < 255)
    assert between.mean() < 0.1  # no more than the seams
