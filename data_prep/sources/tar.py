"""Images in a tar archive, plain or compressed by gzip or bzip2.

A plain one is read in place. A compressed one is decompressed once to list its members, and again to a file in the
job's folder, for images are decoded in another order.
"""

import bz2
import gzip
import hashlib
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from data_prep.errors import InputError
from data_prep.layout.images import File
from data_prep.sources.zip import LARGEST_FILE_BYTES, MOST_EXPANSION, descriptor

_LARGEST_HEADER = 2**20  # bytes: tarfile reads the long name before a member at once
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}


class Place(NamedTuple):
    """Where the bytes of a member are in the plain archive."""

    start: int
    size: int


@dataclass(frozen=True)
class TarSource:
    """A tar archive of image files. `name` is its absolute path; `folder` has the plain one of a compressed one."""

    name: str
    folder: str = ""

    def files(self) -> Iterator[File]:
        """Every file in the archive. Raises InputError for one that is damaged, or unpacks to far more than its size.

        Raises InputError as well for a path that leads out of the archive.
        """
        try:
            with self._opened() as file:
                bounded = _Bounded(self.name, file)
                with tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r:") as archive:
                    for member in archive:
                        archive.members = []  # type: ignore[attr-defined]  # or it would keep all
                        if not member.isdir():
                            yield self._file(member)
                if bounded.block != bytes(tarfile.BLOCKSIZE):  # tarfile takes damage, and a cut, for the end
                    raise tarfile.ReadError
        except (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error, gzip.BadGzipFile):
            raise InputError(f"{self.name} is no complete tar archive; download it again, or pass the unpacked folder.")

    def _file(self, member: tarfile.TarInfo) -> File:
        name = member.name.encode("utf-8", "backslashreplace").decode().removeprefix("./")
        if name.startswith("/") or ".." in name.split("/"):
            raise InputError(f"{self.name} holds a path that leaves it ({name!r}); use an archive you can trust.")
        is_file = member.isreg() and not member.issparse()
        return File(name, member.size, Place(member.offset_data, member.size) if is_file else None)

    def read(self, file: File) -> bytes:
        """The bytes of one file. Raises OSError."""
        place = file.entry
        if place is None or place.size > LARGEST_FILE_BYTES:
            raise OSError("it is a link or a device in the archive" if place is None else "it is larger than any image")
        content = os.pread(descriptor(self._plain), place.size, place.start)
        if len(content) < place.size:
            raise OSError("the archive ends in it")
        return content

    def unpacked(self, folder: Path) -> "TarSource":
        """This source, with its images where they can be read: if it is compressed, in a file in `folder`."""
        source = TarSource(self.name, str(folder))
        plain = Path(source._plain)
        if not plain.exists():
            with self._opened() as file, (beside := plain.with_suffix(".writing")).open("wb") as copy:
                shutil.copyfileobj(file, copy, 2**20)
            os.replace(beside, plain)
        return source

    @cached_property
    def _plain(self) -> str:
        is_plain = _opener(self.name) is open
        return self.name if is_plain else f"{self.folder}/{hashlib.sha256(self.name.encode()).hexdigest()[:16]}.tar"

    def _opened(self) -> BinaryIO:
        return cast(BinaryIO, _opener(self.name)(self.name, "rb"))


class _Bounded(io.RawIOBase):
    """An archive's file, decompressed, of which tarfile reads nothing large at once, nor far more than its size."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file, self.block = name, file, b""
        self._most = MOST_EXPANSION * max(os.path.getsize(name), 2**20)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, which `block` keeps. Raises tarfile.ReadError for a size that no header has."""
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError("a header is too long")
        self.block = self._file.read(size)
        return self.block

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Raises InputError for a place that is too far away."""
        if place > self._most:
            raise InputError(
                f"{self._name} would unpack to more than {MOST_EXPANSION} times its size, which no images do; "
                "use an archive you can trust."
            )
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """The place in the decompressed archive."""
        return self._file.tell()


def is_tar(path: str) -> bool:
    """Whether a file is a tar archive, or compressed as one may be."""
    return _opener(path) is not open or tarfile.is_tarfile(path)


def _opener(path: str) -> Callable[..., Any]:
    with open(path, "rb") as file:
        start = file.read(3)
    return next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), open)
