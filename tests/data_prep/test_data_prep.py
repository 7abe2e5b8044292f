"""data_prep: the same shards from any form of the same images, an audit that counts right, and no half-written work."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from data_prep import shards
from data_prep.decode import UnreadableError, decode
from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.sources import SAMPLE
from data_prep.sources.zip import ZipSource
from data_prep.split import first_balanced
from data_prep.storage import Folder
from support.commands import Command, refused, run_python
from support.trees import make_tree, zip_tree


def table(folder: Path, split: str) -> pd.DataFrame:
    tables = shards.read_tables(
        Folder(str(folder)), split, ["label", "path", "object_class", "group", "duplicate", "sha256"]
    )
    return pd.concat([part.to_pandas() for part in tables], ignore_index=True)


def pixels(folder: Path, split: str) -> np.ndarray:
    return np.concatenate([shards.images_of(part) for part in shards.read_tables(Folder(str(folder)), split)])


# ── the same shards, however they are made ────────────────────────────────────────────────────────────────────────────


def test_folder_and_zip_and_any_number_of_workers_give_the_same_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_prep.parts._ITEMS_IN_PROCESS", 0)
    monkeypatch.setattr("data_prep.parts._ITEMS_PER_PART", 30)
    tree = make_tree(tmp_path / "tree", images=60)
    archive = zip_tree(tree, tmp_path / "tree.zip")
    one = prepare(str(tree), str(tmp_path / "one"), workers=1)
    two = prepare(str(tree), str(tmp_path / "two"), workers=2)
    zipped = prepare(str(archive), str(tmp_path / "zipped"), workers=2)
    assert one.fingerprint == two.fingerprint == zipped.fingerprint
    for split in shards.SPLITS:
        assert np.array_equal(pixels(tmp_path / "one", split), pixels(tmp_path / "two", split))
        assert np.array_equal(pixels(tmp_path / "one", split), pixels(tmp_path / "zipped", split))


def test_the_fingerprint_follows_content_and_order(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    first = prepare(str(tree), str(tmp_path / "first")).fingerprint
    assert prepare(str(tree), str(tmp_path / "reseeded"), seed=1).fingerprint != first
    Image.new("RGB", (32, 32), "red").save(tree / "test" / "REAL" / "0003.jpg", quality=75)
    assert prepare(str(tree), str(tmp_path / "changed")).fingerprint != first


def test_shards_hold_what_pillow_decodes(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    manifest = prepare(str(tree), str(tmp_path / "out"))
    train = pixels(tmp_path / "out", "train")
    for row, path in enumerate(table(tmp_path / "out", "train")["path"]):
        assert np.array_equal(train[row], np.asarray(Image.open(tree / path)))
    assert manifest.pixel_mean == pytest.approx(train.mean((0, 1, 2)) / 255, abs=1e-6)
    assert manifest.pixel_std == pytest.approx(train.std((0, 1, 2)) / 255, abs=1e-6)
    assert manifest.counts["train"] == {"REAL": 18, "FAKE": 18}
    assert manifest.counts["validation"] == {"REAL": 2, "FAKE": 2}
    assert manifest.counts["test"] == {"REAL": 20, "FAKE": 20}


def test_preparing_again_changes_nothing_and_other_options_are_refused(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    prepare(str(tree), str(tmp_path / "out"))
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    prepare(str(tree), str(tmp_path / "out"))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(InputError, match="already holds other shards"):
        prepare(str(tree), str(tmp_path / "out"), seed=1)


def test_a_killed_job_goes_on_from_its_parts(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", images=3_000)
    words = [sys.executable, "-m", "data_prep", "--source", str(tree), "--out", str(tmp_path / "out"), "--workers", "2"]
    job = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    partial = tmp_path / "out.partial"
    deadline = time.monotonic() + 60
    while not list(partial.glob("part-*.arrow")) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = psutil.Process(job.pid).children(recursive=True)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert psutil.wait_procs(workers, timeout=10)[1] == [], "processes were left behind"
    parts = {path: path.stat().st_mtime_ns for path in partial.glob("part-*.arrow")}
    assert parts, "the job was killed before its first part"
    assert not (tmp_path / "out").exists(), "half-written work is not taken for whole"
    decoded: list[int] = []
    manifest = prepare(str(tree), str(tmp_path / "out"), progress=lambda done, total: decoded.append(done))
    assert manifest.fingerprint == prepare(str(tree), str(tmp_path / "whole")).fingerprint
    assert not partial.exists()


def test_the_columns_are_those_of_the_format(tmp_path: Path) -> None:
    prepare(str(with_duplicates(tmp_path)), str(tmp_path / "out"), image_size=16)
    (part,) = shards.read_tables(Folder(str(tmp_path / "out")), "test")
    assert part.schema.types == shards.schema(16).types
    assert part.column_names == [
        *("image", "label", "generator", "object_class", "path", "sha256", "group", "cluster", "duplicate", "crop")
    ]
    rows = part.drop_columns("image").to_pandas()
    assert part["generator"].null_count == part["cluster"].null_count == len(rows) == 100
    assert (rows["crop"] == 0).all()
    assert rows["duplicate"].dropna().tolist() == ["exact"]


def test_the_fingerprint_follows_how_images_were_brought_to_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree")
    first = prepare(str(tree), str(tmp_path / "first"))
    assert prepare(str(tree), str(tmp_path / "smaller"), image_size=16).fingerprint != first.fingerprint
    monkeypatch.setattr("data_prep.job.FIT", "another way")
    other = prepare(str(tree), str(tmp_path / "other"))
    assert (first.fit, other.fit) == ("Lanczos, centre crop", "another way")
    assert other.fingerprint != first.fingerprint


def test_a_shard_of_large_images_has_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [shards.rows_per_shard(size) for size in (8, 32, 224, 1024)] == [5_000, 5_000, 1_660, 79]
    assert all(3 * size**2 * shards.rows_per_shard(size) < 256e6 for size in range(8, 1025))
    monkeypatch.setattr(shards, "_MOST_IMAGE_BYTES", 15 * 3 * 32**2)
    manifest = prepare(str(make_tree(tmp_path / "tree")), str(tmp_path / "out"))
    assert {name: size["rows"] for name, size in manifest.files.items()} == {
        "train-00000.parquet": 15,
        "train-00001.parquet": 15,
        "train-00002.parquet": 6,
        "validation-00000.parquet": 4,
        "test-00000.parquet": 15,
        "test-00001.parquet": 15,
        "test-00002.parquet": 10,
    }
    assert len(pixels(tmp_path / "out", "train")) == len(set(table(tmp_path / "out", "train")["path"])) == 36


# ── splits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def with_duplicates(tmp_path: Path) -> Path:
    """A tree in which train holds 3 copies of one image and 2 of another, test 2 of a third, and test 1 of train's."""
    tree = make_tree(tmp_path / "tree", images=50)
    fake = tree / "train" / "FAKE"
    for copy in ("0001", "0002"):
        shutil.copy(fake / "0000.jpg", fake / f"{copy}.jpg")
    shutil.copy(fake / "0010.jpg", fake / "0011.jpg")
    shutil.copy(tree / "test" / "REAL" / "0000.jpg", tree / "test" / "REAL" / "0001.jpg")
    shutil.copy(fake / "0000.jpg", tree / "test" / "FAKE" / "0000.jpg")
    return tree


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


