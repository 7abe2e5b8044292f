"""python -m analysis export RESULTS[:TRIAL]: a trained network as files that others can use, with a model card."""

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from analysis.detector.detector import Detector
from analysis.detector.image_files import listed
from analysis.detector.onnx import Agreement, agreement, for_inference, require_packages, to_onnx
from analysis.detector.stored import stored
from analysis.pages.environment import ENVIRONMENT
from analysis.results.format import TITLES, with_span
from analysis.results.judged import by_class
from data_prep import Folder, InputError
from data_prep.decode import decode
from data_prep.escaping import as_markdown
from data_prep.layout.vocabulary import LABEL_NAMES
from data_prep.sources import open_source
from sweeps.stats.intervals import intervals
from trainables import MODELS, Recipe
from trainables.training.metrics import METRICS, judge

_IMAGES = 64
_OF_CLASSES = ("accuracy", "recall_real", "recall_fake")

#: A heading, and its cells.
Line = tuple[str, list[str]]


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
    if trial.row.dropna().get("precision", "float32") != "float32":
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
    folder = Folder(out) if out is not None else trial.folder.folder(f"exports/{name}")
    folder.write_all(files)
    click.echo("\n".join(f"{folder}/{file}" for file in files))
    click.echo(
        f"On {agreed.images} images the ONNX file and the original differ by at most {agreed.probability:.1e} in "
        f"probability and {agreed.logit:.1e} in logits."
    )


def _properties(detector: Detector) -> dict[str, str]:
    """The metadata of an ONNX file: which network it is, and what its logit means."""
    return {
        "network": str(detector.stored.row["network"]),
        "trial": detector.stored.trial,
        "labels": ", ".join(LABEL_NAMES),
        **{name: f"{getattr(detector, name):.9g}" for name in ("threshold", "slope", "offset")},
    }


def sample(image_size: int) -> np.ndarray:
    """Some of the embedded images, (n, image_size, image_size, 3) uint8, REAL and FAKE."""
    source = open_source("sample")
    files = sorted(source.files(), key=lambda file: file.name)
    some = files[:: len(files) // _IMAGES][:_IMAGES]
    return np.stack([decode(source.read(file), image_size)[0] for file in some])


def card(name: str, detector: Detector, agreed: Agreement) -> str:
    """The card, Markdown, of the files NAME.keras and NAME.onnx."""
    stored = detector.stored
    entry, known = MODELS.get(str(stored.row["network"])), stored.row.dropna()
    hyperparameters = [name for name in Recipe("").hyperparameters() if name not in ("network", "parent")]
    return (
        ENVIRONMENT.overlay(keep_trailing_newline=True, finalize=_in_markdown)
        .get_template("model_card.md.j2")
        .render(
            name=name,
            detector=detector,
            stored=stored,
            row={**dict.fromkeys(stored.row.index), **known},
            size=stored.image_size,
            provenance=stored.results.provenance,
            codecs=listed(stored.results.provenance.codecs) or "files of codecs that the record does not name",
            pretrained=entry.pretrained if entry else "",
            recipe={name: known[name] for name in hyperparameters if name in known},
            parts=[(TITLES[part], f"{len(images):,}") for part, images in stored.results.scores.parts.items()],
            metrics=metric_lines(detector),
            classes=class_lines(detector),
            agreed=agreed,
        )
    )


def _in_markdown(value: Any) -> Any:
    return as_markdown(value) if isinstance(value, str) else value


def metric_lines(detector: Detector) -> list[Line]:
    """One line a metric: its value on each part with the 95 % interval, at the threshold from validation."""
    stored, columns = detector.stored, []
    for part in stored.results.scores.parts:
        labels, logits = stored.scores(part)
        ends = intervals(labels, logits, detector.threshold, stored.results.scores.parts[part].clusters)
        values = judge(labels, logits, detector.threshold)
        columns.append({metric: with_span(value, *ends[metric]) for metric, value in values.items()})
    return [(METRICS[metric].title, [column[metric] for column in columns]) for metric in METRICS]


def class_lines(detector: Detector) -> list[Line]:
    """One line an object class of the test images: n, accuracy and both recalls. None if there are no classes."""
    return [
        (
            row["object_class"],
            [f"{row['images']:,}"]
            + [with_span(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in _OF_CLASSES],
        )
        for row in by_class(detector.stored.results, detector.stored.trial).to_dict("records")
        if row["object_class"]
    ]
