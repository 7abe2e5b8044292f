"""Image files that a user names: found, decoded to the network's size, and compared with the training images."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.decode import Facts, Pixels, UnreadableError, decode

#: The endings, in any case, of the files in a folder that are taken for images.
ENDINGS = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff"),
    ".webp",
)
_STANDARD_INPUT = "-"
_LARGEST_FILE_BYTES = 512 * 2**20
_MOST_LISTED = 3


@dataclass(frozen=True)
class Image:
    """An image file: `pixels` (side, side, 3) uint8 and the `facts` of the file, or the `error`, in words."""

    path: str
    pixels: Pixels | None = None
    facts: Facts | None = None
    error: str = ""


def paths(names: Iterable[str]) -> Iterator[str]:
    """The files that are named, in order: a folder's images, sorted; for `-` those that standard input lists by line.

    Missing files and folders without images come too: `read` says what is wrong with them.
    """
    for name in names:
        if name == _STANDARD_INPUT:
            lines = (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer)
            yield from paths(line for line in lines if line not in ("", _STANDARD_INPUT))
        elif os.path.isdir(name):
            yield from _images_in(name)
        else:
            yield name


def _images_in(folder: str) -> Iterator[str]:
    """The images in a folder and its subfolders, without hidden ones, and the folders that cannot be opened."""
    closed: list[str] = []
    is_empty = True
    for parent, folders, files in os.walk(folder, onerror=lambda error: closed.append(error.filename)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if file.lower().endswith(ENDINGS) and not file.startswith("."):
                is_empty = False
                yield os.path.join(parent, file)
    yield from closed or ([folder] if is_empty else [])


def read(path: str, image_size: int) -> Image:
    """Read and decode one file, as the training data were."""
    try:
        return Image(path, *decode(_content(path), image_size))
    except UnreadableError as error:
        return Image(path, error=str(error))
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte in it
        return Image(path, error=(getattr(error, "strerror", None) or str(error)).lower())


def _content(path: str) -> bytes:
    if os.path.isdir(path):
        raise UnreadableError("no images in this folder" if os.access(path, os.R_OK | os.X_OK) else "permission denied")
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # such as a pipe, which may never end
        raise UnreadableError("no regular file")
    if status.st_size > _LARGEST_FILE_BYTES:
        raise UnreadableError(f"larger than {_LARGEST_FILE_BYTES / 2**20:.0f} MiB, too large for an image")
    return Path(path).read_bytes()


def warnings(facts: Facts, image_size: int, codecs: tuple[str, ...]) -> tuple[str, ...]:
    """How a file differs from the training images, in words: its size, and its codec, if it is none of `codecs`."""
    size = f"{facts.width} x {facts.height} pixels, resized to {image_size} x {image_size}"
    codec = f"{facts.codec}, and the training images are {listed(codecs)}"
    remarks = {
        size: (facts.width, facts.height) != (image_size, image_size),
        codec: bool(codecs) and facts.codec not in codecs,
    }
    return tuple(remark for remark, applies in remarks.items() if applies)


def listed(codecs: tuple[str, ...]) -> str:
    """`JPEG quality 75 4:2:0 or PNG`, the first few of them."""
    more = f" or one of {len(codecs) - _MOST_LISTED} others" if len(codecs) > _MOST_LISTED else ""
    return " or ".join(codecs[:_MOST_LISTED]) + more
