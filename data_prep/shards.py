"""The shard format: schema, writer and reader.

A folder of shards holds `train-*.parquet`, `validation-*.parquet` and `test-*.parquet`, written first, and
`manifest.json`, written last: a folder without a manifest does not hold shards yet.

    image         fixed_shape_tensor of uint8, (height, width, 3), RGB 0–255
    label         int8, 0 REAL, 1 FAKE
    generator     string, what made a FAKE image; of a REAL one, the generator among whose images it stands; or null
    object_class  string or null
    path          string, as in the source, from the split on
    sha256        string, of the source file's bytes
    group         string, equal for images that show exactly the same pixels
    cluster       string, equal for images that are not independent, as copies of one picture; null for all others
    duplicate     string, "exact" or "near" for a test row of which train or validation has a copy; otherwise null
    crop          int32, number of the crop of its image, from 0; always 0 where an image is one row

A shard has at most 5,000 rows, and at most 256 MB.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep import parquet
from data_prep.errors import InputError
from data_prep.layout.vocabulary import LABEL_NAMES, SPLITS
from data_prep.storage import Folder

if TYPE_CHECKING:
    import pandas as pd  # half a second, which every node's server would take

FORMAT_VERSION = 2
LARGEST_IMAGE = 1024  # pixels a side
MANIFEST = "manifest.json"

_MOST_ROWS = 5_000
_MOST_BYTES_AT_ONCE = 2**22  # Arrow takes eleven times as much to decode them
_MOST_ROWS_IN_GROUP, _MOST_BYTES_IN_GROUP = 500, 1_536_000
_MOST_IMAGE_BYTES = 250_000_000  # so that a file stays below 256 MB even where nothing compresses

# Parquet stores a byte as a 32-bit integer. Split into streams, three of the four are zero and compress away: as small
# as a dictionary, and written in two thirds of the time. Statistics of pixels are of no use to anyone.
# Small row groups and pages keep the work in the cache: half the time of groups of 2,500 at 32 pixels, a sixth of that
# of groups of 500 at 224.
_WRITING: dict[str, Any] = {
    "compression": "lz4",
    "data_page_size": 256 * 1024,
    "write_statistics": False,
    "use_dictionary": ["label", "generator", "object_class", "duplicate", "crop"],
    "column_encoding": {"image.list.element": "BYTE_STREAM_SPLIT"},
}


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    `image_size` is in pixels, and `fit` says how images were brought to it; `counts` is split → label name → rows;
    `pixel_mean` and `pixel_std` are per channel over the training split, in 0–1; `options` are those of the job;
    `audit` is the audit's summary; `files` is file name → {rows, bytes}; `fingerprint` is what `fingerprint` returns.
    """

    format_version: int
    source: str
    image_size: int
    fit: str
    counts: dict[str, dict[str, int]]
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    options: dict[str, Any]
    audit: dict[str, Any]
    files: dict[str, dict[str, int]]
    fingerprint: str