def test_a_link_that_leads_back_is_not_walked_through(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "train" / "REAL" / "all").symlink_to("..")
    shutil.move(tree / "train" / "FAKE", tmp_path / "elsewhere")
    (tree / "train" / "FAKE").symlink_to(tmp_path / "elsewhere")
    assert prepare(str(tree), str(tmp_path / "out")).audit["images"] == 80


def test_a_pipe_is_unreadable_and_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    os.mkfifo(tree / "train" / "REAL" / "pipe.jpg")
    manifest = prepare(str(tree), str(tmp_path / "out"))
    assert manifest.audit["unreadable"] == {"train/REAL/pipe.jpg": "cannot be read: it is a pipe or a device"}
    Path(os.fsdecode(os.fsencode(tree) + b"/train/REAL/caf\xe9.jpg")).touch()
    with pytest.raises(InputError, match="is not UTF-8; rename the file"):
        prepare(str(tree), str(tmp_path / "more"))


def test_two_that_make_the_same_shards_at_once_both_have_them(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", images=600)
    words = [sys.executable, "-m", "data_prep", "--source", "tree", "--out", "out"]
    jobs = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [job.communicate()[1] for job in jobs] == ["", ""]
    assert [job.returncode for job in jobs] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tree"]


def test_an_out_that_is_a_link_is_what_it_points_to(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    prepare(str(tmp_path / "tree"), str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "manifest.json").exists()


def test_test_images_in_validation_are_told_as_they_are_left_out(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", splits=("train", "validation", "test"))
    for name in ("0001", "0002"):
        shutil.copy(tree / "validation" / "REAL" / f"{name}.jpg", tree / "test" / "REAL")
    manifest = prepare(str(tree), str(tmp_path / "out"))
    assert manifest.audit["test_images_in_train"] == table(tmp_path / "out", "test")["duplicate"].count() == 2


def test_a_member_unpacks_to_no_more_than_the_archive_promises(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/REAL/0000.jpg", bytes(10**6))
    source = ZipSource(str(tmp_path / "zeros.zip"))
    (file,) = source.files()
    assert source.read(file) == bytes(10**6)
    with pytest.raises(zipfile.BadZipFile, match="damaged"):
        source.read(file._replace(bytes=1000))


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


def test_limit_takes_as_many_of_each_label(tmp_path: Path) -> None:
    manifest = prepare(str(make_tree(tmp_path / "tree", images=50)), str(tmp_path / "out"), limit=40)
    assert manifest.counts["test"] == {"REAL": 20, "FAKE": 20}
    assert manifest.counts["train"] == {"REAL": 18, "FAKE": 18}


# ── decoding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (encoded(Image.new("L", (8, 8), 100), "PNG"), (100, 100, 100)),
        (encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 255)), "PNG"), (255, 0, 0)),
        (encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"), (255, 255, 255)),
        (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (encoded(Image.new("RGB", (8, 8), (0, 0, 255)).convert("P"), "PNG"), (0, 0, 255)),
        (encoded(Image.new("I;16", (8, 8), 257 * 40), "PNG"), (40, 40, 40)),
        (encoded(Image.new("1", (8, 8), 1), "PNG"), (255, 255, 255)),
        (encoded(Image.new("RGB", (8, 8), (0, 128, 0)), "WEBP", lossless=True), (0, 128, 0)),
        (encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "BMP"), (1, 2, 3)),
    ],
    ids=["grey", "opaque", "transparent", "cmyk", "palette", "16-bit", "1-bit", "webp", "bmp"],
)
def test_every_mode_becomes_rgb(content: bytes, colour: tuple[int, int, int]) -> None:
    image, facts = decode(content, 8)
    assert image.shape == (8, 8, 3)
    assert (image == np.array(colour)).all()
    assert (facts.width, facts.height, facts.bytes) == (8, 8, len(content))


