"""The twelve age-classifier networks: three trunks of 2, 3 or 4 convolutions, four heads of 1 to 4 dense layers.

S. Sheoran, "Applications of Existing Convolutional Neural Networks to Deepfake Detection", NHSJS 2025, after the
networks compared by Aydogdu & Demirci, "Age Classification Using an Optimized CNN Architecture", ICCDA 2017,
doi 10.1145/3093241.3093277. The layer sizes are Sheoran's. ReLU; at 32 x 32 pixels every trunk ends in 512 features.
Batch norm, dropout and augmentation are hyperparameters that the paper does not have.
"""

from typing import Annotated, Any

import keras
from keras import layers

from trainables.layers.blocks import Augmentation, conv, head, image_input, pool
from trainables.training.recipe import Between

#: The convolutions of each trunk: filters, other arguments, and whether max-pooling follows.
_TRUNKS: dict[str, list[tuple[int, dict[str, Any], bool]]] = {
    "c2": [(64, {"size": 5, "strides": 2, "padding": "same"}, True), (128, {"strides": 2, "padding": "same"}, True)],
    "c3": [(32, {}, True), (64, {}, True), (128, {}, True)],
    "c4": [(32, {}, True), (64, {}, True), (64, {}, False), (128, {}, False)],
}


def age_classifier(
    image_size: int,
    trunk: str,
    hidden: tuple[int, ...],
    batch_norm: bool = False,
    dropout: Annotated[float, Between(0, 0.9)] = 0.0,
    augmentation: Augmentation = "none",
) -> keras.Model:
    """A trunk (`c2`, `c3` or `c4`) and a head whose dense layers have `hidden` units."""
    pixels, x = image_input(image_size, augmentation)
    for filters, arguments, is_pooled in _TRUNKS[trunk]:
        x = conv(x, filters, **arguments, batch_norm=batch_norm)
        x = pool(x) if is_pooled else x
    # 2 x 2 x 128
    return keras.Model(pixels, head(layers.Flatten()(x), hidden, dropout), name=f"age-{trunk}-f{len(hidden) + 1}")
