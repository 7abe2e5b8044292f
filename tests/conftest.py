"""What the tests share: small image trees, the real CIFAKE where it is at hand, and commands as a user runs them."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent

#: The columns of a record that are never twice the same.
TIMES = ["wall_seconds", "seconds_per_image"]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cifake() -> Path:
    """Kaggle's archive of CIFAKE, named by the environment variable CIFAKE_ZIP."""
    return file_named_by("CIFAKE_ZIP", "needs the real CIFAKE: set CIFAKE_ZIP to Kaggle's archive")


@pytest.fixture(scope="session")
def imagenet() -> Path:
    """Keras's file of VGG16's ImageNet weights, named by the environment variable VGG16_WEIGHTS."""
    return file_named_by("VGG16_WEIGHTS", "needs VGG16's ImageNet weights: set VGG16_WEIGHTS to Keras's file")


def file_named_by(variable: str, otherwise: str) -> Path:
    """The file that an environment variable names; without it the test is skipped, and says so."""
    path = Path(os.environ.get(variable, "no such file"))
    if not path.is_file():
        pytest.skip(otherwise)
    return path.resolve()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `python *arguments` in an empty folder, as a user would; returns exit code, output and errors."""
    return lambda *arguments, **options: run_python(*arguments, cwd=options.pop("cwd", tmp_path), **options)


def run_python(*arguments: object, cwd: Path, **options: object) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=600, check=False, **options)  # type: ignore[call-overload,no-any-return]


def copy_of_the_code(folder: Path, files: dict[str, str], lines: str) -> dict[str, Any]:
    """A copy of the packages in `folder`, with more files in trainables and more lines of MODELS: options for a run."""
    for package in ("data_prep", "trainables", "sweeps", "analysis", "tests"):
        shutil.copytree(ROOT / package, folder / package)
    for name, content in files.items():
        (folder / "trainables" / name).write_text(content)
    with (folder / "trainables" / "__init__.py").open("a") as table:
        table.write(lines)
    return {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(folder)}}


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """The one sentence of a command that was given wrong input."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stdout + done.stderr
    return lines[0].removeprefix("error: ")


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
