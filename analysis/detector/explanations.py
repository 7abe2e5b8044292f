"""Which places of an image a network's answer rests on: Grad-CAM and saliency."""

import itertools
from collections.abc import Iterator

import keras
import numpy as np

from data_prep import InputError
from trainables.training.pipeline import gradient

#: The least side of a feature map, in places, that Grad-CAM takes by default: a coarser one shows nothing.
LEAST_SIDE = 4
_MOST_NAMED = 20


def saliency(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """How much an image's logit changes with each of its pixels, per unit of 0–255: (n, h, w) float32, not below 0.

    `images` are (n, h, w, 3) uint8. The absolute gradient, the largest over the channels (Simonyan et al. 2014).
    """
    return np.asarray(np.abs(gradient(model, images.astype(np.float32))).max(axis=-1))


def grad_cam(model: keras.Model, images: np.ndarray, called_fake: np.ndarray, layer: str) -> np.ndarray:
    """How much each place of a layer's map speaks for the verdict on the image: (n, side, side) float32, not below 0.

    `images` are (n, h, w, 3) uint8, `called_fake` (n,) bool. Selvaraju et al. (2017): the layer's channels, summed by
    the mean gradient of the logit (of minus the logit, for REAL) over each, and negative sums set to 0. Raises
    InputError for a layer that has no map, or that another way from image to logit bypasses.
    """
    tail = _after(model, layer)
    if tail is None:
        names = ", ".join(itertools.islice(map_layers(model), _MOST_NAMED))
        raise InputError(f"The network has no layer {layer!r} whose map all of it passes through; it has {names}.")
    features = keras.Model(model.input, model.get_layer(layer).output)(images, training=False)
    maps = np.asarray(keras.ops.cast(features, "float32"))  # (n, side, side, channels)
    signs = np.where(called_fake, 1, -1).astype(np.float32)
    weights = signs[:, None] * gradient(tail, maps).mean(axis=(1, 2))  # (n, channels)
    return np.asarray(np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0))


def default_layer(model: keras.Model) -> str:
    """The deepest layer with a map of at least 4 x 4 places; without one, the deepest with a map. Raises InputError."""
    layer = next(itertools.chain(map_layers(model, LEAST_SIDE), map_layers(model)), None)
    if layer is None:
        raise InputError("The network has no layer with a map, which Grad-CAM needs; explain one with a convolution.")
    return layer


def map_layers(model: keras.Model, least_side: int = 1) -> Iterator[str]:
    """The layers for Grad-CAM, deepest first: their maps have that side at least, and nothing bypasses them."""
    for name, side in reversed(_maps(model).items()):
        if side >= least_side and _after(model, name) is not None:
            yield name


def _maps(model: keras.Model) -> dict[str, int]:
    """Layer → side of its map, in places, of the layers that compute one, from the image on."""
    idle = (keras.layers.InputLayer, keras.layers.Dropout)
    shapes = {layer.name: layer.output.shape for layer in model.layers if not isinstance(layer, idle)}
    return {name: int(shape[1]) for name, shape in shapes.items() if len(shape) == 4}


def _after(model: keras.Model, layer: str) -> keras.Model | None:
    """The network from a layer's map on; None if there is no such map, or if something bypasses it."""
    if layer not in _maps(model):
        return None
    try:
        return keras.Model(model.get_layer(layer).output, model.output)
    except ValueError:  # Keras's answer where the output needs more than this input
        return None
