"""A detector to use: verdicts on any files, exports that agree with the original, and records from strangers."""

import csv
import io
import itertools
import json
import os
import pickle
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from analysis.__main__ import main
from analysis.detector.detector import Detector, Row
from analysis.detector.image_files import ENDINGS, paths, read, warnings
from analysis.detector.loading import check, load_network
from analysis.detector.onnx import MOST_IN_LOGIT, MOST_IN_PROBABILITY, agreement, for_inference, to_onnx
from analysis.detector.stored import stored
from analysis.export import sample
from analysis.results.decisions import best_threshold, calibration
from data_prep.errors import InputError, run_command
from support.commands import ROOT, Command, refused, run_python
from support.trees import make_tree
from trainables import MODELS
from trainables.layers.augmentation import without_augmentation
from trainables.training import metrics

AGE, CUSTOM = "age-c2-f1", "custom-3"
CODEC = "JPEG quality 75 4:2:0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a tree of images, its shards, and results/zoo: a sweep of two networks on them."""
    folder = tmp_path_factory.mktemp("predict")
    make_tree(folder / "tree", images=120)
    sweep = (ROOT / "sweeps" / "zoo.py", "--models", f"{AGE},{CUSTOM}", "--data", "shards", "--smoke")
    for arguments in (("-m", "data_prep", "--source", "tree", "--out", "shards"), sweep):
        done = run_python(*arguments, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def record(place: Path) -> Path:
    return place / "results" / "zoo"


@pytest.fixture
def copy(record: Path, tmp_path: Path) -> Path:
    """A copy of the record, to be tampered with."""
    return Path(shutil.copytree(record, tmp_path / "copy"))


@pytest.fixture
def analysis(place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `python -m analysis *arguments` where the record is, but in this process, which has Keras already."""

    def run(*arguments: object, given: str = "") -> "subprocess.CompletedProcess[str]":
        monkeypatch.chdir(place)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command(main, [str(argument) for argument in arguments])
        return subprocess.CompletedProcess(arguments, int(str(ended.value.code)), *capfd.readouterr())

    return run


@pytest.fixture
def exported(place: Path, analysis: Command) -> Path:
    """The folder of both networks' exports, each in a folder of its name."""
    for network in (AGE, CUSTOM):
        if not (place / "out" / network).exists():
            done = analysis("export", f"results/zoo:{network}", "--out", f"out/{network}")
            assert done.returncode == 0, done.stderr
    return place / "out"


def rows_of(done: "subprocess.CompletedProcess[str]") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.stdout)))


def checkpoint(record: Path) -> Path:
    """The network's file of the trial that is taken if none is named."""
    return record / "checkpoints" / stored(str(record)).trial / "best.keras"


def set_in_trials(record: Path, column: str, value: str) -> None:
    """Give every trial of a record this value in a column."""
    for part in (record / "trials.parquet").iterdir():
        table = pq.read_table(part)
        values = pa.array([value] * len(table))
        pq.write_table(table.set_column(table.column_names.index(column), column, values), part)


# ── predict ───────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    assert set(found["warnings"]) == set(found["error"]) == {""}
    assert f"{is_fake.sum()} FAKE, 0 unreadable" in done.stderr
    assert "smoke run" in done.stderr


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
        assert row["warnings"] == remarks, row
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
        (("no/record", "tree"), "holds no record of a sweep"),
        (("results/zoo:vgg16", "tree"), f"it has .*{AGE}"),
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


