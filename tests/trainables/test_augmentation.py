"""Augmentation: affine maps by hand, and rest outside training."""

import keras
import numpy as np

from trainables.layers.augmentation import RandomAffine


def fully(**most: float) -> RandomAffine:
    """A layer that always does the most that it may."""
    layer = RandomAffine(**most)
    layer._uniform = lambda count, most: keras.ops.full((count,), most)
    return layer


IMAGE = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)


def test_affine_maps_by_hand() -> None:
    assert np.array_equal(fully(rotation=90.0)(IMAGE, training=True)[0], np.rot90(IMAGE[0]))
    shifted = np.asarray(fully(shift=0.25)(IMAGE, training=True))[0, :, :, 0]
    assert shifted[0].tolist() == [5, 6, 7, 7]  # a pixel to the left and one up; the edge is repeated
    assert shifted[3].tolist() == [13, 14, 15, 15]
    five = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    sheared = np.asarray(fully(shear=1.0)(five, training=True))[0, :, :, 0]
    assert sheared[0].tolist() == [0, 0, 0, 1, 2]  # the first row is moved by two, and the last the other way
    assert sheared[2].tolist() == five[0, 2, :, 0].tolist()
    assert sheared[4].tolist() == [22, 23, 24, 24, 24]
    zoomed = np.asarray(fully(zoom=1.0)(five, training=True))[0, :, :, 0]  # every second pixel
    assert zoomed[2].tolist() == [10, 10, 12, 14, 14]


def test_augmentation_is_at_rest_outside_training_and_differs_from_image_to_image() -> None:
    keras.utils.set_random_seed(0)
    layer = RandomAffine(rotation=15, shift=0.1, shear=0.2, zoom=0.2)
    images = np.repeat(np.random.default_rng(0).random((1, 32, 32, 3), np.float32), 2, axis=0)
    assert np.array_equal(layer(images), images)
    first, second = np.asarray(layer(images, training=True))
    assert not np.array_equal(first, second)
