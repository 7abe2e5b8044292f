"""Images in a folder tree."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import InputError
from data_prep.layout import File


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files. `name` is its absolute path."""

    name: str

    def files(self) -> Iterable[File]:
        """Every file below the folder. Raises InputError for a subfolder or a name that cannot be read."""
        for parent, folders, files in os.walk(self.name, followlinks=True, onerror=_refuse_folder):
            folders[:] = [folder for folder in folders if not _leads_back(Path(parent, folder))]
            for file in files:
                path = Path(parent, file)
                try:
                    str(path).encode()
                except UnicodeEncodeError:
                    raise InputError(f"The name of {str(path)!a} is not UTF-8; rename the file.")
                yield File(path.relative_to(self.name).as_posix(), path.stat().st_size if path.exists() else 0)

    def read(self, file: File) -> bytes:
        """The bytes of one file. Raises OSError."""
        path = Path(self.name, file.name)
        if path.exists() and not path.is_file():
            raise OSError("it is a pipe or a device")
        return path.read_bytes()


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"The folder {error.filename} cannot be read ({error.strerror}); mend that, or take it out.")


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one of its own parents, so that walking into it would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
