"""How the first trial does on each kind of object."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.figures.style import PAGE_WIDTH, PALETTE, RC, footer, new_figure, percent_tick
from analysis.results.format import percent
from analysis.results.trials import Results

_LOOKS = {
    "recall_real": ("REAL images called REAL", PALETTE[0], "o"),
    "recall_fake": ("FAKE images called FAKE", PALETTE[1], "s"),
}


def draw(results: Results, frame: pd.DataFrame) -> Figure:
    """The recall of REAL and of FAKE by object class, hardest class first: `frame` is what `judged.by_class` gives."""
    rows = frame.sort_values("accuracy", ignore_index=True)
    with matplotlib.rc_context(RC):
        figure = new_figure(PAGE_WIDTH * 0.8, 1.5 + 0.24 * len(rows))
        axes = figure.subplots()
        for place, (metric, (name, colour, marker)) in enumerate(_LOOKS.items()):
            values = rows[metric].to_numpy(float)
            errors = np.abs(rows[[f"{metric}_low", f"{metric}_high"]].to_numpy(float).T - values)
            look: dict[str, Any] = {"fmt": marker, "color": colour, "markersize": 4, "linewidth": 1.1}
            axes.errorbar(values, np.arange(len(rows)) + 0.3 * place - 0.15, xerr=errors, label=name, **look)
        axes.set_yticks(range(len(rows)), rows["object_class"])
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="Recall (%)")
        axes.xaxis.set_major_formatter(FuncFormatter(percent_tick))
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper left", ncols=2)
        footer(figure, note(results, frame), *results.provenance.caveats)
    return figure


def note(results: Results, frame: pd.DataFrame) -> str:
    """What must be known to read the figure, with n."""
    sizes = "–".join(f"{count:,}" for count in sorted({frame["images"].min(), frame["images"].max()}))
    return (
        f"{frame['configuration'].iloc[0]}, on test, at its threshold from validation; n = {sizes} images a class, "
        "with 95 % intervals (Wilson)."
    )


def text(frame: pd.DataFrame) -> str:
    """The figure in words."""
    told = "; ".join(
        f"{row['object_class']} {percent(row['recall_real'], 1)} and {percent(row['recall_fake'], 1)} %"
        for row in frame.sort_values("accuracy").to_dict("records")
    )
    return f"Recall of REAL and of FAKE by object class, hardest first: {told}."
