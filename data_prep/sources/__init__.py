"""Sources of raw images: a folder, a zip or tar archive, CIFAKE from Kaggle or the embedded sample."""

from pathlib import Path

import platformdirs

from data_prep.errors import InputError
from data_prep.layout.choices import Choices
from data_prep.sources.archives import open_archive
from data_prep.sources.folder import FolderSource
from data_prep.sources.lists import ListedSource
from data_prep.sources.tar import TarSource
from data_prep.sources.zip import ZipSource

#: A listing of raw images (`files`), and their bytes (`read`). It can be pickled, so that worker processes read too.
Source = FolderSource | ListedSource | TarSource | ZipSource
CACHE = "cifake-sweeps"  # the name of our folder in the user's cache
SAMPLE = Path(__file__).parent.parent / "sample" / "sample.zip"


def open_source(source: str, choices: Choices | None = None) -> Source:
    """The source that `sample`, `kaggle` or a path names, with the lists that are chosen. Raises InputError."""
    files = _open(source)
    return ListedSource(files, choices) if choices and choices.lists else files


def _open(source: str) -> FolderSource | TarSource | ZipSource:
    if source == "sample":
        return ZipSource(str(SAMPLE))
    if source == "kaggle":
        from data_prep.sources import kaggle  # late: it imports requests, which no other source needs

        return ZipSource(str(kaggle.fetch(platformdirs.user_cache_path(CACHE))))
    path = Path(source).expanduser()
    if not source or not (path.is_dir() or path.is_file()):
        lack = "does not exist" if not source or not path.exists() else "is neither a folder nor a file"
        raise InputError(f"{source or repr(source)} {lack}; pass a folder or archive of images, `sample` or `kaggle`.")
    name = str(path.resolve())
    return FolderSource(name) if path.is_dir() else open_archive(name)
