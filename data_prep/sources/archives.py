"""Archives of images, by their names and what is in them."""

import re
import shlex
from functools import cache
from pathlib import Path

from data_prep.errors import InputError
from data_prep.sources.tar import TarSource, is_tar
from data_prep.sources.zip import ZipSource

_NAME = re.compile(r"(.+)\.(tar\.gz|tgz|tar\.bz2|tbz2|tar|zip)(\.\d{2,3}|\.[a-w][a-z])?", re.IGNORECASE)


def stem(name: str) -> str | None:
    """The name of an archive without what says that it is one; None for other names."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def open_archive(path: str) -> TarSource | ZipSource:
    """The tar or else the zip archive at a path. Raises InputError for a part of one."""
    match, whole = _NAME.fullmatch(path), Path(path)
    if match and match[3]:
        joined = path.removesuffix(match[3])
        command = f"cat {shlex.quote(joined)}.* > {shlex.quote(joined)}"
    elif whole.with_suffix(".z01").exists():
        command = f"zip -s 0 {shlex.quote(path)} --out {shlex.quote(str(whole.with_suffix('')))}-joined.zip"
    else:
        return TarSource(path) if is_tar(path) else ZipSource(path)
    raise InputError(f"{path} is one part of an archive; join the parts with `{command}`, and take them away.")


@cache
def readable_archive(path: str, folder: str) -> TarSource | ZipSource:
    """The archive at a path, of which a compressed tar has been decompressed to `folder`; one a process."""
    archive = open_archive(path)
    return TarSource(path, folder) if isinstance(archive, TarSource) else archive