def test_a_folder_is_searched_in_order_for_images_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["b.JPG", "z.png", "a/c.webp", "a/deep/er/d.jpeg"]
    for name in [*wanted, ".hidden.jpg", ".thumbnails/e.jpg", "notes.txt", "jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    assert list(paths([str(tmp_path)])) == [str(tmp_path / name) for name in wanted]
    assert list(paths([str(tmp_path / "notes.txt")])) == [str(tmp_path / "notes.txt")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_pillow_knows_the_endings(ending: str) -> None:
    assert Image.registered_extensions()[ending] in Image.OPEN


def test_a_file_is_warned_of_only_where_it_is_unlike_the_training_data(tmp_path: Path) -> None:
    Image.new("RGB", (40, 32)).save(tmp_path / "wide.png")
    facts = read(str(tmp_path / "wide.png"), 32).facts
    assert facts is not None
    assert warnings(facts, 32, ("PNG",)) == ("40 x 32 pixels, resized to 32 x 32",)
    assert warnings(facts._replace(width=32), 32, ("JPEG quality 75 4:2:0", "PNG")) == ()
    assert warnings(facts._replace(width=32), 32, ()) == ()
    told = "PNG, and the training images are A or B or C or one of 2 others"
    assert warnings(facts._replace(width=32), 32, tuple("ABCDE")) == (told,)


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def files(exported: Path, network: str, ending: str) -> Path:
    (path,) = (exported / network).glob(f"*{ending}")
    return path


@pytest.mark.parametrize("network", [AGE, CUSTOM])
def test_the_exports_answer_as_the_original_at_any_batch(exported: Path, record: Path, network: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3)).astype(np.float32)
    expected = stored(f"{record}:{network}").network.predict(images, verbose=0)
    assert np.ptp(expected) > 1e-3
    session = onnxruntime.InferenceSession(files(exported, network, ".onnx"), providers=["CPUExecutionProvider"])
    for batch in (images, images[:1]):
        (found,) = session.run(["logit"], {"pixels": batch})
        assert np.allclose(found, expected[: len(batch)], rtol=1e-4, atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map["labels"] == "REAL, FAKE"
    restored = keras.saving.load_model(files(exported, network, ".keras"), compile=False)
    assert np.allclose(np.asarray(restored(images)), expected, rtol=1e-4, atol=1e-5)
    assert not [layer for layer in restored.layers if type(layer).__name__.startswith("Random")]
    check(files(exported, network, ".keras").read_bytes())


def test_the_snippets_of_the_model_card_run_as_printed_and_agree_with_predict(
    analysis: Command, exported: Path, place: Path
) -> None:
    shutil.copy(place / "tree" / "test" / "FAKE" / "0001.jpg", exported / AGE / "image.jpg")
    (row,) = rows_of(analysis("predict", f"results/zoo:{AGE}", exported / AGE / "image.jpg"))
    snippets = re.findall(r"```python\n(.*?)```", (exported / AGE / "README.md").read_text(), re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        done = run_python("-c", snippet, cwd=exported / AGE)
        assert done.returncode == 0, done.stderr
        verdict, probability = done.stdout.split()
        assert verdict == row["verdict"]
        assert float(probability) == pytest.approx(float(row["probability_fake"]), abs=2e-4)


def test_the_model_card_tells_what_the_record_tells(exported: Path, record: Path) -> None:
    card, found = (exported / AGE / "README.md").read_text(), stored(f"{record}:{AGE}")
    manifest = json.loads((record / "manifest.json").read_text())
    for told in (found.trial, manifest["data"]["fingerprint"], CODEC, "smoke run", "`learning_rate`: 0.001"):
        assert told in card
    labels, logits = found.scores("test")
    judged = metrics.judge(labels, logits, best_threshold(*found.scores("validation")))
    line = next(line for line in card.splitlines() if line.startswith("| balanced accuracy |"))
    assert f"{judged['balanced_accuracy']:.3f} (" in line.split("|")[3]
    assert "test, n = 240" in card
    assert not re.search(r"\{[{%]|[%}]\}|\bnan\b|None", re.sub(r"```.*?```", "", card, flags=re.DOTALL))


def test_an_export_into_the_record_is_named_after_the_trial(analysis: Command, copy: Path) -> None:
    done = analysis("export", copy)
    assert done.returncode == 0, done.stderr
    found = stored(str(copy))
    name = f"{found.row['network']}-{found.trial}"
    written = [str(copy / "exports" / name / file) for file in (f"{name}.keras", f"{name}.onnx", "README.md")]
    assert done.stdout.splitlines()[:3] == written
    assert all(Path(file).stat().st_size > 1_000 for file in written)
    assert re.search(r"On 64 images .* differ by at most \d\.\de-\d\d in probability", done.stdout)


@pytest.mark.parametrize("name", ["age-c4-f4", "cifake-cnn", "custom-1", "custom-2", "custom-3", "vgg16-transfer"])
def test_networks_of_every_kind_become_onnx(name: str) -> None:
    pytest.importorskip("tf2onnx")
    keras.config.set_dtype_policy("float32")
    network = without_augmentation(MODELS[name].build(32))
    content = to_onnx(for_inference(network), {})
    agreed = agreement(network, content, sample(32))
    assert agreed.images == 64
    assert agreed.probability <= MOST_IN_PROBABILITY
    network.get_layer("logit").bias.assign([2 * MOST_IN_LOGIT])
    with pytest.raises(InputError, match="differs from the original by up to"):
        agreement(network, content, sample(32))


def test_what_cannot_be_written_as_onnx_is_refused_in_one_sentence() -> None:
    pytest.importorskip("tf2onnx")
    pixels = keras.Input((32, 32, 3), name="pixels")
    noise = keras.layers.RandomRotation(0.5)(pixels)
    network = keras.Model(pixels, keras.layers.Dense(1)(keras.layers.Flatten()(noise)), name="noisy")
    with pytest.raises(InputError, match="noisy cannot be written as ONNX"):
        to_onnx(network, {})


def test_half_precision_is_refused(analysis: Command, copy: Path) -> None:
    set_in_trials(copy, "precision", "mixed_bfloat16")
    assert "only networks in float32" in refused(analysis("export", copy))
    assert not (copy / "exports").exists()


def test_without_its_packages_export_names_the_extra(place: Path) -> None:
    code = (
        "import sys; sys.modules['tf2onnx'] = None\n"
        "from analysis.__main__ import main; from data_prep.errors import run_command\n"
        "run_command(main, ['export', 'results/zoo'])"
    )
    told = refused(run_python("-c", code, cwd=place))
    assert told == 'Exporting takes tf2onnx; install them with `pip install -e ".[export]"`.'


# ── records from strangers ────────────────────────────────────────────────────────────────────────────────────────────


class Payload:
    """What creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.marker, "w")


def with_lambda(file: Path, marker: Path) -> None:
    """A network whose file holds Python code that creates a file wherever it is built."""
    pixels = keras.Input((32, 32, 3))
    evil = keras.layers.Lambda(eval(f"lambda x: (__import__('pathlib').Path({str(marker)!r}).touch(), x)[1]"))
    keras.Model(pixels, keras.layers.Dense(1)(keras.layers.Flatten()(evil(pixels)))).save(file)
    marker.unlink()


def lambda_keras(folder: Path, marker: Path) -> tuple[bytes, Callable[[], object]]:
    with_lambda(folder / "evil.keras", marker)
    return (folder / "evil.keras").read_bytes(), lambda: keras.saving.load_model(folder / "evil.keras", safe_mode=False)


def lambda_hdf5(folder: Path, marker: Path) -> tuple[bytes, Callable[[], object]]:
    with_lambda(folder / "evil.h5", marker)
    return (folder / "evil.h5").read_bytes(), lambda: keras.saving.load_model(folder / "evil.h5", safe_mode=False)


def pickled(_: Path, marker: Path) -> tuple[bytes, Callable[[], object]]:
    content = pickle.dumps(Payload(marker))
    return content, lambda: pickle.loads(content)


@pytest.mark.parametrize("make", [lambda_keras, lambda_hdf5, pickled])
def test_a_network_file_that_would_run_code_is_refused_and_nothing_runs(
    analysis: Command,
    copy: Path,
    place: Path,
    tmp_path: Path,
    make: Callable[[Path, Path], tuple[bytes, Callable[[], object]]],
) -> None:
    marker = tmp_path / "marker"
    content, trust = make(tmp_path, marker)
    trust()
    assert marker.exists()  # what happens to those who trust it
    marker.unlink()
    checkpoint(copy).write_bytes(content)
    for done in (analysis("export", copy), run_python("-m", "analysis", "predict", copy, "tree", cwd=place)):
        assert "no network that can be loaded safely" in refused(done)
    assert not marker.exists()
    assert not (copy / "exports").exists()


def rezipped(content: bytes, change: Callable[[dict[str, bytes]], None], packing: int = zipfile.ZIP_STORED) -> bytes:
    """A `.keras` file with its members changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


def with_layer(part: dict[str, Any]) -> Callable[[dict[str, bytes]], None]:
    """Put `part` in the place of the network's second layer."""

    def change(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        config["config"]["layers"][1] |= part
        members["config.json"] = json.dumps(config).encode()

    return change


def function(name: str, module: str) -> dict[str, Any]:
    """How Keras writes down a function."""
    return {"class_name": "function", "config": name, "module": module, "registered_name": name}


RELU = {"function": function("relu", "keras.ops"), "name": "rescaling"}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"class_name": "Lambda", "config": RELU}, "'Lambda' of 'keras.layers'"),
        ({"class_name": "TFSMLayer", "config": {"filepath": "/"}}, "'TFSMLayer'"),
        ({"module": "os", "class_name": "system"}, "'system' of 'os'"),
        ({"module": None}, "of 'None'"),
        ({"build_config": {"a": [function("get_file", "keras.utils")]}}, "'function' of 'keras.utils'"),
        ({"module": "keras.src.layers.core.lambda_layer"}, "keras.src.layers.core.lambda_layer"),
        ({"module": "keras.layers\n"}, "keras.layers"),
        ({"class_name": ["Lambda"], "module": ["keras.layers"]}, "Lambda"),
    ],
)
def test_a_network_is_made_of_layers_alone(record: Path, part: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        check(rezipped(checkpoint(record).read_bytes(), with_layer(part)))


def test_more_is_refused_than_keras_refuses(record: Path, tmp_path: Path) -> None:
    path = tmp_path / "function.keras"
    change = with_layer({"class_name": "Lambda", "config": RELU, "build_config": None})
    path.write_bytes(rezipped(checkpoint(record).read_bytes(), change))
    keras.saving.load_model(path, compile=False, safe_mode=True)
    with pytest.raises(ValueError, match="may run code"):
        load_network(path.read_bytes())


def bomb(members: dict[str, bytes]) -> None:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("zeros", (2**31,), "uint8", chunks=(2**20,), compression="gzip")
    members["model.weights.h5"] = buffer.getvalue()


def deeper(members: dict[str, bytes]) -> None:
    members["config.json"] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.mark.parametrize(
    ("change", "packing", "told"),
    [
        (lambda members: members.update({"assets/x": b""}), zipfile.ZIP_STORED, "other files"),
        (lambda members: members.update({"../../x": b""}), zipfile.ZIP_STORED, "other files"),
        (lambda members: members.pop("model.weights.h5"), zipfile.ZIP_STORED, "other files"),
        (lambda members: members.update({"metadata.json": bytes(2**27)}), zipfile.ZIP_DEFLATED, "unpack to more"),
        (bomb, zipfile.ZIP_STORED, "its weights would unpack to more"),
        (deeper, zipfile.ZIP_STORED, "recursion|nest"),
        (lambda members: members.update({"config.json": b"no JSON"}), zipfile.ZIP_STORED, "Expecting value"),
        (lambda members: members.update({"model.weights.h5": b"no HDF5"}), zipfile.ZIP_STORED, "signature|truncated"),
    ],
)
def test_a_damaged_or_swollen_file_is_refused(
    record: Path, change: Callable[[dict[str, bytes]], None], packing: int, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        check(rezipped(checkpoint(record).read_bytes(), change, packing))


def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(ValueError, match="not square colour images into a logit"):
        load_network(path.read_bytes())


@pytest.mark.parametrize(("column", "value"), [("trial", "../../elsewhere"), ("trial", ""), ("network", "../../../x")])
def test_a_record_whose_names_lead_out_of_it_is_refused(
    analysis: Command, copy: Path, place: Path, column: str, value: str
) -> None:
    elsewhere = copy.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(checkpoint(copy), elsewhere / "best.keras")
    set_in_trials(copy, column, value)
    before = sorted(place.rglob("*"))
    for command in (("predict", copy, "tree"), ("export", copy)):
        assert "use a record that you can trust" in refused(analysis(*command))
    assert sorted(place.rglob("*")) == before
