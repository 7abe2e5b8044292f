"""Images in a folder tree."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import InputError
from data_prep.sources.source import File


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files."""

    name: str

    def files(self) -> Iterable[File]:
        """Every file there is. Raises InputError for a folder that cannot be read, and for names that are no text."""
        for parent, folders, files in os.walk(self.name, followlinks=True, onerror=_refuse_folder):
            folders[:] = [folder for folder in folders if not _leads_back(Path(parent, folder))]
            for file in files:
                path = Path(parent, file)
                _check_name(path)
                yield File(path.relative_to(self.name).as_posix(), path.stat().st_size if path.exists() else 0)

    def read(self, file: File) -> bytes:
        """The bytes of one of them. Raises OSError."""
        path = Path(self.name, file.name)
        if path.exists() and not path.is_file():
            raise OSError("it is a pipe or a device")
        return path.read_bytes()


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"The folder {error.filename} cannot be read ({error.strerror}); mend that, or take it out.")


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in, and so would be walked through again and again."""
    if not folder.is_symlink():
        return False
    target, here = folder.resolve(), folder.parent.resolve()
    return target == here or target in here.parents


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"The name of {str(path)!a} is not UTF-8; rename the file.")
