"""What a source of raw images gives: a listing of files, and their bytes."""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class File(NamedTuple):
    """A file of a source: its name there, its size in bytes, and its directory entry if the source is an archive."""

    name: str
    bytes: int
    entry: zipfile.ZipInfo | None = None


@dataclass(frozen=True)
class Source(ABC):
    """A listing of raw images, and their bytes. `name` is the absolute path of the folder or archive.

    Sources can be pickled, so that worker processes read on their own.
    """

    name: str

    @abstractmethod
    def files(self) -> Iterable[File]:
        """Every file there is. Raises InputError for a source that cannot be listed."""

    @abstractmethod
    def read(self, file: File) -> bytes:
        """The bytes of one file. Raises OSError or zipfile.BadZipFile."""
