"""Make the embedded sample anew: python -m data_prep.sample.make [FILE]

REAL are patches of photographs, FAKE the same patches passed through a small autoencoder whose up-convolutions leave
the periodic traces that generators leave (Zhang, Karaman & Chang 2019, "Detecting and simulating artifacts in GAN fake
images"; Durall, Keuper & Keuper 2020, "Watch your up-convolution"). Seeded; about two minutes on one core.
"""

import io
import os
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops
from PIL import Image

# Photographs of real scenes that ship inside PyPI wheels: name → package, file. Their licences are in README.md.
PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "officer": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}

# Along its longer side each photograph is divided between the splits: no two splits share a pixel.
REGIONS = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
PATCHES = {"train": 215, "validation": 29, "test": 43}  # a photograph and label
GAP = 16  # pixels left unused between two regions

SIZE, MARGIN = 32, 8  # the autoencoder sees a margin, so that its own borders do not show in the patch
CROPS = (48, 80)  # side of a crop before it is resampled to SIZE + 2 MARGIN, pixels
LEAST_CONTRAST = 10.0  # standard deviation of a patch's grey values: a patch of plain sky shows nothing

# These set the difficulty: a wider code or more weight on the spectrum makes better fakes.
CODE_CHANNELS, LEVELS, SPECTRUM_WEIGHT = 16, 3, 0.1
TRAINING_CROPS, EPOCHS, BATCH = 1_000, 6, 32
SEED = 0


def region(photograph: Image.Image, split: str) -> Image.Image:
    """The part of a photograph that belongs to a split."""
    start, end = REGIONS[split]
    width, height = photograph.size
    longer = max(width, height)
    first, last = round(start * longer) + (GAP if start else 0), round(end * longer)
    return photograph.crop((first, 0, last, height) if width >= height else (0, first, width, last))


def crop(photograph: Image.Image, generator: np.random.Generator) -> np.ndarray:
    """A random square of the photograph, resampled to (48, 48, 3) uint8, half of the time mirrored."""
    while True:
        side = int(generator.integers(CROPS[0], min(CROPS[1], *photograph.size) + 1))
        left, top = (int(generator.integers(0, length - side + 1)) for length in photograph.size)
        square = photograph.crop((left, top, left + side, top + side)).resize(
            (SIZE + 2 * MARGIN,) * 2, Image.Resampling.LANCZOS
        )
        if generator.random() < 0.5:
            square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(square)
        if without_margin(pixels).mean(2).std() > LEAST_CONTRAST:
            return pixels


def crops(split: str, count: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """`count` crops of each photograph: name → (count, 48, 48, 3) uint8."""
    regions = {
        name: region(Image.open(files(package) / file).convert("RGB"), split)  # type: ignore[arg-type]
        for name, (package, file) in PHOTOGRAPHS.items()
    }
    return {name: np.stack([crop(part, generator) for _ in range(count)]) for name, part in regions.items()}


def without_margin(images: np.ndarray) -> np.ndarray:
    """(…, 48, 48, 3) → (…, 32, 32, 3)."""
    return images[..., MARGIN:-MARGIN, MARGIN:-MARGIN, :]


def autoencoder() -> keras.Model:
    """From (48, 48, 3) to (32, 32, 3), both 0–1, through a code an eighth as large and three up-convolutions."""
    return keras.Sequential(
        [
            keras.Input((SIZE + 2 * MARGIN, SIZE + 2 * MARGIN, 3)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            *[layers.Conv2D(32, 3, strides=2, padding="same", activation="relu") for _ in range(LEVELS)],
            layers.Conv2D(CODE_CHANNELS, 1),  # 6 x 6 x 16
            *[
                layers.Conv2DTranspose(filters, 3, strides=2, padding="same", activation="relu")
                for filters in (*[32] * (LEVELS - 1), 16)
            ],
            layers.Conv2D(3, 3, padding="same", activation="sigmoid"),
            layers.Cropping2D(MARGIN),
        ]
    )


def loss(truth: keras.KerasTensor, output: keras.KerasTensor) -> keras.KerasTensor:
    """Mean absolute error of the pixels and of the log power spectrum, so that blur is not what gives a fake away."""
    spectra = ops.mean(ops.abs(log_spectrum(truth) - log_spectrum(output)))
    return ops.mean(ops.abs(truth - output)) + SPECTRUM_WEIGHT * spectra


def log_spectrum(images: keras.KerasTensor) -> keras.KerasTensor:
    """The radial log power spectrum of the grey images: (batch, 32, 32, 3) → (batch, 16).

    Ring r is the mean power of the frequencies whose distance from zero is between r and r + 1.
    """
    grey = ops.mean(images, -1)
    real, imaginary = ops.fft2((grey, ops.zeros_like(grey)))
    power = ops.reshape(real**2 + imaginary**2, (-1, SIZE * SIZE))  # (batch, 1024)
    axis = np.fft.fftfreq(SIZE) * SIZE
    radius = np.hypot(*np.meshgrid(axis, axis)).astype(int).clip(0, 15).ravel()
    rings = np.stack([(radius == ring) / (radius == ring).sum() for ring in range(16)], 1).astype(np.float32)
    return ops.log(ops.matmul(power, rings) + 1e-2)


def make() -> dict[str, np.ndarray]:
    """The sample's images: path → (32, 32, 3) uint8. The autoencoder is trained on the training regions only."""
    keras.utils.set_random_seed(SEED)
    generator, model = np.random.default_rng(SEED), autoencoder()
    training = np.concatenate(list(crops("train", TRAINING_CROPS, generator).values())) / np.float32(255)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * (len(training) // BATCH))
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(training, without_margin(training), batch_size=BATCH, epochs=EPOCHS, verbose=2)
    images: dict[str, np.ndarray] = {}
    for split, count in PATCHES.items():
        for name, patches in crops(split, count, generator).items():
            fakes = np.rint(model.predict(patches / np.float32(255), verbose=0) * 255).astype(np.uint8)
            images |= {
                f"{split}/{label}/{name}-{index:03d}.jpg": pixels
                for label, labelled in (("REAL", without_margin(patches)), ("FAKE", fakes))
                for index, pixels in enumerate(labelled)
            }
    return images


def write(images: dict[str, np.ndarray], path: Path) -> None:
    """Write a zip that depends on nothing but the images: encoded as CIFAKE's files, sorted, stored, without dates."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(images):
            file = io.BytesIO()
            Image.fromarray(images[name]).save(file, "JPEG", quality=75, subsampling="4:2:0")
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), file.getvalue())


if __name__ == "__main__":
    write(make(), Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "sample.zip"))
