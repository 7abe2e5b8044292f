"""Networks of every kind become ONNX, or one sentence."""

import keras
import pytest

from analysis.detector.onnx import MOST_IN_LOGIT, MOST_IN_PROBABILITY, agreement, for_inference, to_onnx
from analysis.export import sample
from data_prep.errors import InputError
from trainables import MODELS
from trainables.layers.augmentation import without_augmentation

LARGE = pytest.param("vgg16-transfer", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["age-c4-f4", "cifake-cnn", "custom-1", "custom-2", "custom-3", LARGE])
def test_networks_of_every_kind_become_onnx(name: str) -> None:
    pytest.importorskip("tf2onnx")
    keras.config.set_dtype_policy("float32")
    network = without_augmentation(MODELS[name].build(32))
    content = to_onnx(for_inference(network), {})
    agreed = agreement(network, content, sample(32))
    assert agreed.images == 64
    assert agreed.probability <= MOST_IN_PROBABILITY
    network.get_layer("logit").bias.assign([2 * MOST_IN_LOGIT])
    with pytest.raises(InputError, match="differs from the original by up to"):
        agreement(network, content, sample(32))


def test_what_cannot_be_written_as_onnx_is_refused_in_one_sentence() -> None:
    pytest.importorskip("tf2onnx")
    pixels = keras.Input((32, 32, 3), name="pixels")
    noise = keras.layers.RandomRotation(0.5)(pixels)
    network = keras.Model(pixels, keras.layers.Dense(1)(keras.layers.Flatten()(noise)), name="noisy")
    with pytest.raises(InputError, match="noisy cannot be written as ONNX"):
        to_onnx(network, {})
