"""Contact sheets: images with what a network sees in them beside each, and the words that go with a sheet."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import PAGE_WIDTH, new_figure
from analysis.results.format import percent
from data_prep.layout.vocabulary import LABEL_NAMES

#: The kind of a sheet's images, as in the table → the sheet's title.
KINDS = {
    "real_called_fake": "REAL called FAKE, the surest",
    "fake_called_real": "FAKE called REAL, the surest",
    "uncertain": "The most uncertain",
}
_COLUMNS = 2
_PICTURES = ("image", "Grad-CAM", "saliency")
_ROW_HEIGHT = 1.42  # inches
_BRIGHTEST = 99.5  # the percentile of saliency that is drawn as the brightest: single pixels stand out far


@dataclass(frozen=True)
class Pictures:
    """Of k images: `images` (k, side, side, 3) uint8; `grad_cam` (k, m, m) and `saliency` (k, side, side) from 0."""

    images: np.ndarray
    grad_cam: np.ndarray
    saliency: np.ndarray


def draw(frame: pd.DataFrame, pictures: Pictures) -> Figure:
    """One sheet: `frame` has the rows of one kind, in order, with the columns of `explain.SCHEMA`."""
    rows = -(-len(frame) // _COLUMNS)
    with new_figure(PAGE_WIDTH, 0.9 + _ROW_HEIGHT * rows, words(frame)[2]) as figure:
        cells = figure.subfigures(rows, _COLUMNS, squeeze=False).ravel()
        for place, (row, cell) in enumerate(zip(frame.to_dict("records"), cells, strict=False)):
            _draw_image(list(cell.subplots(1, len(_PICTURES))), pictures, place)
            cell.suptitle(_label(row), x=0.02, ha="left", fontsize=7.5)
    return figure


def _draw_image(cell: list[Axes], pictures: Pictures, place: int) -> None:
    """Draw the image, enlarged pixel by pixel; its grey version under Grad-CAM, smoothed; its saliency."""
    image, heat, saliency = pictures.images[place], pictures.grad_cam[place], pictures.saliency[place]
    cell[0].imshow(image, interpolation="nearest")
    cell[1].imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    end, brightest = len(image) - 0.5, np.percentile(saliency, _BRIGHTEST) or 1
    cell[1].imshow(
        heat,
        cmap="magma",
        vmin=0,
        vmax=heat.max() or 1,
        alpha=0.6,
        interpolation="bilinear",
        extent=(-0.5, end, end, -0.5),
    )
    cell[2].imshow(saliency, cmap="magma", vmin=0, vmax=brightest, interpolation="nearest")
    for axes, name in zip(cell, _PICTURES, strict=True):
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(name, fontsize=6.5, labelpad=2)
        axes.spines[:].set_visible(False)


def _label(row: dict[str, Any]) -> str:
    """`#1234 bird, truly REAL, P(FAKE) 99.8 %`."""
    name = " ".join(filter(None, [f"#{row['row']}", row["object_class"]]))
    return f"{name}, truly {LABEL_NAMES[row['label']]}, P(FAKE) {percent(row['probability'], 1)} %"


def words(frame: pd.DataFrame) -> tuple[str, str, str]:
    """A sheet's title; the text that stands for it, image by image; and how to read it, with n and conditions."""
    first, side = frame.iloc[0], frame["map_side"].iloc[0]
    title = f"{KINDS[first['kind']]}: {first['name']}"
    labels = "; ".join(_label(row) for row in frame.to_dict("records"))
    alt = f"Contact sheet of {len(frame)} images, with Grad-CAM and saliency beside each: {labels}."
    bound = percent(1 / (1 + np.exp(-first["threshold"])), 1)
    verdict = "the verdict" if first["kind"] == "uncertain" else "the wrong verdict"
    caption = (
        f"{title}. {len(frame)} of n = {first['images']:,} test images; FAKE is the verdict above a probability of "
        f"{bound} %, the threshold from validation. Above each: row of the test split, object class, truth. "
        f"Grad-CAM: what speaks for {verdict}, at {first['layer']} ({side} x {side} places, smoothed over the image). "
        "Saliency: the pixels that change the logit most (absolute gradient, largest over the channels). Brighter is "
        "more, on a scale of its own for each picture."
    )
    return title, alt, caption
