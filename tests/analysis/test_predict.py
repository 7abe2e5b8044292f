"""`python -m analysis predict`: verdicts on any files."""

import itertools
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.detector.detector import Detector, Row
from analysis.detector.stored import stored
from analysis.results.decisions import calibration
from support.commands import Command, refused, run_python
from support.detectors import AGE, CODEC, rows_of
from trainables.training.metrics import best_threshold

pytestmark = pytest.mark.xdist_group("trained")


def test_the_test_images_get_the_logits_that_the_record_has(analysis: Command, place: Path, record: Path) -> None:
    done = analysis("predict", f"results/zoo:{AGE}", "tree/test")
    assert done.returncode == 0, done.stderr
    found = pd.DataFrame(rows_of(done)).set_index("path")
    assert list(found.index) == sorted(
        str(path.relative_to(place)) for path in (place / "tree" / "test").rglob("*.jpg")
    )
    trial = stored(f"{record}:{AGE}")
    scores = pd.read_parquet(record / "scores" / f"{trial.trial}.parquet")
    scores = scores.merge(pd.read_parquet(record / "images.parquet"), on=["split", "row"])
    expected = scores[scores["split"] == "test"].set_index("path")["score"]
    found = found.loc[[f"tree/{path}" for path in expected.index]]
    assert len(found) == 240
    assert np.allclose(found["logit"].astype(float), expected, rtol=1e-4, atol=1e-4)
    labels, logits = trial.scores("validation")
    slope, offset = calibration(labels, logits)
    by_hand = 1 / (1 + np.exp(-(slope * expected + offset)))
    assert np.allclose(found["probability_fake"].astype(float), by_hand, atol=1e-4)
    assert set(found["verdict"]) == {"REAL", "FAKE"}
    is_fake = (expected > best_threshold(labels, logits)).to_numpy()
    assert np.array_equal(found["verdict"] == "FAKE", is_fake)
    assert set(found["error"]) == {""}
    contradicts = (found["probability_fake"].astype(float) > 0.5) != (found["verdict"] == "FAKE")
    assert (found["warnings"] != "").equals(contradicts)
    assert found.loc[contradicts, "warnings"].str.startswith("the threshold is at a probability of ").all()
    assert f"{is_fake.sum()} FAKE, 0 unreadable" in done.stderr
    assert "smoke run" in done.stderr


def test_a_prior_moves_probabilities_and_verdicts_together(analysis: Command, record: Path) -> None:
    rows = {}
    for words in ((), ("--prior", "0.01"), ("--prior", "0.99")):
        done = analysis("predict", f"results/zoo:{AGE}", "tree/test", *words)
        assert done.returncode == 0, done.stderr
        frame = pd.DataFrame(rows_of(done))
        rows[words[-1:]] = frame.assign(probability=frame["probability_fake"].astype(float))
        if words:
            assert (frame["warnings"] == "").all()
            assert ((rows[words[-1:]]["probability"] > 0.5) == (frame["verdict"] == "FAKE")).all()
            assert f"more probable than not if {words[1][2:].lstrip('0')} % of the images are FAKE" in done.stderr
    plain, rare, common = rows.values()
    assert (rare["probability"] < plain["probability"]).all()
    assert (common["probability"] > plain["probability"]).all()
    odds = rare["probability"] / (1 - rare["probability"]) / (plain["probability"] / (1 - plain["probability"]))
    assert odds.to_numpy() == pytest.approx(1 / 99, rel=1e-3)  # validation is half FAKE


def test_a_false_alarm_rate_sets_the_threshold_and_is_measured_on_test(analysis: Command, record: Path) -> None:
    done = analysis("predict", f"results/zoo:{AGE}", "tree/test", "--false-alarms", "0.1")
    assert done.returncode == 0, done.stderr
    assert "above all but 10 % of the REAL validation images" in done.stderr
    trial = stored(f"{record}:{AGE}")
    detector = Detector.of(trial, false_alarms=0.1)
    labels, logits = trial.scores("validation")
    assert (logits[labels == 0] > detector.threshold).sum() == (labels == 0).sum() // 10
    labels, logits = trial.scores("test")
    rate = 100 * (logits[labels == 0] > detector.threshold).mean()
    assert f"On {(labels == 0).sum()} REAL test images of the record it calls {rate:.2f} % FAKE" in done.stderr
    assert "Probabilities are calibrated on" in done.stderr
    told = refused(analysis("predict", "results/zoo", "tree/test", "--false-alarms", "0.1", "--prior", "0.5"))
    assert "--prior and --false-alarms both set the threshold; give one of them." in told
    assert "REAL validation images" in refused(analysis("predict", "results/zoo", "tree", "--false-alarms", "0.0001"))


