"""What a source of raw images gives: a listing of files, and their bytes."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Member(NamedTuple):
    """Where an archive has a file: the offset of its header, its bytes there, how they are packed, and their CRC-32."""

    offset: int
    bytes: int
    method: int
    checksum: int


class File(NamedTuple):
    """A file of a source: its name there, its size in bytes, and its place if the source is an archive."""

    name: str
    bytes: int
    member: Member | None = None


class Source(Protocol):
    """A listing of raw images, and their bytes. Can be pickled, so that worker processes read on their own."""

    @property
    def name(self) -> str:
        """The folder or archive, as an absolute path."""
        ...

    def files(self) -> Iterable[File]:
        """Every file there is."""
        ...

    def read(self, file: File) -> bytes:
        """The bytes of one of them. Raises OSError or zipfile.BadZipFile."""
        ...
