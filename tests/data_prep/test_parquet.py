"""Parquet files from strangers: their schema is compared before a value is touched, and none of their types is made."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import Folder, InputError, shards
from data_prep.layout.vocabulary import SPLITS

SCHEMA = pa.schema([("path", pa.string()), pa.field("label", pa.int8(), nullable=False)])


class Canary(pa.ExtensionType):  # type: ignore[misc]
    """A type as Ray registers one: Arrow hands it what the file holds as soon as the file is opened."""

    heard: list[bytes] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(pa.string(), "tests.canary")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"what would be unpickled"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, content: bytes) -> "Canary":
        cls.heard.append(content)
        return cls()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file whose column `path` is of that type."""
    file = tmp_path / "canary.parquet"
    pa.register_extension_type(Canary())
    path = pa.ExtensionArray.from_storage(Canary(), pa.array(["a", "b"]))
    pq.write_table(pa.table({"path": path, "label": pa.array([0, 1], pa.int8())}), file)
    yield file
    pa.unregister_extension_type("tests.canary")


def test_no_type_of_a_file_is_made(canary: Path) -> None:
    del Canary.heard[:]
    table = Folder(str(canary.parent)).read_table(canary.name, SCHEMA)
    assert Canary.heard == []
    assert table.to_pylist() == [{"path": "a", "label": 0}, {"path": "b", "label": 1}]
    pq.read_table(canary)
    assert Canary.heard  # so it would have been heard


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"path": [1, 2], "label": [0, 1]}, "column path is int64, not string"),
        ({"path": ["a", "b"], "label": ["0", "1"]}, "column label is string, not int8"),
        ({"path": ["a", "b"], "label": [0.5, 1.0]}, "0.5.* was truncated"),
        ({"path": ["a", "b"], "label": [0, None]}, "column label has 1 nulls"),
        ({"path": ["a", "b"]}, "column label has 2 nulls"),
        ({"path": ["a", "b"], "label": [0, 300]}, "300 not in range"),
        ({"path": [[b"a"], [b"b"]], "label": [0, 1]}, "column path is list"),
    ],
)
def test_columns_of_other_types_are_refused(columns: dict[str, object], told: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(pa.ArrowInvalid, match=told):
        Folder(str(tmp_path)).read_table("t.parquet", SCHEMA)


def test_what_pandas_writes_is_read(tmp_path: Path) -> None:
    """Columns of other names are left alone, other numbers fit, and a nullable column may be missing or nulls."""
    for label in (pa.int64(), pa.float64()):
        table = pa.table({"more": [b"x"], "label": pa.array([1], label), "path": pa.nulls(1)})
        pq.write_table(table, tmp_path / "t.parquet")
        assert Folder(str(tmp_path)).read_table("t.parquet", SCHEMA).to_pylist() == [{"path": None, "label": 1}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "told"),
    [
        (lambda: pa.table({"label": pa.array(np.zeros(6 * 10**7, np.int8))}), "claims to have 60,000,000 rows"),
        (lambda: pa.table({"path": ["a" * 10**6] * 1000, "label": [0] * 1000}), "unpacks to 1,000,000,000 bytes"),
    ],
)
def test_a_small_file_does_not_unpack_to_any_size(table: Callable[[], pa.Table], told: str, tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 10**6
    with pytest.raises(pa.ArrowInvalid, match=told):
        Folder(str(tmp_path)).read_table("t.parquet", SCHEMA)


def test_the_texts_of_all_columns_count_together(tmp_path: Path) -> None:
    columns = {name: ["a" * 10**6] * 70 for name in "abcd"}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(pa.ArrowInvalid, match="its text unpacks to 280,000,000 bytes"):
        Folder(str(tmp_path)).read_table("t.parquet", pa.schema([(name, pa.string()) for name in columns]))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", b"no Parquet file, but rather long"])
def test_what_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises((pa.ArrowInvalid, OSError)):
        Folder(str(tmp_path)).read_table("t.parquet", SCHEMA)


def test_text_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xed\xa0\x80"]).buffers())  # a lone surrogate
    pq.write_table(pa.table({"path": path, "label": [0]}), tmp_path / "t.parquet")
    with pytest.raises(pa.ArrowInvalid, match="UTF8"):
        Folder(str(tmp_path)).read_table("t.parquet", SCHEMA)


def mutated(prepared: Path, column: str, values: pa.Array) -> Folder:
    """Shards of which the first test shard has other values in a column, as its manifest says, too."""
    folder, name = Folder(str(prepared)), shards.file_name("test", 0)
    table = pq.read_table(prepared / name)
    pq.write_table(table.set_column(table.column_names.index(column), column, values), prepared / name)
    manifest = folder.read_json("manifest.json")
    manifest["files"][name]["bytes"] = folder.size(name)
    folder.write_json("manifest.json", manifest)
    return folder


BYTES = pa.list_(pa.uint8())


def pixels(rows: int, side: int, kind: Any = np.uint8) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((rows, side, side, 3), kind))


