"""Reading Parquet files that come from strangers: only the columns of a known schema, once their types are checked.

A Parquet file may hold an Arrow schema, whose extension types are made by whichever package has registered them as soon
as the file is opened; Ray's runs a pickle. So that schema is not read: the types are those that Parquet itself states.
"""

import struct

import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_ARROW_SCHEMA, _UNREAD = b"ARROW:schema", b"not read by us"[: len(b"ARROW:schema")]


def opened(file: pa.NativeFile, schema: pa.Schema) -> pq.ParquetFile:
    """A Parquet file whose columns of a schema have its types; those of other names are not looked at.

    Raises ArrowInvalid for columns of other types, and what pyarrow raises for a file that is corrupt.
    """
    parquet = pq.ParquetFile(file, metadata=_metadata(file), page_checksum_verification=True)
    found = parquet.schema_arrow
    for field in schema:
        places = found.get_all_field_indices(field.name)
        if len(places) > 1:
            raise pa.ArrowInvalid(f"it has {len(places)} columns {field.name}")
        if places and not _is_stored_as(found.field(places[0]).type, field.type):
            raise pa.ArrowInvalid(f"column {field.name} is {found.field(places[0]).type}, not {field.type}")
    return parquet


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """What was read of an opened file, with all columns and types of the schema it was opened with; nulls where it has
    no such column.

    Raises ArrowInvalid where there are nulls in a column that takes none, numbers too large for it, tensors of another
    shape, or text that is no UTF-8.
    """
    made = pa.table([_column(table, field) for field in schema], schema=schema)
    made.validate(full=True)
    return made


def _metadata(file: pa.NativeFile) -> pq.FileMetaData:
    """The file's metadata without its Arrow schema, from a file that has nothing but them."""
    size = file.size()
    tail = file.read_at(8, max(0, size - 8))
    if len(tail) < 8 or not tail.endswith(_MAGIC):
        raise pa.ArrowInvalid("it is no Parquet file, or a part of one")
    length = struct.unpack("<I", tail[:4])[0]
    if length > size - 8:
        raise pa.ArrowInvalid("its footer is longer than the file")
    footer = file.read_at(length, size - 8 - length).replace(_ARROW_SCHEMA, _UNREAD)
    with pq.ParquetFile(pa.BufferReader(_MAGIC + footer + tail)) as alone:
        return alone.metadata


def _is_stored_as(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether Parquet stores a type so, or integers or floats of another width; any type may be nulls alone."""
    if isinstance(expected, pa.FixedShapeTensorType):
        return bool(pa.types.is_list(found) and found.value_type == expected.value_type)
    kinds = (pa.types.is_integer, pa.types.is_floating)
    return found in (expected, pa.null()) or any(kind(found) and kind(expected) for kind in kinds)


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name in table.column_names:
        column = table[field.name]
        if isinstance(field.type, pa.FixedShapeTensorType):
            _check_elements(column, field)
            column = column.cast(field.type.storage_type)
        column = column.cast(field.type)
    else:
        column = pa.chunked_array([pa.nulls(len(table), field.type)])
    if column.null_count and not field.nullable:
        raise pa.ArrowInvalid(f"column {field.name} has {column.null_count} nulls")
    return column


def _check_elements(column: pa.ChunkedArray, field: pa.Field) -> None:
    if any(chunk.flatten().null_count for chunk in column.chunks):
        raise pa.ArrowInvalid(f"column {field.name} has nulls in its lists")
