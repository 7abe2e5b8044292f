"""Splits: what is cut out of train, which label and split a path stands for, and where duplicates go."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.split import first_balanced
from support.shards import table, with_duplicates
from support.trees import make_tree


def test_duplicates_are_counted_and_kept_on_one_side_of_the_cut(tmp_path: Path) -> None:
    tree = with_duplicates(tmp_path)
    for seed in range(5):
        manifest = prepare(str(tree), str(tmp_path / f"out-{seed}"), validation=0.3, seed=seed)
        assert manifest.audit["duplicate_pairs"] == {"train": 3 + 1, "test": 1}
        assert manifest.audit["test_images_in_train"] == 1
        train, validation = table(tmp_path / f"out-{seed}", "train"), table(tmp_path / f"out-{seed}", "validation")
        assert not set(train["group"]) & set(validation["group"])
        assert len(validation) == 30
        assert manifest.counts["validation"] == {"REAL": 15, "FAKE": 15}
        test = table(tmp_path / f"out-{seed}", "test")
        assert test.loc[test["duplicate"] == "exact", "path"].tolist() == ["test/FAKE/0000.jpg"]


def test_the_same_pixels_in_another_file_are_a_duplicate(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    source = tree / "train" / "REAL" / "0000.jpg"
    Image.open(source).save(tree / "train" / "REAL" / "0001.png")
    assert prepare(str(tree), str(tmp_path / "out")).audit["duplicate_pairs"]["train"] == 1


def test_cifake_names_give_object_classes_and_the_cut_keeps_their_shares(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("REAL", "FAKE"):
            (tree / split / label).mkdir(parents=True)
            for index in range(100):
                name = f"{index // 10:04d}.jpg" if index % 10 == 0 else f"{index // 10:04d} ({index % 10 + 1}).jpg"
                image = Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8))
                image.save(tree / split / label / name, quality=75)
    prepare(str(tree), str(tmp_path / "out"), validation=0.2)
    validation = table(tmp_path / "out", "validation")
    assert validation.groupby(["label", "object_class"]).size().tolist() == [2] * 20
    assert table(tmp_path / "out", "test").set_index("path")["object_class"]["test/REAL/0000 (10).jpg"] == "truck"
    assert table(tmp_path / "out", "test").set_index("path")["object_class"]["test/REAL/0000.jpg"] == "airplane"


def test_names_without_all_ten_classes_are_not_taken_for_cifake(tmp_path: Path) -> None:
    prepare(str(make_tree(tmp_path / "tree")), str(tmp_path / "out"))
    assert table(tmp_path / "out", "train")["object_class"].isna().all()


@pytest.mark.parametrize("layout", ["{label}/{split}", "{split}/some/{label}", "{split}/{label}/some"])
def test_a_split_stands_above_or_below_the_label(layout: str, tmp_path: Path) -> None:
    """A test image must never be trained on for standing in a layout of another kind."""
    tree = make_tree(tmp_path / "tree")
    for split in ("train", "test"):
        for label in ("REAL", "FAKE"):
            target = tmp_path / "other" / layout.format(split=split, label=label)
            shutil.copytree(tree / split / label, target)
    manifest = prepare(str(tmp_path / "other"), str(tmp_path / "out"))
    assert manifest.counts == prepare(str(tree), str(tmp_path / "plain")).counts
    paths = table(tmp_path / "out", "test")["path"]
    assert paths.str.startswith("test/").all()
    assert len(set(paths)) == 40


def test_test_images_in_validation_are_told_as_they_are_left_out(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", splits=("train", "validation", "test"))
    for name in ("0001", "0002"):
        shutil.copy(tree / "validation" / "REAL" / f"{name}.jpg", tree / "test" / "REAL")
    manifest = prepare(str(tree), str(tmp_path / "out"))
    assert manifest.audit["test_images_in_train"] == table(tmp_path / "out", "test")["duplicate"].count() == 2


def test_small_folders_do_not_move_all_their_images_out_of_train(tmp_path: Path) -> None:
    """One image a prompt among the FAKE ones: a tenth of them all is cut out, and not one of each folder."""
    fake = make_tree(tmp_path / "tree", images=50, splits=("train",)) / "train" / "FAKE"
    for path in sorted(fake.iterdir()):
        (fake / path.stem).mkdir()
        path.rename(fake / path.stem / "image.jpg")
    manifest = prepare(str(tmp_path / "tree"), str(tmp_path / "out"))
    assert manifest.counts == {
        "train": {"REAL": 41, "FAKE": 41},
        "validation": {"REAL": 4, "FAKE": 4},
        "test": {"REAL": 5, "FAKE": 5},
    }


def test_a_split_that_would_lack_a_label_is_refused(tmp_path: Path) -> None:
    """All FAKE images are the same one, and so on one side of the cut."""
    fake = make_tree(tmp_path / "tree") / "train" / "FAKE"
    for path in fake.iterdir():
        if path.name != "0000.jpg":
            shutil.copy(fake / "0000.jpg", path)
    with pytest.raises(InputError, match="too few different FAKE images to have any in validation"):
        prepare(str(tmp_path / "tree"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_missing_test_split_is_cut_out_of_train_and_said_so(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", images=50, splits=("Train",))
    manifest = prepare(str(tree), str(tmp_path / "out"))
    assert manifest.counts["test"] == {"REAL": 5, "FAKE": 5}
    assert "no test split: 10 images were cut out of train" in " ".join(manifest.audit["notes"])


def test_labels_in_any_case_without_split_folders(tmp_path: Path) -> None:
    made = make_tree(tmp_path / "made", splits=("train",)) / "train"
    tree = tmp_path / "wrapped" / "tree"
    tree.mkdir(parents=True)
    (made / "REAL").rename(tree / "real")
    (made / "FAKE").rename(tree / "Fake")
    manifest = prepare(str(tmp_path / "wrapped"), str(tmp_path / "out"))
    assert sum(manifest.counts["train"].values()) + 2 * sum(manifest.counts["test"].values()) == 40


def test_a_validation_split_of_the_source_is_kept(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", splits=("train", "val", "test"))
    manifest = prepare(str(tree), str(tmp_path / "out"))
    assert manifest.counts["train"] == manifest.counts["validation"] == {"REAL": 20, "FAKE": 20}
    assert all(path.startswith("validation/") for path in table(tmp_path / "out", "validation")["path"])


def test_the_first_of_each_label_are_balanced_and_in_order() -> None:
    labels = np.array([1, 1, 1, 0, 1, 0, 0, 1], np.int8)
    assert first_balanced(labels, 4).tolist() == [0, 1, 3, 5]
    assert first_balanced(labels, 5).tolist() == [0, 1, 3, 5]
    assert first_balanced(labels, 100).tolist() == [0, 1, 2, 3, 5, 6]
    assert first_balanced(np.zeros(3, np.int8), 2).tolist() == []
    assert first_balanced(labels, 2, parts=2).tolist() == [0, 3, 1, 5]
    assert first_balanced(labels, 100, parts=3).tolist() == [0, 3, 1, 5, 2, 6]
