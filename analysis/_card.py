"""A network's model card: what it is, what it has learned from, how good it is, and what it is not for."""

from typing import Any

import jinja2
import numpy as np
import pandas as pd

from analysis._detector import Detector
from analysis._images import told
from analysis._onnx import Agreement
from analysis._scores import Part
from analysis.metrics import METRICS, judge
from analysis.tables import number
from analysis.uncertainty import intervals
from sweeps._record import TRIAL_SCHEMA
from trainables import MODELS, Recipe

_TEMPLATE = "model_card.md.j2"
_PARTS = {"validation": "validation", "test": "test", "test_clean": "clean test"}
_OF_CLASSES = ("accuracy", "recall_real", "recall_fake")

#: A heading, and its cells.
Line = tuple[str, list[str]]


def card(name: str, detector: Detector, agreed: Agreement) -> str:
    """The card, Markdown, of the files NAME.keras and NAME.onnx."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found = detector.found
    entry = MODELS.get(str(found.row["network"]))
    return environment.get_template(_TEMPLATE).render(
        name=name,
        detector=detector,
        found=found,
        row=_known(found.row),
        size=found.image_size,
        provenance=found.study.provenance,
        codecs=told(detector.codecs) or "files whose codecs the record does not tell",
        pretrained=entry.pretrained if entry else "",
        recipe=_recipe(found.row),
        parts=[(_PARTS[part], f"{len(found.study.scores.parts[part]):,}") for part in found.study.scores.parts],
        metrics=metric_lines(detector),
        classes=class_lines(detector),
        agreed=agreed,
    )


def _known(row: "pd.Series[Any]") -> dict[str, Any]:
    """The columns of the trial's row, None where it is missing."""
    return {column: None if pd.isna(row[column]) else row[column] for column in TRIAL_SCHEMA.names}


def _recipe(row: "pd.Series[Any]") -> dict[str, Any]:
    """The knobs that the trial was trained with, by name."""
    return {knob: row[knob] for knob in Recipe("").knobs() if knob not in ("network", "parent") and pd.notna(row[knob])}


def metric_lines(detector: Detector) -> list[Line]:
    """One line a metric: on each part, its value with 95 % interval, at the threshold of validation."""
    scores = detector.found.study.scores
    columns = [_cells(*scores.of(detector.found.trial, part), detector.threshold) for part in scores.parts]
    return [(METRICS[metric].title, [column[metric] for column in columns]) for metric in METRICS]


def _cells(labels: np.ndarray, logits: np.ndarray, threshold: float) -> dict[str, str]:
    values, spans = judge(labels, logits, threshold), intervals(labels, logits, threshold)
    return {metric: _with_span(value, *spans[metric]) for metric, value in values.items()}


def _with_span(value: float, low: float, high: float) -> str:
    return number(value, 3) + (f" ({low:.3f}–{high:.3f})" if np.isfinite([low, high]).all() else "")


def class_lines(detector: Detector) -> list[Line]:
    """One line an object class of the test images: n, accuracy and both recalls. None if there are no classes."""
    part = detector.found.study.scores.parts.get("test")
    if part is None or not (part.classes != "").any():
        return []
    labels, logits = detector.found.scores("test")
    return [(name or "none", _class_cells(part, name, labels, logits, detector)) for name in np.unique(part.classes)]


def _class_cells(part: Part, name: str, labels: np.ndarray, logits: np.ndarray, detector: Detector) -> list[str]:
    is_it = part.classes == name
    cells = _cells(labels[is_it], logits[is_it], detector.threshold)
    return [f"{is_it.sum():,}", *(cells[metric] for metric in _OF_CLASSES)]
