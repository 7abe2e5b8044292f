"""Pictures with shapes in them, as unlike each other as photographs are, and copies of them."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageOps


def scene(number: int) -> Image.Image:
    """A picture of 32 x 32 pixels: six shapes on a background, and a little noise."""
    generator = np.random.default_rng(number)
    picture = Image.new("RGB", (32, 32), tuple(generator.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for shape in (draw.rectangle, draw.ellipse) * 3:
        left, top, width, height = generator.integers(-4, 24, 2).tolist() + generator.integers(6, 20, 2).tolist()
        shape((left, top, left + width, top + height), tuple(generator.integers(0, 256, 3).tolist()))
    noisy = np.asarray(picture) + generator.normal(0, 3, (32, 32, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def saved_again(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return Image.open(file).convert("RGB")


def brighter(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(picture).astype(int) + 2, 0, 255).astype(np.uint8))


#: Kind → what makes a near-copy of it.
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved-again": saved_again,
    "mirrored": ImageOps.mirror,
    "shifted-right": lambda picture: Image.fromarray(np.roll(np.asarray(picture), 1, axis=1)),
    "shifted-up": lambda picture: Image.fromarray(np.roll(np.asarray(picture), -1, axis=0)),
    "brighter": brighter,
}
