"""How the first trial does on each kind of object."""

import numpy as np

from analysis.figures.style import (
    PAGE_WIDTH,
    PALETTE,
    Drawing,
    add_legend,
    label_rows,
    new_figure,
)
from analysis.results.format import percent
from analysis.results.judged import Findings
from analysis.results.trials import Results

_RECALLS = {
    "recall_real": ("REAL images called REAL", PALETTE[0], "o"),
    "recall_fake": ("FAKE images called FAKE", PALETTE[1], "s"),
}


def draw(results: Results, findings: Findings, width: float = PAGE_WIDTH) -> Drawing | None:
    """The recall of REAL and of FAKE of the first trial by object class, hardest class first."""
    if not len(findings.classes):
        return None
    rows = findings.classes.sort_values("accuracy", ignore_index=True)
    sizes = "–".join(f"{count:,}" for count in sorted({rows["images"].min(), rows["images"].max()}))
    note = (
        f"{rows['configuration'].iloc[0]}, on test, at its threshold from validation; n = {sizes} images a class, REAL "
        "and FAKE together, with 95 % intervals (Wilson)."
    )
    with new_figure(width, 1.5 + 0.24 * len(rows), note, *results.provenance.caveats) as figure:
        axes = figure.subplots()
        for place, (metric, (label, colour, marker)) in enumerate(_RECALLS.items()):
            recalls, places = rows[metric].to_numpy(float), np.arange(len(rows)) + 0.3 * place - 0.15
            errors = np.abs(rows[[f"{metric}_low", f"{metric}_high"]].to_numpy(float).T - recalls)
            axes.errorbar(recalls, places, None, errors, marker, color=colour, markersize=4, linewidth=1.1, label=label)
        label_rows(axes, rows["object_class"], "Recall (%)")
        add_legend(figure)
    words = "; ".join(
        f"{row['object_class']} {percent(row['recall_real'], 1)} and {percent(row['recall_fake'], 1)} %"
        for row in rows.to_dict("records")
    )
    alt = f"Recall of REAL and of FAKE by object class, hardest first: {words}."
    return Drawing(figure, "By object class", alt, "The first trial, class by class.", rows)
