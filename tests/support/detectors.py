"""Stored networks in use."""

import csv
import io
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.detector.stored import stored

AGE, CUSTOM = "age-c2-f1", "custom-3"
CODEC = "JPEG quality 75 4:2:0"


def rows_of(done: "subprocess.CompletedProcess[str]") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.stdout)))


def set_in_trials(record: Path, column: str, value: str) -> None:
    """Give every trial of a record this value in a column."""
    for part in (record / "trials.parquet").iterdir():
        table = pq.read_table(part)
        values = pa.array([value] * len(table))
        pq.write_table(table.set_column(table.column_names.index(column), column, values), part)


def checkpoint(record: Path) -> Path:
    """The network's file of the trial that is taken if none is named."""
    return record / "checkpoints" / stored(str(record)).trial / "best.keras"
