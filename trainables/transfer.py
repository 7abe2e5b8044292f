"""Transfer: a body trained on ImageNet, frozen in whole or in part, and a new head.

The body's layers are named as in keras.applications, and take their weights by name (`layers.pretrained`). The model
itself prepares images as the weights of each family expect them.
"""

from typing import Literal

import keras
from keras import layers

from data_prep import InputError
from trainables.densenet import densenet121_body
from trainables.layers.blocks import head
from trainables.resnet import resnet50_body
from trainables.training.network import FEATURES, body_layers
from trainables.training.recipe import nearest
from trainables.vgg import vgg_body

_BODIES = {
    "vgg16": lambda x: vgg_body(x, 16),
    "vgg19": lambda x: vgg_body(x, 19),
    "resnet50": lambda x: resnet50_body(x, "imagenet"),
    "densenet121": lambda x: densenet121_body(x, "imagenet"),
}


def transfer(
    image_size: int,
    body: Literal["vgg16", "vgg19", "resnet50", "densenet121"],
    train_from: str = "head",
    hidden: tuple[int, ...] = (),
    resize_to: int = 0,
    preprocessing: Literal["imagenet", "rescale"] = "imagenet",
) -> keras.Model:
    """A body with global average pooling, dense layers of `hidden` units, and one logit.

    `train_from` names the first part that trains; what comes before it is frozen: the whole body for `head`, the layers
    before a block such as `block5`, `conv4_block1` or `pool3`, nothing for `all`. Frozen batch norm stays in inference
    mode. `resize_to` enlarges images to that side, in pixels; 0 keeps them. A body divides height and width by 32, so
    32 x 32 pixels end in a single position. `preprocessing` is the one that the body was trained with, or only a scale
    of 0–1, to measure what the right one is worth.
    Raises InputError for a `train_from` that is no block of the body.
    """
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = layers.Resizing(resize_to, resize_to)(pixels) if resize_to else pixels
    x = layers.Rescaling(1 / 255)(x) if preprocessing == "rescale" else _prepared(x, body)
    x = layers.GlobalAveragePooling2D(name=FEATURES)(_BODIES[body](x))
    model = keras.Model(pixels, head(x, hidden), name=f"{body}-transfer")
    _freeze(model, train_from)
    return model


def _prepared(x: keras.KerasTensor, body: str) -> keras.KerasTensor:
    """Pixels as ImageNet's weights expect them: BGR minus the mean for VGG and ResNet, normalised for DenseNet."""
    if body == "densenet121":
        return layers.Normalization(
            mean=[255 * mean for mean in (0.485, 0.456, 0.406)],
            variance=[(255 * deviation) ** 2 for deviation in (0.229, 0.224, 0.225)],
        )(x)
    return layers.Normalization(mean=[103.939, 116.779, 123.68], variance=[1.0, 1.0, 1.0])(keras.ops.flip(x, axis=-1))


def _freeze(model: keras.Model, train_from: str) -> None:
    """Freeze the layers of the body that come before `train_from`."""
    body = body_layers(model)
    starts = [index for index, layer in enumerate(body) if f"{layer.name}_".startswith(f"{train_from}_")]
    if train_from in ("head", "all"):
        starts = [len(body) if train_from == "head" else 0]
    if not starts:
        near = nearest(train_from, ["head", "all", *(layer.name for layer in body if layer.weights)])
        raise InputError(f"train_from is {train_from!r}, no block of {model.name}; {near}.")
    for layer in body[: starts[0]]:
        layer.trainable = False
