"""One image file → RGB pixels and the facts about its encoding that an audit needs."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_SNIFFS = {b"\xff\xd8\xff": ("JPEG",), b"\x89PNG": ("PNG",)}

# Pillow warns from 89 million pixels and refuses from twice that; a warning nobody sees is no help, so refuse at once.
warnings.simplefilter("error", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Facts:
    """What an image file says of itself. `codec` is in words, as `JPEG quality 75 4:2:0`; sizes in pixels and bytes."""

    codec: str
    width: int
    height: int
    bytes: int
    sha256: str
    pixels: str


class UnreadableError(Exception):
    """A file that is no usable image; the message is the reason in words."""


def decode(content: bytes, image_size: int) -> tuple[Pixels, Facts]:
    """Decode one file to (image_size, image_size, 3) uint8 RGB.

    Images of another size are resampled (Lanczos, aspect kept, centre-cropped). Grey, palette, CMYK and 16-bit images
    are converted, transparency is laid on white, and an EXIF orientation is applied. `Facts.pixels` is a hash of the
    converted pixels *before* resampling: equal for images that show exactly the same. Raises UnreadableError.
    """
    if not content:
        raise UnreadableError("empty file")
    try:
        with Image.open(io.BytesIO(content), formats=_SNIFFS.get(content[:3]) or _SNIFFS.get(content[:4])) as opened:
            codec = _codec(opened)
            image = _to_rgb(opened)
    except UnidentifiedImageError:
        raise UnreadableError("not an image in a format Pillow knows")
    except Exception as error:  # Pillow's decoders raise whatever their format's parser raises
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__)
    pixels = image.tobytes()
    facts = Facts(
        codec, *image.size, len(content), hashlib.sha256(content).hexdigest(), _pixel_hash(image.size, pixels)
    )
    if image.size != (image_size, image_size):
        pixels = ImageOps.fit(image, (image_size, image_size), Image.Resampling.LANCZOS).tobytes()
    return np.frombuffer(pixels, np.uint8).reshape(image_size, image_size, 3), facts


def _to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, 8 bits a channel, upright."""
    image.load()
    if image.mode == "RGB" and not (image.format != "JPEG" and image.info.get("transparency")):
        return ImageOps.exif_transpose(image) if image.info.get("exif") else image
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return ImageOps.exif_transpose(image).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit integers are divided by 257; floating point is taken as 0–1 unless it exceeds that, then as 0–255."""
    values = np.asarray(image).astype(np.float64)
    scale = 1 / 257 if image.mode.startswith("I") else (255.0 if values.max(initial=0) <= 1 else 1.0)
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))


def _pixel_hash(size: tuple[int, int], pixels: bytes) -> str:
    return hashlib.blake2b(pixels, digest_size=8, salt=b"%dx%d" % size).hexdigest()


def _codec(image: Image.Image) -> str:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return str(image.format)
    tables = tuple(tuple(table) for table in image.quantization.values())
    sampling = _SAMPLINGS.get(JpegImagePlugin.get_sampling(image), "grey" if image.mode == "L" else "other sampling")
    return f"JPEG quality {_quality(tables)} {sampling}"


@lru_cache(maxsize=1024)
def _quality(tables: tuple[tuple[int, ...], ...]) -> str:
    """The IJG quality (1–100) whose standard luminance table these are, or a hash of tables that are no standard's."""
    for quality, standard in _standard_tables().items():
        if tables[0] == standard:
            return str(quality)
    return "non-standard " + hashlib.blake2b(repr(tables).encode(), digest_size=3).hexdigest()


@lru_cache(maxsize=1)
def _standard_tables() -> dict[int, tuple[int, ...]]:
    """The luminance table that libjpeg writes at each quality, read off files that it writes."""
    tables = {}
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            tables[quality] = tuple(image.quantization[0])
    return tables
