"""What happens to images on their way to a detector, as functions from images to images.

Every function takes `images` (n, h, w, 3) uint8, RGB, a severity in the unit that `CORRUPTIONS` gives, and `rows` (n,),
the rows of the images in their split; it returns new images of the same shape and type. The same arguments give the
same pixels, whichever other images stand beside them.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

_NOISE_SEED = 0


def jpeg(images: np.ndarray, quality: float, rows: np.ndarray) -> np.ndarray:
    """Write as baseline JPEG of that quality (IJG's scale, 1–100), colour at half resolution (4:2:0), and read."""

    def reopened(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
        return Image.open(file)

    return _map(reopened, images)


def blur(images: np.ndarray, sigma: float, rows: np.ndarray) -> np.ndarray:
    """Convolve each channel with a Gaussian of `sigma` pixels, mirrored at the borders; 0 changes nothing."""
    return _to_bytes(gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0)))


def noise(images: np.ndarray, deviation: float, rows: np.ndarray) -> np.ndarray:
    """Add independent normal noise with this standard deviation, on the scale 0–255; 0 changes nothing.

    An image's noise derives from its row alone, and is scaled by the deviation.
    """
    generators = [np.random.default_rng([_NOISE_SEED, int(row)]) for row in rows]
    added = np.array([generator.standard_normal(images.shape[1:], np.float32) for generator in generators])
    return _to_bytes(images + deviation * added)


def rescale(images: np.ndarray, side: float, rows: np.ndarray) -> np.ndarray:
    """Resample to `side` x `side` pixels and back (bicubic, antialiased); an image's own side changes nothing."""
    (height, width), bicubic = images.shape[1:3], Image.Resampling.BICUBIC
    return _map(lambda image: image.resize((int(side), int(side)), bicubic).resize((width, height), bicubic), images)


def enhance(
    kind: Callable[[Image.Image], ImageEnhance._Enhance], images: np.ndarray, factor: float, rows: np.ndarray
) -> np.ndarray:
    """Multiply by `factor`, cut off at 0 and 255; 1 changes nothing.

    Pillow's Brightness multiplies every value; its Contrast, every value's distance from the image's mean grey.
    """
    return _map(lambda image: kind(image).enhance(factor), images)


def _map(change: Callable[[Image.Image], Image.Image], images: np.ndarray) -> np.ndarray:
    return np.array([np.asarray(change(Image.fromarray(image))) for image in images], np.uint8)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


@dataclass(frozen=True)
class Corruption:
    """A way to corrupt images. `severities` are in `unit`, in the order in which they are drawn.

    The severities of `rescale` are shares of the images' side here, and pixels in `settings`.
    """

    title: str
    unit: str
    apply: Callable[[np.ndarray, float, np.ndarray], np.ndarray]
    severities: tuple[float, ...]


CORRUPTIONS = {
    "jpeg": Corruption("JPEG", "quality", jpeg, (90, 75, 60, 40, 25, 10)),
    "blur": Corruption("Gaussian blur", "σ in pixels", blur, (0.3, 0.5, 0.8, 1.0, 1.5)),
    "noise": Corruption("Gaussian noise", "σ, of 255", noise, (2, 4, 8, 16, 32)),
    "rescale": Corruption("Rescaling and back", "side in pixels", rescale, (24 / 32, 16 / 32, 12 / 32)),
    "brightness": Corruption("Brightness", "factor", partial(enhance, ImageEnhance.Brightness), (0.6, 0.8, 1.2, 1.5)),
    "contrast": Corruption("Contrast", "factor", partial(enhance, ImageEnhance.Contrast), (0.6, 0.8, 1.2, 1.5)),
}
#: The images as they are.
CLEAN = "clean"

#: A corruption's name and its severity; `CLEAN` has 0.
Setting = tuple[str, float]


def settings(side: int) -> list[Setting]:
    """Every setting, clean first, for images of `side` x `side` pixels: `rescale` has sides in pixels."""
    severities = [(name, severity) for name, corruption in CORRUPTIONS.items() for severity in corruption.severities]
    in_pixels = [(name, float(round(value * side)) if name == "rescale" else value) for name, value in severities]
    return [(CLEAN, 0.0), *in_pixels]


def settings_in_order(name: str, side: int) -> list[Setting]:
    """The settings of one corruption as they are drawn, from harmless to harsh, or by factor; clean in its place."""
    own = [setting for setting in settings(side) if setting[0] == name]
    place = sum(value < 1 for _, value in own) if CORRUPTIONS[name].unit == "factor" else 0
    return [*own[:place], (CLEAN, 0.0), *own[place:]]


def corrupted(images: np.ndarray, setting: Setting, rows: np.ndarray) -> np.ndarray:
    """Apply a setting to images (n, h, w, 3) uint8."""
    name, severity = setting
    return images if name == CLEAN else CORRUPTIONS[name].apply(images, severity, rows)
