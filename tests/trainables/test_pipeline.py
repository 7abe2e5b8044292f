"""The pipeline of batches: each image once an epoch, in the order of seed and epoch."""

import dataclasses

import numpy as np
import pytest

from support.networks import curve
from trainables import Recipe
from trainables.training.loop import start, train
from trainables.training.pipeline import tensorflow_backend, training_batches
from trainables.training.selection import Data


def test_an_epoch_shows_every_image_once_in_the_order_of_seed_and_epoch(data: Data) -> None:
    numbered = dataclasses.replace(data.train, images=np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1))
    orders = {}
    for seed, epoch in ((0, 1), (0, 2), (1, 1)):
        batches = [np.asarray(images)[:, 0, 0, 0] for images, _ in training_batches(numbered, 32, seed, epoch)]
        assert [len(batch) for batch in batches] == [32] * 6 + [8]
        orders[seed, epoch] = np.concatenate(batches).tolist()
        assert sorted(orders[seed, epoch]) == list(range(200))
    assert len({tuple(order) for order in orders.values()}) == 3
    again = [np.asarray(images)[:, 0, 0, 0] for images, _ in training_batches(numbered, 32, 0, 1)]
    assert np.concatenate(again).tolist() == orders[0, 1]


def test_images_that_lie_in_the_device_give_the_same_curve(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("custom-3", epochs=2)  # which augments
    fed = train(start(recipe, data), data)
    monkeypatch.setattr(tensorflow_backend, "is_resident", lambda: True)
    resident = start(recipe, data)
    assert resident.trainer is not resident.model
    train(resident, data)
    assert curve(resident.history) == curve(fed.history)
    assert len(resident.variables()) == len(fed.variables())


def test_batches_keep_labels_with_their_images(data: Data) -> None:
    for images, labels in training_batches(data.train, 32, 0, 1):
        for image, label in zip(np.asarray(images), np.asarray(labels), strict=True):
            place = np.flatnonzero((data.train.images == image).all((1, 2, 3)))[0]
            assert data.train.labels[place] == label[0]
