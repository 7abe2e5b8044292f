"""One image file → RGB pixels and the facts about its encoding that an audit needs."""

import hashlib
import io
import re
import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

#: How `decode` brings images to their size, as manifests and fingerprints have it.
FIT = "Lanczos, centre crop"

_SIDE = 32  # of thumbnails, in pixels

_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")  # Pillow would have Ghostscript run it, whatever the file's name
# Others start programs, or wrap files of which Pillow then opens any.
_FORMATS = {"AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"}
_JPEG, _START_OF_SCAN, _NO_MORE = b"\xff\xd8\xff", b"\xff\xda", b"\x00\x02"
_MARKER, _END = re.compile(rb"\xff[\x01-\xcf\xda-\xfe]|\xff\xd9"), b"\xff\xd9"  # those that are followed by a length
_MOST_SCANS = 100  # of a JPEG: each goes over the whole image, and progressive ones have ten

# Pillow warns from 89 million pixels and refuses from twice that; a warning nobody sees is no help, so refuse at once.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Facts(NamedTuple):
    """What an image file says of itself. `codec` is in words, as `JPEG quality 75 4:2:0`; sizes in pixels and bytes.

    `group` is a hash of the pixels before any resampling: equal for files that show exactly the same pixels.
    """

    codec: str
    width: int
    height: int
    bytes: int
    sha256: str
    group: str


class UnreadableError(Exception):
    """A file that is no usable image; the message is the reason in words."""


def decode(content: bytes, image_size: int) -> tuple[Pixels, Facts]:
    """Decode one file to (image_size, image_size, 3) uint8 RGB.

    Images of another size are resampled (Lanczos, aspect kept) and centre-cropped. Grey, palette, CMYK and 16-bit
    images are converted, transparency is laid on white, and an EXIF orientation is applied. Raises UnreadableError.
    """
    if not content:
        raise UnreadableError("empty file")
    if content.startswith(_POSTSCRIPT):
        raise UnreadableError("PostScript, which is a program and no image")
    if content.startswith(_JPEG) and (scans := _scans(content)) > _MOST_SCANS:
        raise UnreadableError(f"a JPEG of {scans:,} scans, which no camera or program writes")
    try:
        codec, pixels = _read(content)
    except UnidentifiedImageError:
        raise UnreadableError("not an image in a format Pillow knows")
    except Exception as error:  # decoders raise whatever their format's parser raises
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__)
    height, width = pixels.shape[:2]
    group = hashlib.blake2b(
        np.ascontiguousarray(pixels).data, digest_size=8, salt=b"%dx%d" % (width, height)
    ).hexdigest()
    facts = Facts(codec, width, height, len(content), hashlib.sha256(content).hexdigest(), group)
    if (height, width) != (image_size, image_size):
        pixels = np.asarray(ImageOps.fit(Image.fromarray(pixels), (image_size, image_size), Image.Resampling.LANCZOS))
    return pixels, facts


def _scans(content: bytes) -> int:
    """The number of scans of a JPEG, or more: up to its end, behind which a telephone may have put a video."""
    if (scans := content.count(_START_OF_SCAN)) <= _MOST_SCANS:
        return scans
    place, scans = 2, 0
    while (marker := _MARKER.search(content, place)) and marker[0] != _END:
        place = marker.end() + max(2, int.from_bytes(content[marker.end() : marker.end() + 2], "big"))
        scans += marker[0] == _START_OF_SCAN
    return scans


def _read(content: bytes) -> tuple[str, Pixels]:
    """The codec in words and the pixels at their own size.

    Pillow spends six times as long on a small JPEG as the library below it, most of it on the header, and most files
    of a data set have the same header: parse it once, and leave the rest to simplejpeg, which gives the same pixels.
    """
    if content.startswith(_JPEG) and (codec := _plain_codec(content[: content.find(_START_OF_SCAN)])):
        return codec, simplejpeg.decode_jpeg(content, "RGB")
    with Image.open(io.BytesIO(content), formats=_formats()) as image:
        return _codec(image), np.asarray(_to_rgb(image))


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Those of the formats that we read which this Pillow was built with."""
    Image.init()
    return tuple(sorted(_FORMATS & Image.OPEN.keys()))


@lru_cache(maxsize=1024)
def _plain_codec(header: bytes) -> str | None:
    """The codec of a JPEG that begins with `header`, if it is a colour image of common size without EXIF; None if not.

    None as well for a header that stops half-way, at the scan of a thumbnail within it.
    """
    try:
        with Image.open(io.BytesIO(header + _START_OF_SCAN + _NO_MORE), formats=("JPEG",)) as image:
            return _codec(image) if image.mode == "RGB" and not image.info.get("exif") else None
    except OSError:
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, 8 bits a channel, upright.

    16-bit integers are divided by 257; floating point is taken as 0–1, or as 0–255 where it exceeds 1.
    """
    image.load()
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        scale = 1 / 257 if image.mode.startswith("I") else (255.0 if values.max(initial=0) <= 1 else 1.0)
        levels = (  # part by part, for all of a large image takes gigabytes in float64
            np.clip(np.rint(part.astype(np.float64) * scale), 0, 255).astype(np.uint8)
            for part in np.array_split(values.reshape(-1), 64)
        )
        image = Image.fromarray(np.concatenate([*levels]).reshape(values.shape))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return ImageOps.exif_transpose(image).convert("RGB")


def _codec(image: Image.Image) -> str:
    """The codec in words. Quality is IJG's (1–100), or a hash of quantization tables that libjpeg never writes."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return str(image.format)
    tables = tuple(tuple(table) for table in image.quantization.values())
    other = "non-standard " + hashlib.blake2b(repr(tables).encode(), digest_size=3).hexdigest()
    sampling = _SAMPLINGS.get(JpegImagePlugin.get_sampling(image), "grey" if image.mode == "L" else "other sampling")
    return f"JPEG quality {_qualities().get(tables[0], other)} {sampling}"


@lru_cache(maxsize=1)
def _qualities() -> dict[tuple[int, ...], str]:
    """Luminance table → the IJG quality at which libjpeg writes it, the lower of two, read off files that it writes."""
    qualities = {}
    for quality in range(100, 0, -1):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            qualities[tuple(image.quantization[0])] = str(quality)
    return qualities


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images (n, side, side, 3) uint8 grey and small, as near-copies are looked for among them: (n, 32, 32) uint8."""
    small = [Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX) for image in images]
    return np.array(small, np.uint8).reshape(-1, _SIDE, _SIDE)
