"""python -m analysis export RESULTS[:TRIAL]: a trained network as files that others can use, with a model card."""

import tempfile
from pathlib import Path

import click
import numpy as np

from analysis.detector.card import card
from analysis.detector.detector import Detector
from analysis.detector.onnx import agreement, for_inference, require_packages, to_onnx
from analysis.detector.stored import stored
from data_prep import Folder, InputError
from data_prep.decode import decode
from data_prep.layout import LABEL_NAMES
from data_prep.sources import open_source

_IMAGES = 64


@click.command()
@click.argument("target", metavar="RESULTS[:TRIAL]")
@click.option("--out", help="The folder to write to. Default: exports/NAME in the record's own.")
def main(target: str, out: str | None) -> None:
    """Write a network of the record RESULTS, such as results/age, as NAME.keras and NAME.onnx, with a model card.

    TRIAL is a network, or a trial's identity; without it the best trial on validation is taken. The ONNX file is run on
    some images and compared with the original: it is written only if both agree.
    """
    require_packages()
    trial = stored(target)
    if trial.row["precision"] != "float32":
        raise InputError(
            f"{trial.name} computes in {trial.row['precision']}, and only networks in float32 are exported; export one "
            "that was trained with the precision float32."
        )
    detector = Detector.of(trial)
    name = f"{trial.row['network']}-{trial.trial}"
    network = for_inference(trial.network)
    onnx = to_onnx(network, _properties(detector))
    agreed = agreement(trial.network, onnx, sample(trial.image_size))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "network.keras")
        network.save(path, include_optimizer=False)
        files = {f"{name}.keras": path.read_bytes(), f"{name}.onnx": onnx}
    files["README.md"] = card(name, detector, agreed).encode()
    folder = Folder(out) if out else trial.folder.folder(f"exports/{name}")
    for file, content in files.items():
        folder.write_bytes(file, content)
        click.echo(f"{folder}/{file}")
    click.echo(
        f"On {agreed.images} images the ONNX file and the original differ by at most {agreed.probability:.1e} in "
        f"probability and {agreed.logit:.1e} in logits."
    )


def _properties(detector: Detector) -> dict[str, str]:
    """The metadata of an ONNX file: which network it is, and what its logit means."""
    trial = detector.stored
    numbers = {"threshold": detector.threshold, "slope": detector.slope, "offset": detector.offset}
    origin = {"network": str(trial.row["network"]), "trial": trial.trial, "labels": ", ".join(LABEL_NAMES)}
    return origin | {name: f"{value:.9g}" for name, value in numbers.items()}


def sample(image_size: int) -> np.ndarray:
    """Some of the embedded images, (n, image_size, image_size, 3) uint8, REAL and FAKE."""
    source = open_source("sample")
    files = sorted(source.files(), key=lambda file: file.name)
    some = files[:: len(files) // _IMAGES][:_IMAGES]
    return np.stack([decode(source.read(file), image_size)[0] for file in some])
