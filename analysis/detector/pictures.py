"""The pictures of some test images: read from the record's shards, and then kept in the record."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from analysis.detector.scored_images import check_own
from analysis.results.trials import Results
from data_prep import Folder, shards

PICTURES = "figures/mistakes.parquet"


def keep_pictures(record: Folder, results: Results, rows: Sequence[int], data: Folder) -> None:
    """Read the images in some `rows` of the test split from the shards in `data`, and write them into the record.

    Raises InputError for other shards than the record's.
    """
    check_own(results, data)
    schema, start = _schema(results), 0
    tables = [schema.empty_table()]
    for table in shards.read_tables(data, "test", ["image"]):
        here = [row for row in rows if start <= row < start + len(table)]
        images = table.take(pa.array([row - start for row in here], pa.int64()))
        tables.append(images.append_column(schema.field("row"), pa.array(here, pa.int64())))
        start += len(table)
    record.write_table(PICTURES, pa.concat_tables(tables))


def kept_pictures(record: Folder, results: Results) -> dict[int, np.ndarray]:
    """Row of the test split → its image (side, side, 3) uint8, of those that `keep_pictures` has written.

    Only the record's own folder is read: it may come from a stranger. What is no such file counts as none.
    """
    try:
        table = record.read_table(PICTURES, _schema(results))
        return dict(zip(table["row"].to_pylist(), shards.images_of(table), strict=True))
    except (OSError, pa.ArrowException):
        return {}


def _schema(results: Results) -> pa.Schema:
    image = shards.schema(results.provenance.manifest.data.image_size or 0).field("image")
    return pa.schema([image, pa.field("row", pa.int64(), nullable=False)])
