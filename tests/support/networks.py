"""Images in memory to train on, and what is known of the networks."""

import keras
import numpy as np
from keras import layers

from trainables.training.selection import Split

PARAMETERS = {
    "age-c2-f1": 79_233,
    "age-c2-f2": 341_889,
    "age-c2-f3": 604_545,
    "age-c2-f4": 1_260_417,
    "age-c3-f1": 93_761,
    "age-c3-f2": 356_417,
    "age-c3-f3": 619_073,
    "age-c3-f4": 1_274_945,
    "age-c4-f1": 130_689,
    "age-c4-f2": 393_345,
    "age-c4-f3": 656_001,
    "age-c4-f4": 1_311_873,
}


def split_of(images: int, seed: int) -> Split:
    """REAL is darker than FAKE by a little: learnable, and not at once."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(images) % 2).astype(np.int8)
    pixels = generator.integers(0, 226, (images, 32, 32, 3)) + 30 * labels[:, None, None, None]
    return Split(pixels.astype(np.uint8), labels, np.arange(images, dtype=np.int32), np.arange(images) % 10 == 0)


def curve(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "wall_seconds"} for row in history]


def shaken(model: keras.Model) -> keras.Model:
    """The model with other weights, none of which is as it was initialised, and all of which count."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        weights = [generator.normal(weight, 0.01).astype(np.float32) for weight in layer.get_weights()]
        if isinstance(layer, layers.BatchNormalization):
            weights[3] = np.abs(weights[3])  # a variance
        layer.set_weights(weights)
    return model


def losses(*values: float) -> list[dict[str, float]]:
    return [
        {f"{split}_loss": value for split in ("train", "validation")}
        | {f"{split}_accuracy": 1 - value for split in ("train", "validation")}
        | {"epoch": index + 1}
        for index, value in enumerate(values)
    ]