def hostile_files(folder: Path) -> dict[str, tuple[str, str]]:
    """File → the warnings and the error, as patterns, that its row must have. An empty one stands for none."""
    folder.mkdir()
    colour = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    photograph = Image.fromarray(colour)
    photograph.resize((32, 32)).save(folder / "as_trained.jpg", quality=75, subsampling="4:2:0")
    photograph.resize((32, 32)).save(folder / "quality_50.jpg", quality=50)
    photograph.save(folder / "large.PNG")
    photograph.resize((32, 32)).save(folder / "photo.webp")
    photograph.convert("L").resize((32, 32)).save(folder / "grey.jpg", quality=75)
    photograph.convert("RGBA").resize((32, 32)).save(folder / "alpha.png")
    Image.fromarray(np.full((32, 32), 40_000, np.uint16)).save(folder / "sixteen.png")
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.new("RGB", (4000, 3000)).save(folder / "huge.jpg", quality=75, subsampling="4:2:0")
    (folder / "truncated.jpg").write_bytes((folder / "huge.jpg").read_bytes()[:2000])
    (folder / "text.png").write_text("no image")
    (folder / "program.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\nshowpage\n%%EOF\n")
    (folder / "empty.jpg").touch()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    other = f", and the training images are {CODEC}"
    return {
        "as_trained.jpg": ("", ""),
        "quality_50.jpg": (f"JPEG quality 50 4:2:0{other}", ""),
        "large.PNG": (f"64 x 48 pixels, resized to 32 x 32; PNG{other}", ""),
        "photo.webp": (f"WEBP{other}", ""),
        "grey.jpg": (f"JPEG quality 75 grey{other}", ""),
        "alpha.png": (f"PNG{other}", ""),
        "sixteen.png": (f"PNG{other}", ""),
        "one.png": (f"1 x 1 pixels, resized to 32 x 32; PNG{other}", ""),
        "huge.jpg": ("4000 x 3000 pixels, resized to 32 x 32", ""),
        "truncated.jpg": ("", ".*[Tt]runcated.*|.*[Pp]remature.*"),
        "text.png": ("", "not an image in a format Pillow knows"),
        "program.jpg": ("", "PostScript, which is a program and no image"),
        "empty.jpg": ("", "empty file"),
        "missing.jpg": ("", "no such file or directory"),
        "folder": ("", "no images in this folder"),
        "pipe": ("", "no regular file"),
    }


def test_every_file_whatever_it_is_gets_a_row_in_order(place: Path, tmp_path: Path) -> None:
    expected = hostile_files(tmp_path / "files")
    named = [tmp_path / "files" / name for name in expected]
    done = run_python("-m", "analysis", "predict", "results/zoo", *named, cwd=place)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    rows = rows_of(done)
    assert [Path(row["path"]).name for row in rows] == list(expected)
    for row, (remarks, error) in zip(rows, expected.values(), strict=True):
        said = [remark for remark in row["warnings"].split("; ") if not remark.startswith("the threshold is at")]
        assert "; ".join(said) == remarks, row
        assert re.fullmatch(error, row["error"]), row
        assert bool(row["error"]) == (row["verdict"] == row["logit"] == row["probability_fake"] == ""), row
    assert "7 unreadable" in done.stderr


def test_the_formats_tell_the_same(analysis: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["tree/test/REAL/0000.jpg", "missing.jpg", "tree/test/FAKE/0000.jpg"]
    listed = "\n".join(names) + "\n"
    done = analysis("predict", "results/zoo", "-", "--out", tmp_path / "rows.json", given=listed)
    assert done.returncode == 1, done.stderr
    as_json = json.loads((tmp_path / "rows.json").read_text())
    assert [row["path"] for row in as_json] == names
    assert as_json[1]["logit"] is None
    as_csv = rows_of(analysis("predict", "results/zoo", *names))
    assert [row["logit"] for row in as_csv] == ["" if row["logit"] is None else str(row["logit"]) for row in as_json]
    monkeypatch.setenv("COLUMNS", "120")
    table = analysis("predict", "results/zoo", *names, "--format", "table").stdout
    for row in as_json:
        line = next(line for line in table.splitlines() if row["path"] in line)
        assert (row["verdict"] or "no such file or directory") in line
    assert f"{100 * as_json[0]['probability_fake']:.1f}" in table


def test_names_that_are_no_text_come_out_as_they_came_in(analysis: Command, place: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\x1b[2J.jpg"
    shutil.copy(place / "tree" / "test" / "REAL" / "0000.jpg", name)
    done = analysis("predict", "results/zoo", tmp_path, "--out", tmp_path / "rows.csv")
    assert done.returncode == 0, done.stderr
    assert name in (tmp_path / "rows.csv").read_bytes()
    done = analysis("predict", "results/zoo", tmp_path, "--format", "table")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("results/zoo",), "IMAGES"),
        (("results/zoo", "-"), "no images"),
        (("no/record", "tree"), "no/record is empty or does not exist"),
        (("results/zoo:vgg16", "tree"), f"there are .*{AGE}"),
        (("results/zoo", "tree", "--format", "xml"), "'xml' is not one of 'csv', 'json', 'table'"),
    ],
)
def test_a_wrong_command_is_refused_in_one_sentence(analysis: Command, arguments: tuple[str, ...], told: str) -> None:
    assert re.search(told, refused(analysis("predict", *arguments)))


def test_a_record_without_validation_scores_is_refused_and_nothing_is_written(analysis: Command, copy: Path) -> None:
    out = copy / "rows.csv"
    out.write_text("as it was")
    shutil.rmtree(copy / "scores")
    assert "no validation scores" in refused(analysis("predict", copy, "tree", "--out", out))
    assert out.read_text() == "as it was"
    assert not [path for path in copy.iterdir() if path.name.startswith(".rows")]


def test_files_are_taken_as_they_come(place: Path, record: Path) -> None:
    endless = itertools.cycle([str(place / "tree" / "test" / "REAL" / "0000.jpg"), "missing.jpg"])
    rows = list(itertools.islice(Detector.of(stored(str(record))).rows(endless), 301))
    assert {row.error for row in rows[1::2]} == {"no such file or directory"}
    assert len({row.logit for row in rows[::2]}) == 1
    assert isinstance(rows[0], Row)
