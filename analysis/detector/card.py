"""A network's model card: what it is, what it has learned from, how good it is, and what it is not for."""

from typing import Any

import jinja2
import numpy as np
import pandas as pd

from analysis.detector.detector import Detector
from analysis.detector.image_files import told
from analysis.detector.onnx import Agreement
from analysis.pages.tables import TITLES
from analysis.results.format import with_span
from analysis.results.judged import by_class
from sweeps.stats.intervals import intervals
from trainables import MODELS, Recipe
from trainables.record import SCHEMAS, TRIALS
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
    found = detector.found
    entry = MODELS.get(str(found.row["network"]))
    return environment.get_template(_TEMPLATE).render(
        name=name,
        detector=detector,
        found=found,
        row=_known(found.row),
        size=found.image_size,
        provenance=found.results.provenance,
        codecs=told(detector.codecs) or "files whose codecs the record does not tell",
        pretrained=entry.pretrained if entry else "",
        recipe=_recipe(found.row),
        parts=[(TITLES[part], f"{len(found.results.scores.parts[part]):,}") for part in found.results.scores.parts],
        metrics=metric_lines(detector),
        classes=class_lines(detector),
        agreed=agreed,
    )


def _known(row: "pd.Series[Any]") -> dict[str, Any]:
    """The columns of the trial's row, None where it is missing."""
    return {column: None if pd.isna(row[column]) else row[column] for column in SCHEMAS[TRIALS].names}


def _recipe(row: "pd.Series[Any]") -> dict[str, Any]:
    """The hyperparameters that the trial was trained with, by name."""
    return {
        hyperparameter: row[hyperparameter]
        for hyperparameter in Recipe("").hyperparameters()
        if hyperparameter not in ("network", "parent") and pd.notna(row[hyperparameter])
    }


def metric_lines(detector: Detector) -> list[Line]:
    """One line a metric: on each part, its value with 95 % interval, at the threshold of validation."""
    scores = detector.found.results.scores
    columns = [_cells(*scores.of(detector.found.trial, part), detector.threshold) for part in scores.parts]
    return [(METRICS[metric].title, [column[metric] for column in columns]) for metric in METRICS]


def _cells(labels: np.ndarray, logits: np.ndarray, threshold: float) -> dict[str, str]:
    values, spans = judge(labels, logits, threshold), intervals(labels, logits, threshold)
    return {metric: with_span(value, *spans[metric]) for metric, value in values.items()}


def class_lines(detector: Detector) -> list[Line]:
    """One line an object class of the test images: n, accuracy and both recalls. None if there are no classes."""
    frame = by_class(detector.found.results, detector.found.trial)
    return [(row["object_class"], [f"{row['images']:,}", *_class_cells(row)]) for row in frame.to_dict("records")]


def _class_cells(row: dict[str, Any]) -> list[str]:
    return [with_span(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in _OF_CLASSES]
