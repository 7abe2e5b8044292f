"""Which kinds of images the first trial gets wrong, and which the majority of the networks."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.style import (
    PAGE_WIDTH,
    PALE,
    PALETTE,
    Drawing,
    add_legend,
    label_rows,
    many_or_one,
    new_figure,
)
from analysis.results.format import percent
from analysis.results.judged import Findings
from analysis.results.trials import Results
from data_prep.layout.vocabulary import LABEL_NAMES

_MISTAKES = {
    "recall_real": ("REAL images called FAKE", PALETTE[0], "o"),
    "recall_fake": ("FAKE images called REAL", PALETTE[1], "s"),
}
_KINDS = {"object_class": "object class", "generator": "generator"}
_OF_MAJORITY = (
    "The first trial, and the majority of the networks: an image counts as wrong if at least half of the networks are "
    "wrong about it, and a network is if most of its seeds are."
)


def draw(results: Results, findings: Findings, width: float = PAGE_WIDTH) -> Drawing | None:
    """The share of wrong images by object class, and below that by generator, the hardest for the first trial first.

    The first panel is of that trial; where there are several networks, the second is of their majority.
    """
    if not len(findings.classes):
        return None
    panels = [rows for _, rows in findings.classes.groupby("configuration", sort=False)]
    first = panels[0].sort_values("accuracy")
    first = pd.concat([first[first["generator"] == ""], first[first["generator"] != ""]])
    kinds = " and ".join(title for column, title in _KINDS.items() if (first[column] != "").any())
    columns = many_or_one(width, len(panels))
    shape, height = (len(panels) // columns, columns), 0.9 + (0.7 + 0.24 * len(first)) * len(panels) / columns
    with new_figure(width, height, _note(first), *results.provenance.caveats) as figure:
        all_axes = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, panel in zip(all_axes, panels, strict=True):
            _draw_panel(axes, first[list(_KINDS)].merge(panel))
        add_legend(figure)
    words = "; ".join(
        f"{row['object_class']}{row['generator']} {' and '.join(percent(1 - row[recall], 1) for recall in _MISTAKES)} %"
        for row in first.to_dict("records")
    )
    alt = f"Share of REAL images called FAKE and of FAKE images called REAL by {kinds}, hardest first: {words}."
    caption = _OF_MAJORITY if len(panels) > 1 else "The first trial."
    return Drawing(figure, f"Mistakes by {kinds}", alt, caption, _wrong(findings.classes))


def _wrong(rows: pd.DataFrame) -> pd.DataFrame:
    """What is drawn: the shares of wrong images, with their intervals, instead of recalls."""
    shares = {
        f"wrong_{label}{end}": 1 - rows[f"recall_{label}{other}"]
        for label in ("real", "fake")
        for end, other in {"": "", "_low": "_high", "_high": "_low"}.items()
    }
    return rows[["configuration", *_KINDS, "images", "real_images", "fake_images"]].assign(**shares)


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> None:
    for place, (recall, (label, colour, marker)) in enumerate(_MISTAKES.items()):
        shares, places = 1 - rows[recall].to_numpy(float), np.arange(len(rows)) + 0.3 * place - 0.15
        ends = np.abs(1 - rows[[f"{recall}_high", f"{recall}_low"]].to_numpy(float).T - shares)
        axes.errorbar(shares, places, None, ends, marker, color=colour, markersize=4, linewidth=1.1, label=label)
    axes.set_title(rows["configuration"].iloc[0], loc="left")
    axes.set_xlim(left=0)
    if 0 < (classes := (rows["generator"] == "").sum()) < len(rows):
        axes.axhline(classes - 0.5, color=PALE, linewidth=0.8)
    label_rows(axes, (rows["object_class"] + rows["generator"]).tolist(), "Wrong (%)")


def _note(rows: pd.DataFrame) -> str:
    """On how many images the shares are."""
    counts = {label: rows.loc[rows[f"{label.lower()}_images"] > 0, f"{label.lower()}_images"] for label in LABEL_NAMES}
    sizes = [
        f"{'–'.join(f'{count:,}' for count in sorted({some.min(), some.max()}))} {label}"
        for label, some in counts.items()
        if len(some)
    ]
    return (
        f"On test, at the thresholds from validation; n = {' and '.join(sizes)} images a row, with 95 % intervals over "
        "images; the hardest for the first trial first."
    )