def schema(image_size: int) -> pa.Schema:
    """The columns of a shard of images of `image_size` x `image_size` pixels."""
    return pa.schema(
        [
            pa.field("image", pa.fixed_shape_tensor(pa.uint8(), (image_size, image_size, 3)), nullable=False),
            pa.field("label", pa.int8(), nullable=False),
            pa.field("generator", pa.string()),
            pa.field("object_class", pa.string()),
            pa.field("path", pa.string(), nullable=False),
            pa.field("sha256", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("cluster", pa.string()),
            pa.field("duplicate", pa.string()),
            pa.field("crop", pa.int32(), nullable=False),
        ]
    )


def rows_per_shard(image_size: int) -> int:
    """The most rows of a shard of images of `image_size` x `image_size` pixels."""
    return min(_MOST_ROWS, _MOST_IMAGE_BYTES // (3 * image_size**2))


def rows_at_once(image_size: int) -> int:
    """The rows of a shard that are in memory while it is written or read: 16 MB of pixels."""
    return max(1, _MOST_BYTES_AT_ONCE // (3 * image_size**2))


def file_name(split: str, index: int) -> str:
    """The name of a split's shard number `index`, from 0."""
    return f"{split}-{index:05d}.parquet"


def is_file_name(name: str) -> bool:
    """Whether this is the name of a shard."""
    return bool(re.fullmatch(rf"({'|'.join(SPLITS)})-\d{{5}}\.parquet", name))


def fingerprint(image_size: int, fit: str, rows: "pd.DataFrame") -> str:
    """A hash of the content of `rows`, their order, and how images were brought to size; the same on every machine.

    It is over the columns split, path, label and sha256, in the shards' order.
    """
    content = [image_size, fit, rows[["split", "path", "label", "sha256"]].to_dict("list")]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def write_shard(folder: Folder, name: str, image_size: int, parts: "Iterable[tuple[np.ndarray, pd.DataFrame]]") -> None:
    """Write one shard atomically, part by part: images (rows, height, width, 3) uint8, and the other columns."""
    names = schema(image_size)
    group = max(1, min(_MOST_ROWS_IN_GROUP, _MOST_BYTES_IN_GROUP // (3 * image_size**2)))
    tables = (_table(images, rows, names) for images, rows in parts)
    folder.write_tables(name, names, tables, row_group_size=group, **_WRITING)


def _table(images: np.ndarray, rows: "pd.DataFrame", names: pa.Schema) -> pa.Table:
    arrays = [
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(images)),
        *(pa.array(rows[field.name], field.type) for field in list(names)[1:]),
    ]
    return pa.Table.from_arrays(arrays, schema=names)


def write_manifest(folder: Folder, manifest: Manifest) -> None:
    """Write the manifest, once all shards are written."""
    folder.write_json(MANIFEST, asdict(manifest))


def read_manifest(folder: Folder) -> Manifest:
    """The manifest of a folder of shards. Raises InputError where there is none, or one of another format version."""
    remake = "make it again with `python -m data_prep --source … --out …`"
    try:
        content = folder.read_json(MANIFEST)
        version = content["format_version"]
        if version == FORMAT_VERSION:
            return _checked({field.name: content[field.name] for field in fields(Manifest)})
    except FileNotFoundError:
        lack = f"holds no shards (it has no {MANIFEST})" if folder.names() else "is empty or does not exist"
        raise InputError(f"{folder} {lack}; {remake.replace(' again', '')}.")
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{folder}/{MANIFEST} cannot be read as a manifest; delete the folder and {remake}.")
    raise InputError(
        f"{folder} has shards of format version {version}, and this is {FORMAT_VERSION}; delete it and {remake}."
    )


def _checked(content: dict[str, Any]) -> Manifest:
    """The manifest with this content. Raises ValueError for what `write_manifest` never writes."""
    from pydantic import TypeAdapter  # which each trial's process would import

    manifest: Manifest = TypeAdapter(Manifest).validate_python(content)
    counts, is_image = manifest.counts, 0 < manifest.image_size <= LARGEST_IMAGE
    most = rows_per_shard(manifest.image_size) if is_image else 0
    holds = (
        is_image,
        len(manifest.pixel_mean) == len(manifest.pixel_std) == 3,
        set(counts) == set(SPLITS),
        all(set(labels) == set(LABEL_NAMES) and min(labels.values()) >= 0 for labels in counts.values()),
        all(map(is_file_name, manifest.files)),
        all(0 < size["rows"] <= most for size in manifest.files.values()),
    )
    if not all(holds):
        raise ValueError("other sizes, channels, splits, labels, file names or numbers of rows than shards have")
    return manifest


def read_tables(folder: Folder, split: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The shards of one split, in order, in tables of at most 16 MB of pixels.

    Raises InputError for a shard that is missing, corrupt or of the wrong length.
    """
    manifest = read_manifest(folder)
    whole = schema(manifest.image_size)
    for name, expected in manifest.files.items():
        if name.startswith(f"{split}-"):
            asked = pa.schema([whole.field(column) for column in columns or whole.names])
            yield from _read_shard(folder, name, expected, asked, rows_at_once(manifest.image_size))


def _read_shard(folder: Folder, name: str, expected: dict[str, int], asked: pa.Schema, rows: int) -> Iterator[pa.Table]:
    try:
        with folder.parquet(name, asked) as file:
            if lacking := set(asked.names) - set(file.schema_arrow.names):
                raise pa.ArrowInvalid(f"it has no column {min(lacking)}")
            _check_sizes(file.metadata, asked)
            if expected == {"rows": file.metadata.num_rows, "bytes": folder.size(name)}:
                for batch in file.iter_batches(rows, columns=asked.names):
                    table = parquet.conformed(pa.Table.from_batches([batch]), asked)
                    _check_values(table)
                    yield table
                return
        reason = "is corrupt (its rows or bytes are not the manifest's)"
    except FileNotFoundError:
        reason = "is missing"
    except pa.ArrowException as error:
        reason = f"is corrupt ({str(error).splitlines()[0].rstrip('.')})"
    raise InputError(f"{folder}/{name} {reason}; delete {folder} and make it again with `python -m data_prep`.")


def _check_sizes(metadata: pq.FileMetaData, asked: pa.Schema) -> None:
    """Raise ArrowInvalid if a row group has other numbers of pixels than its rows: a few bytes may hold any number."""
    if "image" not in asked.names:
        return
    shape = asked.field("image").type.shape
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        columns = map(group.column, range(group.num_columns))
        numbers = {column.num_values for column in columns if column.path_in_schema.startswith("image.")}
        if numbers != {group.num_rows * math.prod(shape)}:
            raise pa.ArrowInvalid(f"it has images that are not {' x '.join(map(str, shape))}")


def _check_values(table: pa.Table) -> None:
    """Raise ArrowInvalid for values that no shard has."""
    for column, values in (("label", {0, 1}), ("duplicate", {"exact", "near", None})):
        if column in table.column_names and not set(table[column].unique().to_pylist()) <= values:
            raise pa.ArrowInvalid(f"column {column} has other values than {', '.join(sorted(map(str, values)))}")


def images_of(table: pa.Table) -> np.ndarray:
    """The `image` column as (rows, height, width, 3) uint8."""
    return np.asarray(table["image"].combine_chunks().to_numpy_ndarray())
