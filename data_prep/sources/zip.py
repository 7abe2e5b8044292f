"""Images in a zip archive, read in place."""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from data_prep.errors import InputError
from data_prep.sources.source import File, Member

# A zip of images hardly shrinks. One that unpacks to more than this many times its size, or holds one file larger than
# any photograph, is a trap or a mistake.
_MOST_EXPANSION = 100


_LARGEST_FILE_BYTES = 512 * 2**20


_HEADER = struct.Struct("<26xHH")  # of a zip's member


_ENCRYPTED = 1


@dataclass(frozen=True)
class ZipSource:
    """A zip archive of image files, read in place: nothing is unpacked to disk."""

    name: str

    def files(self) -> Iterable[File]:
        """Every file there is. Raises InputError for an archive that is no good."""
        members = [member for member in self._directory() if not member.is_dir()]
        _check_members(self.name, members)
        return [File(member.filename, member.file_size, _place(member)) for member in members]

    def read(self, file: File) -> bytes:
        """The bytes of one of them. Raises zipfile.BadZipFile.

        Python's zipfile takes longer for a small member than all the rest that is done with it, and would have every
        process read the directory of 120,000 names, a second each. It is asked where a member is packed otherwise.
        """
        if not file.member:
            with zipfile.ZipFile(self.name) as archive:
                return archive.read(file.name)
        return _unpack(_descriptor(self.name), file)

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.name) as archive:
                return archive.infolist()
        except zipfile.BadZipFile:
            raise InputError(f"{self.name} is no complete zip archive; download it again, or pass the unzipped folder.")


def _place(member: zipfile.ZipInfo) -> Member | None:
    """Where a member stands, if it is packed in one of the two usual ways and not encrypted."""
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return None
    return Member(member.header_offset, member.compress_size, member.compress_type, member.CRC)


@cache
def _descriptor(path: str) -> int:
    """One open file a process."""
    return os.open(path, os.O_RDONLY)


def _unpack(descriptor: int, file: File) -> bytes:
    """A member's bytes: they follow its header, which ends in the lengths of the name and of what is between.

    No more than the archive's directory promises: a few bytes may hold gigabytes of zeros.
    """
    member = file.member
    assert member
    header = os.pread(descriptor, _HEADER.size, member.offset)
    if not header.startswith(b"PK\3\4"):
        raise zipfile.BadZipFile("its header in the archive is damaged")
    packed = os.pread(descriptor, member.bytes, member.offset + _HEADER.size + sum(_HEADER.unpack(header)))
    is_packed = member.method == zipfile.ZIP_DEFLATED
    content = zlib.decompressobj(-15).decompress(packed, file.bytes + 1) if is_packed else packed
    if len(content) != file.bytes or zlib.crc32(content) != member.checksum:
        raise zipfile.BadZipFile("its bytes in the archive are damaged")
    return content


def _check_members(archive: str, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or ":" in name.partition("/")[0]:
            raise InputError(
                f"{archive} holds a path that leaves it ({member.filename!r}); use an archive you can trust."
            )
    unpacked = sum(member.file_size for member in members)
    largest = max((member.file_size for member in members), default=0)
    if unpacked > _MOST_EXPANSION * max(os.path.getsize(archive), 2**20) or largest > _LARGEST_FILE_BYTES:
        raise InputError(
            f"{archive} would unpack to {unpacked / 2**20:,.0f} MiB from {os.path.getsize(archive) / 2**20:,.1f} MiB, "
            "which no images do; use an archive you can trust."
        )
