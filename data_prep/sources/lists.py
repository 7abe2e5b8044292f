"""Images of which lists say what they are: CSV, TSV, JSON and JSON Lines, and text without a header."""

import fnmatch
import io
import json
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.errors import InputError
from data_prep.layout.choices import Choices, listed
from data_prep.layout.images import File, Said
from data_prep.sources.folder import FolderSource
from data_prep.sources.tar import TarSource
from data_prep.sources.zip import ZipSource

_LARGEST_LIST = 2**29  # bytes
_MOST_COLUMNS, _MOST_ROWS = 1_000, 10_000_000
#: What a column has → names by which it is known: the first that a list has.
COLUMNS = {
    "image": ("file_name", "filename", "image_path", "path", "image_name", "image", "img", "file", "name"),
    "label": ("label_str", "label", "labels", "target"),
    "split": ("split",),
    "generator": ("generator",),
    "class": (),
    "cluster": (),
}
_ABSENT = "absent"
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")


@dataclass(frozen=True)
class ListedSource:
    """A source of images, and of lists that say what they are."""

    source: FolderSource | TarSource | ZipSource
    choices: Choices

    @property
    def name(self) -> str:
        """The source's path."""
        return self.source.name

    def files(self) -> Iterator[File]:
        """Every file but the lists, with what a list says of it; and rows without a file.

        Raises InputError where no list is found, or one cannot be read or lacks a column, and where two rows disagree.
        """
        files = {file.name: file for file in self.source.files()}
        lists = {name for name in files if any(fnmatch.fnmatchcase(name, one) for one in self.choices.lists)}
        if not lists:
            raise InputError(
                f"{self.name} has no file {' or '.join(self.choices.lists)}; name a list by its path in the source."
            )
        find, said = _Finder({name for name in files if name not in lists}), dict[str, Said]()
        for place in sorted(lists):
            for image, row in self._rows(files[place]):
                name = find(image, posixpath.dirname(place))
                if name is None:
                    yield File(image, 0, _ABSENT, row)
                elif said.setdefault(name, row) != row:
                    raise InputError(f"{self.name} says two things of {name!r} ({place}); correct its lists.")
        for name in files.keys() - lists:
            yield files[name]._replace(said=said.get(name))

    def read(self, file: File) -> bytes:
        """The bytes of one file. Raises OSError, or what the source raises."""
        if file.entry == _ABSENT:
            raise OSError("it is listed, and not there")
        return self.source.read(file)

    def unpacked(self, folder: Path) -> "ListedSource":
        """This source, with its images where they can be read."""
        return replace(self, source=self.source.unpacked(folder))

    def _rows(self, file: File) -> Iterator[tuple[str, Said]]:
        """The names of images in a list, each with what its row says."""
        if file.bytes > _LARGEST_LIST:
            raise InputError(f"{file.name} has {file.bytes / 2**20:,.0f} MiB, which no list has; name another.")
        try:
            table = _table(file.name, self.source.read(file))
        except (ValueError, TypeError, AttributeError, RecursionError, pd.errors.ParserError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{file.name} cannot be read as a list ({reason}); correct it, or name another.")
        columns = {kind: self._column(kind, table, file.name) for kind in COLUMNS}
        texts = [table[name] if name else pd.Series("", table.index) for name in columns.values()]
        for image, label, *values in zip(*texts, strict=True):
            yield image, Said(label, *(value or None for value in values))

    def _column(self, kind: str, table: pd.DataFrame, name: str) -> str | None:
        """The column of a table that has this kind of value, if any."""
        chosen = self.choices.columns.get(kind)
        found = [column for column in ((chosen,) if chosen else COLUMNS[kind]) if column in table]
        if not found and (chosen or kind in ("image", "label")):
            lack = f"no column {chosen!r}" if chosen else f"no column that is known to have {kind}s"
            raise InputError(
                f"{name} has {lack}; its columns are {listed(table.columns)}: name one with --{kind}-column NAME."
            )
        return found[0] if found else None


def _table(name: str, content: bytes) -> pd.DataFrame:
    """A list's rows, all as text. Raises ValueError, TypeError and others for what is no list."""
    text = content.decode("utf-8-sig")
    if text.count("\n") > _MOST_ROWS:
        raise ValueError(f"it has more than {_MOST_ROWS:,} rows")
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in (".jsonl", ".ndjson"):
        table = _table_of([json.loads(line) for line in text.splitlines() if line.strip()])
    elif suffix == ".json":
        rows: Any = json.loads(text)
        if isinstance(rows, dict):  # as DFDC's: name → what it is
            rows = [{"file_name": image, **row} for image, row in rows.items()]
        table = _table_of(rows)
    else:
        first = text.partition("\n")[0]
        separator = max(",;\t", key=first.count)
        if first.count(separator) > _MOST_COLUMNS:
            raise ValueError(f"it has more than {_MOST_COLUMNS:,} columns")
        options: dict[str, Any] = {"sep": separator if separator in first else r"\s+"}
        if suffix == ".txt":
            options |= {"header": None}
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, **options)
        if suffix == ".txt":
            table.columns = [str(number + 1) for number in range(len(table.columns))]
    return table.astype(object).where(table.notna(), "").map(str).rename(columns=str)


def _table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of these rows. Raises ValueError and TypeError for what is none."""
    columns = set[str]()
    for row in rows:
        columns.update(row)
        if len(columns) > _MOST_COLUMNS:
            raise ValueError(f"it has more than {_MOST_COLUMNS:,} columns")
    return pd.DataFrame(rows)


class _Finder:
    """Finds the file that a list means, by its whole path or as much of it as the list has."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._by_stem = defaultdict[str, list[str]](list)
        for name in names:
            self._by_stem[posixpath.splitext(posixpath.basename(name))[0]].append(name)

    def __call__(self, image: str, folder: str) -> str | None:
        """The name of the file: below the list's folder, or the source's, or the only one that ends so."""
        wanted = image.replace("\\", "/").removeprefix("./")
        for name in (posixpath.normpath(posixpath.join(folder, wanted)), wanted):
            if name in self._names:
                return name
        path, suffix = posixpath.splitext(wanted)
        path = path if suffix.lower() in _VIDEOS else wanted  # as where frames are named after their videos
        base = posixpath.basename(path)
        candidates = [*self._by_stem.get(posixpath.splitext(base)[0], []), *self._by_stem.get(base, [])]
        ends = {
            name
            for name in candidates
            if f"/{name}".endswith(f"/{path}") or f"/{posixpath.splitext(name)[0]}".endswith(f"/{path}")
        }
        inside = {name for name in ends if name.startswith(f"{folder}/")} if folder else ends
        return next(iter(inside or ends)) if len(inside or ends) == 1 else None