def test_larger_images_are_cropped_to_the_middle_and_resampled() -> None:
    wide = Image.new("RGB", (96, 32), "black")
    wide.paste("white", (32, 0, 64, 32))
    image, facts = decode(encoded(wide, "PNG"), 16)
    assert image.min() > 235, "only a filter's reach at the edge"
    assert (facts.width, facts.height) == (96, 32)


def test_the_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (32, 32), "black")
    image.paste("white", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    decoded, _ = decode(encoded(image, "JPEG", exif=exif), 32)
    assert decoded[:12].max() < 30
    assert decoded[20:].min() > 225


def test_a_thumbnail_in_the_header_is_not_the_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    thumbnail = encoded(Image.new("RGB", (16, 16), "red"), "JPEG")
    plain = encoded(Image.fromarray(pixels), "JPEG", quality=90)
    segment = b"Photoshop 3.0\0" + thumbnail
    content = plain[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2) + segment + plain[2:]
    decoded, facts = decode(content, 32)
    assert np.array_equal(decoded, decode(plain, 32)[0])
    assert facts.codec == decode(plain, 32)[1].codec


@pytest.mark.parametrize(("quality", "sampling"), [(75, "4:2:0"), (92, "4:4:4"), (50, "4:2:2")])
def test_the_codec_is_told_in_words(quality: int, sampling: str) -> None:
    content = encoded(Image.new("RGB", (8, 8)), "JPEG", quality=quality, subsampling=sampling)
    assert decode(content, 8)[1].codec == f"JPEG quality {quality} {sampling}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello", "not an image"),
        (encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")[:900], "end of JPEG"),
    ],
)
def test_what_is_no_image_has_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        decode(content, 32)


# ── the audit ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bad_files_are_listed_and_the_job_goes_on(tmp_path: Path, command: Command) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "train" / "REAL" / "0000.jpg").write_bytes(b"")
    (tree / "train" / "FAKE" / "0001.jpg").write_bytes((tree / "train" / "FAKE" / "0001.jpg").read_bytes()[:700])
    (tree / "train" / "FAKE" / "notes.txt").write_text("not an image")
    (tree / "list.csv").write_text("a file beside the folders")
    done = command("-m", "data_prep", "--source", tree, "--out", "out")
    assert done.returncode == 0, done.stderr
    audit = json.loads((tmp_path / "out" / "manifest.json").read_text())["audit"]
    assert audit["unreadable"].keys() == {"train/REAL/0000.jpg", "train/FAKE/0001.jpg", "train/FAKE/notes.txt"}
    assert audit["unreadable"]["train/REAL/0000.jpg"] == "empty file"
    assert audit["outside_label_folders"] == ["list.csv"]
    assert "3 files could not be read" in done.stdout
    assert audit["images"] == 78


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


