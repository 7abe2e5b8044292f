"""Images in a folder tree."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import InputError
from data_prep.layout import File

_ODD_BYTE = re.compile(r"\\udc[89a-f][0-9a-f]")  # as a name that is not UTF-8 has it


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files. `name` is its absolute path."""

    name: str

    def files(self) -> Iterable[File]:
        """Every file below the folder. Raises InputError for a subfolder that cannot be read."""
        for parent, folders, files in os.walk(self.name, followlinks=True, onerror=_refuse_folder):
            folders[:] = [folder for folder in folders if not _leads_back(Path(parent, folder))]
            for file in files:
                path = Path(parent, file)
                name = path.relative_to(self.name).as_posix()
                # A name that is not UTF-8 cannot be stored: its odd bytes are written out, and no such file is found.
                storable = name.encode("utf-8", "backslashreplace").decode()
                yield File(storable, path.stat().st_size if path.exists() else 0)

    def read(self, file: File) -> bytes:
        """The bytes of one file. Raises OSError."""
        path = Path(self.name, file.name)
        if path.exists() and not path.is_file():
            raise OSError("it is a pipe or a device")
        if not path.exists() and _ODD_BYTE.search(file.name):
            raise OSError("its name is not UTF-8")
        return path.read_bytes()


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"The folder {error.filename} cannot be read ({error.strerror}); mend that, or take it out.")


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one of its own parents, so that walking into it would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
