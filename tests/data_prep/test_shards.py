"""The format of shards: what it holds, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import shards
from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import ROOT, Command, refused, run_python
from support.shards import pixels, table, with_duplicates
from support.trees import make_tree


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


def test_the_columns_are_those_of_the_format(tmp_path: Path) -> None:
    prepare(str(with_duplicates(tmp_path)), str(tmp_path / "out"), image_size=16)
    (part,) = shards.read_tables(Folder(str(tmp_path / "out")), "test")
    assert part.schema.types == shards.schema(16).types
    assert part.column_names == [
        *("image", "label", "generator", "object_class", "path", "sha256", "group", "cluster", "duplicate", "crop")
    ]
    rows = part.drop_columns("image").to_pandas()
    assert part["generator"].null_count == len(rows) == 100
    assert rows["cluster"].dropna().tolist() == ["test/REAL/0000.jpg"] * 2
    assert (rows["crop"] == 0).all()
    assert rows["duplicate"].dropna().tolist() == ["exact"]


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


@pytest.mark.slow
def test_large_images_are_written_and_read_a_few_at_a_time(tmp_path: Path) -> None:
    """Of 225 MB of pixels in a shard, so much is never in memory at once, nor is the file."""
    code = (
        "import sys, resource, numpy, pandas; from data_prep import shards; from data_prep.storage import Folder\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "names = ['path', 'sha256', 'group', 'generator', 'object_class', 'cluster']\n"
        "values = dict.fromkeys(names, 'x') | {'label': 0, 'crop': 0, 'duplicate': 'near'}\n"
        "rows = pandas.DataFrame(values, index=range(100))\n"
        "generator = numpy.random.default_rng(0)\n"
        "parts = ((generator.integers(0, 256, (100, 224, 224, 3), numpy.uint8), rows) for _ in range(15))\n"
        "before, folder = most(), Folder(sys.argv[1])\n"
        "shards.write_shard(folder, 'train-00000.parquet', 224, parts)\n"
        "sizes = {'rows': 1500, 'bytes': folder.size('train-00000.parquet')}\n"
        "tables = shards._read_shard(folder, 'train-00000.parquet', sizes, shards.schema(224), 100)\n"
        "count = sum(map(len, tables))\n"
        "print(count, most() - before)"
    )
    done = run_python("-c", code, tmp_path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    count, mebibytes = done.stdout.split()
    assert int(count) == 1500
    assert float(mebibytes) < 225


def test_limit_takes_as_many_of_each_label(tmp_path: Path) -> None:
    manifest = prepare(str(make_tree(tmp_path / "tree", images=50)), str(tmp_path / "out"), limit=40)
    assert manifest.counts["test"] == {"REAL": 20, "FAKE": 20}
    assert manifest.counts["train"] == {"REAL": 18, "FAKE": 18}


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


def test_a_shard_without_a_column_is_corrupt(prepared: Path) -> None:
    folder, name = Folder(str(prepared)), shards.file_name("test", 0)
    folder.write_table(name, folder.read_table(name, shards.schema(32)).drop_columns(["duplicate"]))
    manifest = folder.read_json("manifest.json")
    manifest["files"][name]["bytes"] = folder.size(name)
    folder.write_json("manifest.json", manifest)
    with pytest.raises(InputError, match=r"test-00000\.parquet is corrupt \(.*duplicate.*\); delete"):
        list(shards.read_tables(folder, "test", ["label", "duplicate"]))


def test_another_format_version_is_refused(prepared: Path) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    (prepared / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(InputError, match="format version 99, and this is 2"):
        shards.read_manifest(Folder(str(prepared)))


def test_shards_of_version_1_are_one_sentence_that_says_to_make_them_again(
    prepared: Path, command_here: Command
) -> None:
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
    assert refused(command_here(*words)) == raised.value.message
