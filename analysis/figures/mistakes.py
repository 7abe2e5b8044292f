"""A contact sheet of the test images that most networks get wrong, with what the networks say of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import SubFigure

from analysis.figures.style import PAGE_WIDTH, Drawing, hide_frame, many_or_one, new_figure
from analysis.results.format import percent
from analysis.results.judged import Findings
from analysis.results.trials import Results

_KINDS = ("REAL called FAKE", "FAKE called REAL")
_COPIES = {"exact": "exact copy", "near": "near-copy"}
_ACROSS, _MOST = 3, 12  # images in a row of a journal's column, and of each kind
_ROW_HEIGHT, _LINE_HEIGHT, _TITLE_HEIGHT = 1.37, 0.125, 0.25  # inches
_MOST_CHARACTERS = 20  # that fit beside the next image's
_NOTE = (
    "Above each image: its row in the test split and object class. Below: how many networks are wrong, of each most "
    "of its seeds; the mean of their calibrated probabilities of FAKE{}. Those that most networks get wrong come "
    "first, and of these the surest."
)
_KNOWN = {"generator": "; generator", "duplicate": "; copies in train or validation"}


def shown(findings: Findings) -> pd.DataFrame:
    """The rows of `Findings.mistakes` that are on the sheet: the first of each label, REAL first."""
    frame = findings.mistakes
    return frame.groupby("label").head(_MOST).sort_values("label", kind="stable") if len(frame) else frame


def draw(
    results: Results, findings: Findings, pictures: Mapping[int, np.ndarray], width: float = PAGE_WIDTH
) -> Drawing | None:
    """The sheet; None without mistakes, or where a picture is not at hand. `pictures` are (side, side, 3), by row."""
    frame = shown(findings)
    if not len(frame) or not set(frame["row"]) <= set(pictures):
        return None
    groups = {int(label): group.to_dict("records") for label, group in frame.groupby("label")}
    across = many_or_one(width, 2) * _ACROSS
    rows = [-(-len(group) // across) for group in groups.values()]
    row_height = _ROW_HEIGHT + _LINE_HEIGHT * max(len(_lines(row)) for row in frame.to_dict("records"))
    heights = [_TITLE_HEIGHT + row_height * count for count in rows]
    known = "".join(words for column, words in _KNOWN.items() if (frame[column] != "").any())
    with new_figure(width, 0.5 + sum(heights), _NOTE.format(known), *results.provenance.caveats, grid=False) as figure:
        cells = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
        for cell, (label, group), count in zip(cells, groups.items(), rows, strict=True):
            total = (findings.mistakes["label"] == label).sum()
            cell.suptitle(f"{_KINDS[label]} by most networks: {len(group)} of {total:,}", x=0.01, ha="left", fontsize=9)
            _draw_group(cell, group, pictures, (count, across))
    names = "; ".join(
        f"{_name(row)}, {_KINDS[row['label']]}, {', '.join(_lines(row))}" for row in frame.to_dict("records")
    )
    return Drawing(
        figure,
        "Mistakes of most networks",
        f"Contact sheet of {len(frame)} test images: {names}.",
        words(results, findings),
        frame,
    )


def _draw_group(
    cell: SubFigure, group: list[dict[str, Any]], pictures: Mapping[int, np.ndarray], shape: tuple[int, int]
) -> None:
    """Draw the images of one label, enlarged pixel by pixel, in rows and columns."""
    all_axes = cell.subplots(*shape, squeeze=False).ravel()
    for axes, row in zip(all_axes, group, strict=False):
        axes.imshow(pictures[row["row"]], interpolation="nearest")
        axes.set_title(_name(row), loc="left", fontsize=7, pad=2)
        axes.set_xlabel("\n".join(_lines(row)), loc="left", fontsize=7, labelpad=2)
    for place, axes in enumerate(all_axes):
        axes.set(xticks=[], yticks=[], visible=place < len(group))
        hide_frame(axes)


def _name(row: dict[str, Any]) -> str:
    """`#1234 bird`."""
    return f"#{row['row']} {row['object_class']}".strip()[:_MOST_CHARACTERS]


def _lines(row: dict[str, Any]) -> list[str]:
    """`12 of 12 wrong`, `P(FAKE) 98.7 %`, and what is known of the image's generator and of its copies."""
    said = [f"{row['networks_wrong']} of {row['networks']} wrong", f"P(FAKE) {percent(row['probability'], 1)} %"]
    return [*said, *filter(None, (row["generator"][:_MOST_CHARACTERS], _COPIES.get(row["duplicate"])))]


def words(results: Results, findings: Findings) -> str:
    """How many test images at least half of the networks get wrong, and all of them; empty if there is none."""
    frame = findings.mistakes
    if not len(frame):
        return ""
    labels, networks = results.scores.parts["test"].labels, int(frame["networks"].iloc[0])
    counts = [f"{(frame['label'] == label).sum():,} of {(labels == label).sum():,}" for label in (0, 1)]
    who = f"At least half of the {networks} networks are" if networks > 1 else "The network is"
    all_wrong = f"; all {networks} are on {(frame['networks_wrong'] == networks).sum():,}" if networks > 1 else ""
    return (
        f"{who} wrong on {len(frame):,} of {len(labels):,} test images, {counts[0]} REAL and {counts[1]} FAKE "
        f"ones{all_wrong}. Of the {len(frame):,}, {(frame['duplicate'] != '').sum():,} have copies, exact or near, in "
        "train or validation. tables/mistakes.csv lists them."
    )
