"""What happens to images on their way to a detector, as functions from images to images.

Every function takes `images` (n, h, w, 3) uint8, RGB, a severity in the unit that `CORRUPTIONS` gives, and `rows` (n,),
which image of its split each is; and returns new images of the same shape and kind. The same arguments give the same
pixels, whichever other images stand beside them.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

_NOISE_SEED = 0
_MOST_PIXEL = 255

#: Images, severity and rows in, images out.
Apply = Callable[[np.ndarray, float, np.ndarray], np.ndarray]


def jpeg(images: np.ndarray, quality: float, rows: np.ndarray) -> np.ndarray:
    """Written as baseline JPEG of that quality (IJG's scale, 1–100), colour at half resolution (4:2:0), and read."""
    return _each(images, lambda image: _reopened(image, int(quality)))


def _reopened(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return Image.open(file)


def blur(images: np.ndarray, sigma: float, rows: np.ndarray) -> np.ndarray:
    """Each channel convolved with a Gaussian of `sigma` pixels, what lies outside mirrored; 0 changes nothing."""
    return _to_bytes(gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0)))


def noise(images: np.ndarray, deviation: float, rows: np.ndarray) -> np.ndarray:
    """Plus independent normal noise with this standard deviation, on the scale 0–255; 0 changes nothing.

    An image's noise derives from its row alone; it is the same at every deviation, but for its size.
    """
    shape = images.shape[1:]
    drawn = [np.random.default_rng([_NOISE_SEED, int(row)]).standard_normal(shape, np.float32) for row in rows]
    return _to_bytes(images + deviation * np.stack(drawn)) if len(images) else images


def rescale(images: np.ndarray, side: float, rows: np.ndarray) -> np.ndarray:
    """Resampled to `side` x `side` pixels and back (bicubic, antialiased); its own side changes nothing."""
    height, width = images.shape[1:3]
    return _each(images, lambda image: _resized(_resized(image, (int(side), int(side))), (width, height)))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC)


def brightness(images: np.ndarray, factor: float, rows: np.ndarray) -> np.ndarray:
    """Every value times `factor`, cut off at 255; 1 changes nothing."""
    return _each(images, lambda image: ImageEnhance.Brightness(image).enhance(factor))


def contrast(images: np.ndarray, factor: float, rows: np.ndarray) -> np.ndarray:
    """Every value's distance from the image's mean grey times `factor`, cut off at 0 and 255; 1 changes nothing."""
    return _each(images, lambda image: ImageEnhance.Contrast(image).enhance(factor))


def _each(images: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    changed = np.empty_like(images)
    for place, image in enumerate(images):
        changed[place] = np.asarray(change(Image.fromarray(image)))
    return changed


def _to_bytes(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.clip(np.rint(values), 0, _MOST_PIXEL).astype(np.uint8)
    return found


@dataclass(frozen=True)
class Corruption:
    """A way to spoil images. `severities` are in `unit`, in the order in which they are drawn.

    Those of `rescale` are shares of the images' side here, and pixels in `settings`.
    """

    title: str
    unit: str
    apply: Apply
    severities: tuple[float, ...]


CORRUPTIONS = {
    "jpeg": Corruption("JPEG", "quality", jpeg, (90, 75, 60, 40, 25, 10)),
    "blur": Corruption("Gaussian blur", "σ in pixels", blur, (0.3, 0.5, 0.8, 1.0, 1.5)),
    "noise": Corruption("Gaussian noise", "σ, of 255", noise, (2, 4, 8, 16, 32)),
    "rescale": Corruption("Rescaling and back", "side in pixels", rescale, (24 / 32, 16 / 32, 12 / 32)),
    "brightness": Corruption("Brightness", "factor", brightness, (0.6, 0.8, 1.2, 1.5)),
    "contrast": Corruption("Contrast", "factor", contrast, (0.6, 0.8, 1.2, 1.5)),
}
#: The images as they are.
CLEAN = "clean"

#: A corruption's name and its severity; `CLEAN` has 0.
Setting = tuple[str, float]


def settings(side: int) -> list[Setting]:
    """All there are, clean first, for images of `side` x `side` pixels: `rescale` has sides in pixels."""
    found = [(name, value) for name, corruption in CORRUPTIONS.items() for value in corruption.severities]
    return [
        (CLEAN, 0.0),
        *((name, float(round(value * side)) if name == "rescale" else value) for name, value in found),
    ]


def order(name: str, side: int) -> list[Setting]:
    """The settings of one corruption as they are drawn, from harmless to harsh, or by factor; clean in its place."""
    own = [setting for setting in settings(side) if setting[0] == name]
    place = sum(value < 1 for _, value in own) if CORRUPTIONS[name].unit == "factor" else 0
    return [*own[:place], (CLEAN, 0.0), *own[place:]]


def corrupted(images: np.ndarray, setting: Setting, rows: np.ndarray) -> np.ndarray:
    """The images (n, h, w, 3) uint8 as a setting leaves them."""
    name, severity = setting
    return images if name == CLEAN else CORRUPTIONS[name].apply(images, severity, rows)
