"""A network's model card: what it is, what it was trained on, how good it is, and what it is not for."""

import jinja2

from analysis.detector.detector import Detector
from analysis.detector.image_files import listed
from analysis.detector.onnx import Agreement
from analysis.results.format import TITLES, with_span
from analysis.results.judged import by_class
from sweeps.stats.intervals import intervals
from trainables import MODELS, Recipe
from trainables.training.metrics import METRICS, judge

_TEMPLATE = "model_card.md.j2"
_OF_CLASSES = ("accuracy", "recall_real", "recall_fake")

#: A heading, and its cells.
Line = tuple[str, list[str]]


def card(name: str, detector: Detector, agreed: Agreement) -> str:
    """The card, Markdown, of the files NAME.keras and NAME.onnx."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "pages/templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    stored = detector.stored
    entry, known = MODELS.get(str(stored.row["network"])), stored.row.dropna()
    parts = stored.results.scores.parts
    hyperparameters = [name for name in Recipe("").hyperparameters() if name not in ("network", "parent")]
    return environment.get_template(_TEMPLATE).render(
        name=name,
        detector=detector,
        stored=stored,
        row={**dict.fromkeys(stored.row.index), **known},
        size=stored.image_size,
        provenance=stored.results.provenance,
        codecs=listed(detector.codecs) or "files of codecs that the record does not name",
        pretrained=entry.pretrained if entry else "",
        recipe={name: known[name] for name in hyperparameters if name in known},
        parts=[(TITLES[part], f"{len(images):,}") for part, images in parts.items()],
        metrics=metric_lines(detector),
        classes=class_lines(detector),
        agreed=agreed,
    )


def metric_lines(detector: Detector) -> list[Line]:
    """One line a metric: its value on each part with the 95 % interval, at the threshold from validation."""
    stored, columns = detector.stored, []
    for part in stored.results.scores.parts:
        labels, logits = stored.scores(part)
        ends = intervals(labels, logits, detector.threshold)
        values = judge(labels, logits, detector.threshold)
        columns.append({metric: with_span(value, *ends[metric]) for metric, value in values.items()})
    return [(METRICS[metric].title, [column[metric] for column in columns]) for metric in METRICS]


def class_lines(detector: Detector) -> list[Line]:
    """One line an object class of the test images: n, accuracy and both recalls. None if there are no classes."""
    lines = []
    for row in by_class(detector.stored.results, detector.stored.trial).to_dict("records"):
        shares = [with_span(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in _OF_CLASSES]
        lines.append((row["object_class"], [f"{row['images']:,}", *shares]))
    return lines
