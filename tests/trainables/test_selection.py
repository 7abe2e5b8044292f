"""The selection of images: balanced, the same every time, and one copy for all."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.storage import Folder
from support.trees import make_tree
from trainables.training.arrays import shared_data
from trainables.training.selection import DataSelection, Split


@pytest.fixture(scope="module")
def shard_folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    place = tmp_path_factory.mktemp("data")
    prepare(str(make_tree(place / "tree", images=200)), str(place / "shards"))
    return Folder(str(place / "shards"))


def test_limit_is_balanced_the_same_every_time_and_leaves_test_whole(shard_folder: Folder) -> None:
    first, second, whole = (DataSelection(shard_folder, limit).load() for limit in (100, 100, None))
    assert (len(first.train), len(first.validation), len(first.test)) == (100, 24, 400)
    assert first.train.labels.sum() == 50
    assert first.validation.labels.sum() == 12
    assert np.array_equal(first.train.images, second.train.images)
    assert first.fingerprint == second.fingerprint != whole.fingerprint
    assert np.array_equal(first.train.images, whole.train.images[first.train.rows])


def test_training_sets_are_disjoint_and_the_first_is_that_of_the_limit_alone(
    shard_folder: Folder, tmp_path: Path
) -> None:
    alone, crossed = DataSelection(shard_folder, 100).load(), DataSelection(shard_folder, 100, subsets=3)
    data = shared_data(crossed, tmp_path)
    sets = [data.subset(number) for number in (1, 2, 3)]
    assert (data.train_images, [len(each.train) for each in sets]) == (100, [100] * 3)
    assert len(set(np.concatenate([each.train.rows for each in sets]))) == 300
    for each in sets:
        assert each.train.labels.sum() == 50
        assert np.array_equal(each.train.images, DataSelection(shard_folder).load().train.images[each.train.rows])
        assert np.array_equal(each.validation.images, alone.validation.images)
    assert np.array_equal(sets[0].train.images, alone.train.images)
    assert (
        len({data.fingerprint, alone.fingerprint, DataSelection(shard_folder, 100, subsets=2).load().fingerprint}) == 3
    )
    assert len(DataSelection(shard_folder, smoke=True, subsets=3).load().subset(2).train) == 120  # of 360 images


def test_more_images_than_there_are_is_refused(shard_folder: Folder) -> None:
    with pytest.raises(InputError, match="--limit 1000 asks for more than the 360 balanced training images"):
        DataSelection(shard_folder, 1_000).load()
    with pytest.raises(InputError, match="--resample-train 4 of --limit 100 asks for more than the 360"):
        DataSelection(shard_folder, 100, subsets=4).load()


def test_one_copy_of_the_data_is_shared(shard_folder: Folder, tmp_path: Path) -> None:
    source = DataSelection(shard_folder, 100)
    first, second = shared_data(source, tmp_path), shared_data(source, tmp_path)
    expected = DataSelection(shard_folder, 100).load()
    for data in (first, second):
        assert (data.fingerprint, data.is_smoke) == (expected.fingerprint, False)
        for split in ("train", "validation", "test"):
            for field in dataclasses.fields(Split):
                found = getattr(getattr(data, split), field.name)
                assert np.array_equal(found, getattr(getattr(expected, split), field.name))
                assert isinstance(found, np.memmap)
    assert first.train.images.filename == second.train.images.filename