@pytest.mark.parametrize(
    ("column", "make", "told"),
    [
        ("label", lambda rows: pa.array([7] * rows, pa.int8()), r"label has other values than 0, 1"),
        ("label", lambda rows: pa.array([None] * rows, pa.int8()), "label has .* nulls"),
        ("label", lambda rows: pa.array(["REAL"] * rows), "label is string, not int8"),
        ("duplicate", lambda rows: pa.array(["maybe"] * rows), "duplicate has other values"),
        ("image", lambda rows: pixels(rows, 32, np.float32), "image is list"),
        ("image", lambda rows: pixels(rows, 16), "images that are not 32 x 32 x 3"),
        ("image", lambda rows: pa.array([[1] * 6143, [1], *[[1] * 3072] * (rows - 2)], BYTES), "the expected size"),
        ("image", lambda rows: pa.array([[None] * 3072] * rows, BYTES), "nulls in its lists"),
    ],
)
def test_shards_of_other_content_are_refused(
    column: str, make: Callable[[int], pa.Array], told: str, prepared: Path
) -> None:
    rows = pq.read_metadata(prepared / shards.file_name("test", 0)).num_rows
    folder = mutated(prepared, column, make(rows))
    with pytest.raises(InputError, match=rf"test-00000\.parquet is corrupt \(.*{told}"):
        list(shards.read_tables(folder, "test"))


def test_what_is_no_damage_is_not_told_as_such(prepared: Path) -> None:
    """For the remedy of damage is to delete."""
    shard = prepared / shards.file_name("test", 0)
    shard.unlink()
    shard.symlink_to(shard)
    with pytest.raises(OSError, match="symbolic links") as told:
        list(shards.read_tables(Folder(str(prepared)), "test"))
    assert told.value.errno == errno.ELOOP


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": "32 px"},
        {"image_size": 0},
        {"image_size": -1},
        {"pixel_mean": [0.5]},
        {"counts": {"train": {"REAL": 1, "FAKE": 1}}},
        {"counts": {"train": {"REAL": "many"}}},
        {"image_size": 10**6, "files": {}},
        {"counts": {split: {"REAL": 1} for split in SPLITS}},
        {"files": {"train-../../x": {"rows": 1, "bytes": 1}}},
        {"files": {"train-00000.parquet": {"rows": 10**15, "bytes": 1}}},
    ],
)
def test_a_manifest_of_other_content_is_refused(change: dict[str, object], prepared: Path) -> None:
    folder = Folder(str(prepared))
    folder.write_json("manifest.json", folder.read_json("manifest.json") | change)
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        shards.read_manifest(folder)


def test_what_may_unpack_to_anything_is_not_read(tmp_path: Path) -> None:
    table = pa.table({"path": ["a" * 10**6, "b"], "label": pa.array([0, 1], pa.int8())})
    for codec in ("zstd", "gzip", "brotli"):
        pq.write_table(table, tmp_path / "packed.parquet", compression=codec)
        with pytest.raises(pa.ArrowInvalid, match=f"compressed by {codec.upper()}, not Snappy or LZ4"):
            Folder(str(tmp_path)).read_table("packed.parquet", SCHEMA)
