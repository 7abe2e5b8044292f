"""Images in a zip archive, read in place."""

import bz2
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from data_prep.errors import InputError
from data_prep.layout.images import File

# A zip of images hardly shrinks. One that unpacks to more than this many times its size, or holds one file larger than
# any photograph, is a trap or a mistake.
MOST_EXPANSION = 100
LARGEST_FILE_BYTES = 512 * 2**20
_HEADER = struct.Struct("<26xHH")  # of a zip's member
_ENCRYPTED = 1
#: Method → what unpacks so many bytes at most.
_UNPACKED: dict[int, Callable[[bytes, int], bytes]] = {
    zipfile.ZIP_STORED: lambda content, most: content,
    zipfile.ZIP_DEFLATED: lambda content, most: zlib.decompressobj(-15).decompress(content, most),
    zipfile.ZIP_BZIP2: lambda content, most: bz2.BZ2Decompressor().decompress(content, most),
}


@dataclass(frozen=True)
class ZipSource:
    """A zip archive of image files, read in place: nothing is unpacked to disk. `name` is its absolute path."""

    name: str

    def files(self) -> Iterable[File]:
        """Every file in the archive. Raises InputError for one that is damaged, or unpacks to far more than its size.

        Raises InputError as well for a path that leads out of the archive.
        """
        try:
            with zipfile.ZipFile(self.name) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
            raise InputError(f"{self.name} is no complete zip archive; download it again, or pass the unzipped folder.")
        names = [member.filename.replace("\\", "/") for member in members]  # as some programs of Windows part them
        for name in names:
            if name.startswith("/") or ".." in name.split("/") or ":" in name.partition("/")[0]:
                raise InputError(f"{self.name} holds a path that leaves it ({name!r}); use an archive you can trust.")
        sizes, packed = [member.file_size for member in members], os.path.getsize(self.name)
        if sum(member.compress_size for member in members) > packed:
            raise InputError(f"{self.name} claims to hold more bytes than it has; use an archive you can trust.")
        if sum(sizes) > MOST_EXPANSION * max(packed, 2**20) or max(sizes, default=0) > LARGEST_FILE_BYTES:
            raise InputError(
                f"{self.name} would unpack to {sum(sizes) / 2**20:,.0f} MiB from {packed / 2**20:,.1f} MiB, "
                "which no images do; use an archive you can trust."
            )
        return [File(name, member.file_size, member) for name, member in zip(names, members, strict=True)]

    def unpacked(self, folder: Path) -> "ZipSource":
        """This source, whose images are read where they are."""
        return self

    def read(self, file: File) -> bytes:
        """The bytes of one file. Raises zipfile.BadZipFile.

        For a small member, Python's zipfile takes longer than everything else that is done with it, and every process
        would read the directory of 120,000 names, a second each. Nor does it bound what a member unpacks to.
        """
        assert file.entry
        if file.entry.flag_bits & _ENCRYPTED:
            raise zipfile.BadZipFile("it is encrypted in the archive")
        if file.entry.compress_type not in _UNPACKED:
            raise zipfile.BadZipFile("it is compressed in another way than deflate or bzip2")
        return _unpack(descriptor(self.name), file.entry, file.bytes)


@cache
def descriptor(path: str) -> int:
    """One open file a process."""
    return os.open(path, os.O_RDONLY)


def _unpack(descriptor: int, member: zipfile.ZipInfo, size: int) -> bytes:
    """The `size` bytes of a member. They follow its header, which ends in the lengths of the name and an extra field.

    Never more than the archive's directory promises: a few bytes may hold gigabytes of zeros.
    """
    header = os.pread(descriptor, _HEADER.size, member.header_offset)
    if not header.startswith(b"PK\3\4"):
        raise zipfile.BadZipFile("its header in the archive is damaged")
    start = member.header_offset + _HEADER.size + sum(_HEADER.unpack(header))
    content = os.pread(descriptor, min(member.compress_size, os.fstat(descriptor).st_size), start)
    try:
        content = _UNPACKED[member.compress_type](content, size + 1)
    except (zlib.error, OSError) as error:
        raise zipfile.BadZipFile(f"its bytes in the archive are damaged: {error}")
    if len(content) != size or zlib.crc32(content) != member.CRC:
        raise zipfile.BadZipFile("its bytes in the archive are damaged")
    return content
