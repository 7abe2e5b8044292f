"""Small trees of images, to prepare shards from."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def make_tree(root: Path, images: int = 20, splits: tuple[str, ...] = ("train", "test"), seed: int = 0) -> Path:
    """A tree of `images` 32 x 32 JPEGs of noise a split and label. REAL is dark and FAKE is light, to be learnable."""
    generator = np.random.default_rng(seed)
    for split in splits:
        for label, low in (("REAL", 0), ("FAKE", 128)):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(images):
                pixels = generator.integers(low, low + 128, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index:04d}.jpg", quality=75, subsampling="4:2:0")
    return root


def zip_tree(tree: Path, archive: Path) -> Path:
    """The files of a tree in a zip."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(tree))
    return archive
