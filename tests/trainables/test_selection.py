"""The selection of images: balanced, the same every time, and one copy for all."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_prep import shards
from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.layout.vocabulary import SPLITS
from data_prep.split import first_balanced, places_in_sets
from data_prep.storage import Folder
from support.commands import small_disk
from support.trees import make_tree
from trainables.training import arrays
from trainables.training.arrays import assembled, mapped, pieces, shared_data
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


@pytest.mark.parametrize(("most", "parts"), [(40, 1), (7, 1), (500, 1), (30, 4), (500, 3), (2, 2)])
def test_images_go_to_their_places_as_they_are_read(most: int, parts: int) -> None:
    generator = np.random.default_rng(most)
    labels = (generator.random(300) < 0.4).astype(np.int8)
    half = min(most // 2, *(np.bincount(labels) // parts))
    found, start = np.full(2 * half * parts, -1), 0
    seen, filled = np.zeros(2, int), np.zeros(parts, int)
    for part in np.split(labels, np.sort(generator.integers(0, 300, 9))):
        places = places_in_sets(part, half, seen, filled)
        assert (found[places[places >= 0]] == -1).all()
        found[places[places >= 0]] = start + np.flatnonzero(places >= 0)
        start += len(part)
    assert found.tolist() == first_balanced(labels, most, parts).tolist()


def test_shards_are_read_in_parts(shard_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selections = [DataSelection(shard_folder, 100, subsets=3), DataSelection(shard_folder)]
    whole = [selection.load() for selection in selections]
    monkeypatch.setattr(shards, "_MOST_BYTES_AT_ONCE", 7 * 3 * 32**2)
    assert max(map(len, shards.read_tables(shard_folder, "test"))) == 7
    for selection, expected in zip(selections, whole, strict=True):
        found = selection.load()
        for split in SPLITS:
            for field in dataclasses.fields(Split):
                pair = (getattr(getattr(data, split), field.name) for data in (found, expected))
                assert np.array_equal(*pair)


def test_a_manifest_of_other_counts_makes_up_no_images(shard_folder: Folder, tmp_path: Path) -> None:
    copy = Folder(str(shutil.copytree(shard_folder.local_path(), tmp_path / "copy")))
    content = copy.read_json("manifest.json")
    for change in (30, -30):
        counts = {label: count + change for label, count in content["counts"]["train"].items()}
        copy.write_json("manifest.json", content | {"counts": content["counts"] | {"train": counts}})
        assert np.array_equal(DataSelection(copy).load().train.rows, np.arange(360))
        if change > 0:
            with pytest.raises(InputError, match=r"fewer images of a label than its manifest\.json says"):
                DataSelection(copy, 2 * min(counts.values())).load()
        else:
            assert len(DataSelection(copy, 2 * min(counts.values())).load().train) == 300


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(shard_folder: Folder, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "300k") as disk:
        with pytest.raises(OSError, match="No space left on device"):
            shared_data(DataSelection(shard_folder), disk)
        with pytest.raises(FileNotFoundError):
            (disk / "data.json").read_bytes()


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


def test_images_are_sent_in_pieces_to_a_node_that_does_not_see_the_shards(
    shard_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_BYTES_OF_PIECE", 10_000)  # three images
    selection = DataSelection(shard_folder, 100, subsets=2)
    sent, there = selection.load(), tmp_path / "there"
    there.mkdir()
    assert selection.is_here(sent.fingerprint)
    assert not selection.is_here("another")
    assert not DataSelection(Folder(str(there))).is_here(sent.fingerprint)
    assert max(rows.nbytes for *_, rows in pieces(sent)) <= 10_000
    got = mapped(there, lambda new: assembled(pieces(sent), selection, sent.fingerprint, new))
    assert (got.fingerprint, got.is_smoke, got.subsets) == (sent.fingerprint, False, 2)
    for name in ("train", "validation", "test"):
        for column in ("images", "labels", "rows", "duplicate"):
            assert np.array_equal(getattr(getattr(got, name), column), getattr(getattr(sent, name), column))
