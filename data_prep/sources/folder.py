"""Images in a folder tree."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import InputError
from data_prep.layout.images import File
from data_prep.sources import archives
from data_prep.sources.tar import TarSource

_ODD_BYTE = re.compile(r"\\udc[89a-f][0-9a-f]")  # as a name that is not UTF-8 has it


class Inside(NamedTuple):
    """A file in an archive in the folder."""

    archive: str
    file: File


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files, and of archives of them. `name` is its absolute path.

    `folder` has the plain archives of compressed ones.
    """

    name: str
    folder: str = ""

    def files(self) -> Iterator[File]:
        """Every file below the folder, and in archives there, as if these were folders.

        Raises InputError for a subfolder that cannot be read and an archive that is damaged, or a trap.
        """
        for name, path in self._paths():
            if (stem := archives.stem(name)) and path.is_file():
                for inner in archives.open_archive(str(path)).files():
                    yield File(f"{stem}/{inner.name}", inner.bytes, Inside(str(path), inner))
            else:
                yield File(name, path.stat().st_size if path.exists() else 0)

    def _paths(self) -> Iterator[tuple[str, Path]]:
        """Every file below the folder, as a name and a path. Bytes of a name that are not UTF-8 are written out."""
        for parent, folders, files in os.walk(self.name, followlinks=True, onerror=_refuse_folder):
            folders[:] = [folder for folder in folders if not _leads_back(Path(parent, folder))]
            for file in files:
                path = Path(parent, file)
                name = path.relative_to(self.name).as_posix()
                yield name.encode("utf-8", "backslashreplace").decode(), path

    def read(self, file: File) -> bytes:
        """The bytes of one file. Raises OSError, or what its archive raises."""
        if file.entry:
            return archives.readable_archive(file.entry.archive, self.folder).read(file.entry.file)
        path = Path(self.name, file.name)
        if path.exists() and not path.is_file():
            raise OSError("it is a pipe or a device")
        if not path.exists() and _ODD_BYTE.search(file.name):
            raise OSError("its name is not UTF-8")
        return path.read_bytes()

    def unpacked(self, folder: Path) -> "FolderSource":
        """This source, with the images of its compressed archives in files in `folder`."""
        for path in [path for name, path in self._paths() if archives.stem(name) and path.is_file()]:
            if isinstance(archive := archives.open_archive(str(path)), TarSource):
                archive.unpacked(folder)
        return FolderSource(self.name, str(folder))


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"The folder {error.filename} cannot be read ({error.strerror}); mend that, or take it out.")


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one of its own parents, so that walking into it would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