def test_real_cifake_is_audited_as_published(cifake: Path, tmp_path: Path) -> None:
    manifest = prepare(str(cifake), str(tmp_path / "out"))
    assert manifest.counts == {
        "train": {"REAL": 45_000, "FAKE": 45_000},
        "validation": {"REAL": 5_000, "FAKE": 5_000},
        "test": {"REAL": 5_000, "FAKE": 5_000},
    }
    assert manifest.audit["duplicate_pairs"] == {"train": 920, "test": 11}
    assert manifest.audit["test_images_in_train"] == 197
    assert manifest.audit["distinct_images"] == 108_872
    assert manifest.audit["warnings"] == []
    assert not set(table(tmp_path / "out", "train")["group"]) & set(table(tmp_path / "out", "validation")["group"])
    assert table(tmp_path / "out", "validation").groupby(["label", "object_class"]).size().tolist() == [500] * 20
    assert manifest.pixel_mean == pytest.approx((0.4720, 0.4629, 0.4178), abs=5e-4)
    assert manifest.pixel_std == pytest.approx((0.2376, 0.2374, 0.2660), abs=5e-4)


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


# ── wrong input ───────────────────────────────────────────────────────────────────────────────────────────────────────


def one_label(tmp_path: Path) -> Path:
    tree = make_tree(tmp_path / "tree")
    shutil.rmtree(tree / "train" / "FAKE")
    return tree


def no_zip(tmp_path: Path) -> Path:
    (tmp_path / "a.zip").write_bytes(b"PK but no more")
    return tmp_path / "a.zip"


def cut_zip(tmp_path: Path) -> Path:
    archive = zip_tree(make_tree(tmp_path / "tree"), tmp_path / "a.zip")
    archive.write_bytes(archive.read_bytes()[:-1000])
    return archive


def climbing_zip(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("train/REAL/../../../../evil.jpg", b"x")
    return tmp_path / "a.zip"


def bomb(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for index in range(4):
            file.writestr(f"train/REAL/{index}.bmp", bytes(100 * 2**20))
    return tmp_path / "a.zip"


def empty_folder(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda tmp_path: tmp_path / "missing", "does not exist"),
        (empty_folder, "it is empty"),
        (one_label, "lacks FAKE images in its train split"),
        (no_zip, "no complete zip archive"),
        (cut_zip, "no complete zip archive"),
        (climbing_zip, "a path that leaves it"),
        (bomb, "would unpack to"),
    ],
    ids=["missing", "empty", "one label", "no zip", "cut zip", "climbing zip", "bomb"],
)
def test_a_wrong_source_is_one_sentence(make, told: str, tmp_path: Path, command: Command) -> None:  # type: ignore[no-untyped-def]
    done = command("-m", "data_prep", "--source", make(tmp_path), "--out", "out")
    assert told in refused(done)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_a_wrong_option_is_one_sentence(command: Command) -> None:
    assert "--source" in refused(command("-m", "data_prep", "--sorce", "sample", "--out", "out"))
    assert "--image-size" in refused(
        command("-m", "data_prep", "--source", "sample", "--out", "out", "--image-size", "1")
    )


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, command: Command) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    assert "other files" in refused(
        command("-m", "data_prep", "--source", make_tree(tmp_path / "tree"), "--out", "out")
    )
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_is_one_sentence_and_leaves_no_shards(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(disk)], check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        done = run_python(
            "-m", "data_prep", "--source", make_tree(tmp_path / "tree", 100), "--out", disk / "out", cwd=tmp_path
        )
        assert "disk is full" in refused(done)
        assert not (disk / "out").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    prepare(str(make_tree(tmp_path / "tree")), str(tmp_path / "shards"))
    return tmp_path / "shards"


def test_a_corrupt_shard_is_refused(prepared: Path) -> None:
    path = prepared / "test-00000.parquet"
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"test-00000\.parquet is corrupt"):
        pixels(prepared, "test")
    path.write_bytes(content[:-10])
    with pytest.raises(InputError, match="is corrupt"):
        pixels(prepared, "test")
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        pixels(prepared, "test")


def test_another_format_version_is_refused(prepared: Path) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    (prepared / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(InputError, match="format version 99, and this is 2"):
        shards.read_manifest(Folder(str(prepared)))


def test_shards_of_version_1_are_one_sentence_that_says_to_make_them_again(prepared: Path, command: Command) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    del manifest["fit"]
    (prepared / "manifest.json").write_text(json.dumps(manifest | {"format_version": 1}))
    with pytest.raises(InputError) as raised:
        list(shards.read_tables(Folder(str(prepared)), "test"))
    assert raised.value.message == (
        f"{prepared} has shards of format version 1, and this is 2; delete it and make it again with "
        "`python -m data_prep --source … --out …`."
    )
    words = ("-m", "data_prep", "--source", prepared.parent / "tree", "--out", prepared)
    assert refused(command(*words)) == raised.value.message
