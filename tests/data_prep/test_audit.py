"""The audit: bad files, encodings that give labels away, and what is known of CIFAKE."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import Folder
from data_prep.job import prepare
from data_prep.shards import read_manifest
from data_prep.sources import SAMPLE
from support.commands import Command
from support.shards import pixels, table
from support.trees import make_tree


def test_bad_files_are_listed_and_the_job_goes_on(tmp_path: Path, command: Command) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "train" / "REAL" / "0000.jpg").write_bytes(b"")
    (tree / "train" / "FAKE" / "0001.jpg").write_bytes((tree / "train" / "FAKE" / "0001.jpg").read_bytes()[:700])
    (tree / "train" / "FAKE" / "notes.txt").write_text("not an image")
    (tree / "list.csv").write_text("a file beside the folders")
    done = command("-m", "data_prep", "--source", tree, "--out", "out")
    assert done.returncode == 0, done.stderr
    audit = json.loads((tmp_path / "out" / "manifest.json").read_text())["audit"]
    assert audit["unreadable"].keys() == {"train/REAL/0000.jpg", "train/FAKE/0001.jpg"}
    assert audit["unreadable"]["train/REAL/0000.jpg"] == "empty file"
    assert audit["outside_label_folders"] == ["list.csv", "train/FAKE/notes.txt"]
    assert "2 files could not be read" in done.stdout
    assert audit["images"] == 78


def test_images_that_are_enlarged_are_counted(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")  # of 32 x 32 pixels
    assert not any("enlarged" in note for note in prepare(str(tree), str(tmp_path / "as-they-are")).audit["notes"])
    notes = prepare(str(tree), str(tmp_path / "large"), image_size=40).audit["notes"]
    assert notes[-1].startswith("80 images were smaller than 40 x 40 pixels and are enlarged")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_damage_inside_an_archive_is_listed_however_it_is_packed(tmp_path: Path, method: int) -> None:
    tree, archive = make_tree(tmp_path / "tree"), tmp_path / "tree.zip"
    with zipfile.ZipFile(archive, "w", method) as file:
        for path in sorted(tree.rglob("*.jpg")):
            file.write(path, path.relative_to(tree))
        bodies = {member.filename: member.header_offset + 30 + len(member.filename) for member in file.infolist()}
        header = file.getinfo("train/FAKE/0002.jpg").header_offset
    content = bytearray(archive.read_bytes())
    content[bodies["train/REAL/0003.jpg"] + 600] ^= 0xFF
    content[header] ^= 0xFF
    archive.write_bytes(content)
    audit = prepare(str(archive), str(tmp_path / "out")).audit
    assert audit["unreadable"].keys() == {"train/REAL/0003.jpg", "train/FAKE/0002.jpg"}
    assert all(reason.startswith("cannot be read: ") for reason in audit["unreadable"].values())
    assert audit["images"] == 78


def test_a_codec_that_gives_the_label_away_is_told(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    for path in tree.glob("*/REAL/*.jpg"):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    warnings = prepare(str(tree), str(tmp_path / "out")).audit["warnings"]
    assert any("codec gives the label away" in warning for warning in warnings)
    assert any("file size alone" in warning for warning in warnings)


def test_equal_encodings_raise_no_warning(tmp_path: Path) -> None:
    assert prepare(str(make_tree(tmp_path / "tree")), str(tmp_path / "out")).audit["warnings"] == []


@pytest.mark.real
def test_real_cifake_is_audited_as_published(cifake_shards: Path) -> None:
    manifest = read_manifest(Folder(str(cifake_shards)))
    assert manifest.counts == {
        "train": {"REAL": 45_000, "FAKE": 45_000},
        "validation": {"REAL": 5_000, "FAKE": 5_000},
        "test": {"REAL": 5_000, "FAKE": 5_000},
    }
    assert manifest.audit["duplicate_pairs"] == {"train": 920, "test": 11}
    assert manifest.audit["test_images_in_train"] == 197
    assert 120 < manifest.audit["test_images_near_train"] < 170
    assert manifest.audit["distinct_images"] == 108_872
    assert manifest.audit["warnings"] == []
    validation = table(cifake_shards, "validation")
    assert not set(table(cifake_shards, "train")["group"]) & set(validation["group"])
    assert validation.groupby(["label", "object_class"]).size().tolist() == [500] * 20
    assert manifest.pixel_mean == pytest.approx((0.4720, 0.4629, 0.4178), abs=5e-4)
    assert manifest.pixel_std == pytest.approx((0.2376, 0.2374, 0.2660), abs=5e-4)


def test_the_patches_of_one_photograph_are_a_cluster(tmp_path: Path) -> None:
    prepare("sample", str(tmp_path / "out"))
    for split in ("train", "validation", "test"):
        rows = table(tmp_path / "out", split)
        assert rows["cluster"].nunique() == 7
        assert (rows["cluster"] == split + "/" + rows["path"].str.split("/").str[-1].str.split("-").str[0]).all()
    prepare(str(make_tree(tmp_path / "tree")), str(tmp_path / "unknown"))
    assert table(tmp_path / "unknown", "train")["cluster"].isna().all()


def test_the_embedded_sample_gives_no_easy_clue(tmp_path: Path) -> None:
    assert SAMPLE.stat().st_size <= 4 * 2**20
    manifest = prepare("sample", str(tmp_path / "out"))
    assert manifest.audit["warnings"] == []
    assert sum(manifest.audit["duplicate_pairs"].values()) == 0
    assert (
        manifest.audit["codecs"]["REAL"].keys() == manifest.audit["codecs"]["FAKE"].keys() == {"JPEG quality 75 4:2:0"}
    )
    assert all(labels["REAL"] == labels["FAKE"] for labels in manifest.counts.values())
    assert 3_500 <= sum(sum(labels.values()) for labels in manifest.counts.values()) <= 4_500
    assert probe_accuracy(tmp_path / "out") < 0.75


def probe_accuracy(folder: Path) -> float:
    """Test accuracy of a logistic regression on colour statistics and a 16-bin radial log power spectrum."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def features(images: np.ndarray) -> np.ndarray:
        values = images / 255
        grey = values @ np.array([0.299, 0.587, 0.114])
        power = np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2
        axis = np.fft.fftfreq(32) * 32
        ring = np.minimum(np.hypot(*np.meshgrid(axis, axis)).astype(int), 15)
        spectrum = np.stack([np.log(power[:, ring == radius].mean(1) + 1e-6) for radius in range(16)], 1)
        return np.concatenate([values.mean((1, 2)), values.std((1, 2)), spectrum], 1)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
    model.fit(features(pixels(folder, "train")), table(folder, "train")["label"])
    return float(model.score(features(pixels(folder, "test")), table(folder, "test")["label"]))
