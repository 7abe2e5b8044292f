"""Reading Parquet files that come from strangers: only the columns of a known schema, once their types are checked.

A Parquet file may hold an Arrow schema, whose extension types are made by whichever package has registered them as soon
as the file is opened; Ray's runs a pickle. So that schema is not read: the types are those that Parquet itself states.
"""

import struct

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_MAGIC = b"PAR1"
# These unpack to 255 times their size at most.
_CODECS = {"UNCOMPRESSED", "SNAPPY", "LZ4", "LZ4_RAW"}
_TEXTS = (pa.string(), pa.binary())
_MOST_VALUES, _MOST_BYTES = 25_000_000, 2**28  # of a table; of its text, in all columns
_ARROW_SCHEMA, _UNREAD = b"ARROW:schema", b"not the type"  # as long, for a footer has lengths in it


def opened(file: pa.NativeFile, schema: pa.Schema) -> pq.ParquetFile:
    """A Parquet file whose columns of a schema have its types; those of other names are not looked at.

    Raises ArrowInvalid for columns of other types and for too many rows, and what pyarrow raises for a corrupt file.
    """
    metadata = _metadata(file)
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    if others := {column.compression for column in columns} - _CODECS:
        raise pa.ArrowInvalid(f"it is compressed by {others.pop()}, not Snappy or LZ4")
    if rows != metadata.num_rows or rows * len(schema) > _MOST_VALUES:
        raise pa.ArrowInvalid(f"it claims to have {max(rows, metadata.num_rows):,} rows")
    texts = [field.name for field in schema if field.type in _TEXTS and field.name in metadata.schema.names]
    parquet = pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, page_checksum_verification=True)
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
    shape, text that is no UTF-8, or too much text.
    """
    _check_length(table)
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
    """Whether Parquet stores a type so, or numbers as others, as pandas does; any type may be nulls alone."""
    if isinstance(expected, pa.FixedShapeTensorType):
        return bool(pa.types.is_list(found) and found.value_type == expected.value_type)
    if pa.types.is_dictionary(found):
        found = found.value_type
    return found in (expected, pa.null()) or (_is_number(found) and _is_number(expected))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


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


def _check_length(table: pa.Table) -> None:
    """Raise ArrowInvalid for too much text in a table: Parquet stores equal texts once."""
    chunks = [chunk for column in table.columns for chunk in column.chunks if pa.types.is_dictionary(chunk.type)]
    lengths = (pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0 for chunk in chunks)
    if (length := sum(lengths)) > _MOST_BYTES:
        raise pa.ArrowInvalid(f"its text unpacks to {length:,} bytes")


def _check_elements(column: pa.ChunkedArray, field: pa.Field) -> None:
    if any(chunk.flatten().null_count for chunk in column.chunks):
        raise pa.ArrowInvalid(f"column {field.name} has nulls in its lists")
