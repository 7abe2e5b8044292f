"""Near-copies: found whatever was done to them, listed, and kept on one side of every cut."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_prep import copies, near
from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import Command
from support.scenes import COPIES, scene
from support.shards import table

LABELS = ("REAL", "FAKE")


def grey(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"))


def tree_of(root: Path, pictures: dict[str, Image.Image]) -> Path:
    for path, picture in pictures.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(root / path)
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """60 training pictures a label; 20 unrelated test pictures a label, and three near-copies of each kind."""
    pictures = {}
    for offset, label in enumerate(LABELS):
        pictures |= {f"train/{label}/{number:03d}.png": scene(1000 * offset + number) for number in range(60)}
        pictures |= {f"test/{label}/{number:03d}.png": scene(1000 * offset + 500 + number) for number in range(20)}
        for place, (kind, copy) in enumerate(COPIES.items()):
            numbers = range(3 * place, 3 * place + 3)
            pictures |= {f"test/{label}/{kind}-{n}.png": copy(scene(1000 * offset + n)) for n in numbers}
    return tree_of(tmp_path / "tree", pictures)


@pytest.mark.parametrize("kind", COPIES)
def test_every_kind_of_copy_is_found_and_nothing_else(kind: str) -> None:
    originals = [scene(number) for number in range(200)]
    copies = [COPIES[kind](picture) for picture in originals[:100]]
    pairs = near.near_pairs(np.stack([grey(picture) for picture in [*originals, *copies]]))
    assert {tuple(pair) for pair in pairs.tolist()} == {(number, 200 + number) for number in range(100)}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_other_images_are_found_among_them(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_ROWS", 70)
    monkeypatch.setattr(near, "_COLUMNS", 30)
    known = np.stack([grey(scene(number)) for number in range(200)])
    copied, unrelated = [COPIES[kind](scene(number)) for number in range(0, 100, 2)], map(scene, range(300, 350))
    is_copy = near.near_copies(np.stack([grey(picture) for picture in [*unrelated, *copied]]), known)
    assert is_copy.tolist() == [False] * 50 + [True] * 50
    assert near.near_copies(known[:0], known).tolist() == near.near_copies(known[:0], known[:0]).tolist() == []


def test_flat_pictures_and_few_have_no_copies() -> None:
    assert len(near.near_pairs(np.full((5, 32, 32), 7, np.uint8))) == 0
    assert len(near.near_pairs(np.zeros((0, 32, 32), np.uint8))) == 0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.stack([grey(scene(number // 2)) for number in range(60)])
    pairs = near.near_pairs(pictures)
    assert pairs.tolist() == [[number, number + 1] for number in range(0, 60, 2)]
    monkeypatch.setattr(near, "_ROWS", 7)
    monkeypatch.setattr(near, "_COLUMNS", 11)
    assert near.near_pairs(pictures).tolist() == pairs.tolist()


def test_of_very_many_copies_some_pairs_connect_all(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.stack([grey(scene(number % 2)) for number in range(80)])
    every = near.near_pairs(frames)
    assert len(every) == 2 * 40 * 39 // 2
    monkeypatch.setattr(near, "_MOST_PAIRS", 50)
    some = near.near_pairs(frames)
    assert len(some) < 500
    assert near.connected(some, 80).tolist() == near.connected(every, 80).tolist()


def test_copies_of_copies_are_one_picture() -> None:
    numbers = near.connected(np.array([[0, 1], [1, 4]]), 6)
    assert numbers[0] == numbers[1] == numbers[4]
    assert len(set(numbers.tolist())) == 4


def test_the_clean_test_is_without_near_copies(tree: Path, tmp_path: Path) -> None:
    audit = prepare(str(tree), str(tmp_path / "out")).audit
    test = table(tmp_path / "out", "test").set_index("path")["duplicate"]
    is_copy = test.index.str.contains("-")
    assert (test[is_copy] == "near").all()
    assert test[~is_copy].isna().all()
    assert (audit["test_images_in_train"], audit["test_images_near_train"]) == (0, 30)
    listed = pd.read_csv(tmp_path / "out" / "near-copies.csv")
    assert len(listed) == 30
    assert set(listed.columns) == {"path", "split", "label", "path_of_other", "split_of_other", "label_of_other"}
    with Image.open(tmp_path / "out" / "near-copies.png") as sheet:
        assert sheet.width == 6 * 218 - 24
    record = Folder(str(tmp_path / "record"))
    copies.take_sheet(Folder(str(tmp_path / "out")), record)
    assert record.read_bytes("near-copies.png") == (tmp_path / "out" / "near-copies.png").read_bytes()
    plain = prepare(str(tree), str(tmp_path / "plain"), near_copies=False)
    copies.take_sheet(Folder(str(tmp_path / "plain")), Folder(str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()
    assert table(tmp_path / "plain", "test")["duplicate"].isna().all()
    assert plain.audit["test_images_near_train"] == 0


def test_copies_are_on_one_side_of_the_cut_and_in_one_cluster(tmp_path: Path) -> None:
    kinds = [lambda picture: picture, *COPIES.values()]
    pictures = {
        f"{split}/{label}/{number:02d}-{place}.png": copy(scene(1000 * offset + number))
        for offset, label in enumerate(LABELS)
        for split, numbers in (("train", range(20)), ("test", range(50, 55)))
        for number in numbers
        for place, copy in enumerate(kinds)
    }
    tree = tree_of(tmp_path / "tree", pictures)
    for seed in range(3):
        prepare(str(tree), str(tmp_path / f"out-{seed}"), validation=0.3, seed=seed)
        frames = {split: table(tmp_path / f"out-{seed}", split) for split in ("train", "validation", "test")}
        names = {split: set(frame["path"].str.extract(r"(\w+/\d\d)-")[0]) for split, frame in frames.items()}
        assert len(names["validation"]) == 12
        assert not names["train"] & names["validation"]
        for frame in frames.values():
            clusters = frame.groupby(frame["path"].str.extract(r"(\w+/\d\d)-")[0])["cluster"]
            assert (clusters.nunique(dropna=False) == 1).all()
            assert frame["cluster"].nunique() == clusters.ngroups
            assert frame["cluster"].notna().all()


def test_copies_under_both_labels_are_told(tree: Path, tmp_path: Path, command: Command) -> None:
    COPIES["mirrored"](scene(30)).save(tree / "train" / "FAKE" / "copy.png")
    done = command("-m", "data_prep", "--source", tree, "--out", "out")
    assert done.returncode == 0, done.stderr
    output = " ".join(done.stdout.split())
    assert "Pictures with copies, exact or near, under both labels: 1." in output
    assert "30 have near-copies there" in output
    fast = command("-m", "data_prep", "--source", tree, "--out", "fast", "--no-near-copies")
    assert "Near-copies were not looked for (--no-near-copies)." in " ".join(fast.stdout.split())
