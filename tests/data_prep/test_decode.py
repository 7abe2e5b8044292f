"""Decoding: from any file to RGB pixels, the facts of its encoding, or a reason why not."""

import io
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.decode import UnreadableError, decode


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (encoded(Image.new("L", (8, 8), 100), "PNG"), (100, 100, 100)),
        (encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 255)), "PNG"), (255, 0, 0)),
        (encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"), (255, 255, 255)),
        (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (encoded(Image.new("RGB", (8, 8), (0, 0, 255)).convert("P"), "PNG"), (0, 0, 255)),
        (encoded(Image.new("I;16", (8, 8), 257 * 40), "PNG"), (40, 40, 40)),
        (encoded(Image.new("1", (8, 8), 1), "PNG"), (255, 255, 255)),
        (encoded(Image.new("RGB", (8, 8), (0, 128, 0)), "WEBP", lossless=True), (0, 128, 0)),
        (encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "BMP"), (1, 2, 3)),
    ],
    ids=["grey", "opaque", "transparent", "cmyk", "palette", "16-bit", "1-bit", "webp", "bmp"],
)
def test_every_mode_becomes_rgb(content: bytes, colour: tuple[int, int, int]) -> None:
    image, facts = decode(content, 8)
    assert image.shape == (8, 8, 3)
    assert (image == np.array(colour)).all()
    assert (facts.width, facts.height, facts.bytes) == (8, 8, len(content))


@pytest.mark.parametrize(("highest", "scale"), [(1, 255), (300, 1)])
def test_floating_point_is_converted_part_by_part(highest: int, scale: int) -> None:
    """Of a whole image, numbers in float64 would take 30 bytes a pixel and more."""
    values = np.linspace(-0.5, highest, 10**6, dtype=np.float32).reshape(1000, 1000)
    content = encoded(Image.fromarray(values), "TIFF")
    tracemalloc.start()
    pixels, _ = decode(content, 1000)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(pixels[..., 0], np.clip(np.rint(values.astype(np.float64) * scale), 0, 255))
    assert most < 16 * values.size


def test_larger_images_are_cropped_to_the_middle_and_resampled() -> None:
    wide = Image.new("RGB", (96, 32), "black")
    wide.paste("white", (32, 0, 64, 32))
    image, facts = decode(encoded(wide, "PNG"), 16)
    assert image.min() > 235, "only a filter's reach at the edge"
    assert (facts.width, facts.height) == (96, 32)


def test_the_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (32, 32), "black")
    image.paste("white", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    decoded, _ = decode(encoded(image, "JPEG", exif=exif), 32)
    assert decoded[:12].max() < 30
    assert decoded[20:].min() > 225


def test_a_thumbnail_in_the_header_is_not_the_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    thumbnail = encoded(Image.new("RGB", (16, 16), "red"), "JPEG")
    plain = encoded(Image.fromarray(pixels), "JPEG", quality=90)
    segment = b"Photoshop 3.0\0" + thumbnail
    content = plain[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2) + segment + plain[2:]
    decoded, facts = decode(content, 32)
    assert np.array_equal(decoded, decode(plain, 32)[0])
    assert facts.codec == decode(plain, 32)[1].codec


@pytest.mark.parametrize(("quality", "sampling"), [(75, "4:2:0"), (92, "4:4:4"), (50, "4:2:2")])
def test_the_codec_is_told_in_words(quality: int, sampling: str) -> None:
    content = encoded(Image.new("RGB", (8, 8)), "JPEG", quality=quality, subsampling=sampling)
    assert decode(content, 8)[1].codec == f"JPEG quality {quality} {sampling}"


def test_what_a_telephone_puts_behind_a_jpeg_is_no_part_of_it() -> None:
    content = encoded(Image.new("RGB", (64, 64)), "JPEG")
    pixels, _ = decode(content + b"\xff\xda\0\2" * 1000, 32)
    assert pixels.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello", "not an image"),
        (encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")[:900], "end of JPEG"),
        (encoded(Image.new("RGB", (64, 64)), "JPEG")[:-2] + b"\xff\xda\0\2" * 1000, "JPEG of 1,001 scans"),
    ],
)
def test_what_is_no_image_has_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        decode(content, 32)


def iptc(content: bytes) -> bytes:
    """A file of IPTC's that holds another file, which Pillow would open whatever it is."""

    def field(number: int, value: bytes) -> bytes:
        length = struct.pack(">H", len(value)) if len(value) < 32768 else struct.pack(">HI", 0x8004, len(value))
        return bytes([0x1C, number // 256, number % 256]) + length + value

    sizes = field(3 * 256 + 20, struct.pack(">H", 32)) + field(3 * 256 + 30, struct.pack(">H", 32))
    return field(3 * 256 + 60, b"\x01\x01") + sizes + field(3 * 256 + 120, b"\x05") + field(8 * 256 + 10, content)


def test_a_file_that_holds_another_one_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would hand the PostScript to a program, and decode any number of scans."""
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n%%EOF\n"
    for inner in (postscript, encoded(Image.new("RGB", (32, 32)), "JPEG")):
        with pytest.raises(UnreadableError):
            decode(iptc(inner), 32)
    assert not (tmp_path / "canary").exists()
