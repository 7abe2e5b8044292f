"""What the figures of a search share: how a trial looks by its end, and how its values are written."""

from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from analysis.figures.style import PALE, PALETTE
from analysis.results.trials import Results

ACCURACY = "Validation accuracy (%)"
#: A trial's look → how it is drawn.
LOOKS: dict[str, dict[str, Any]] = {
    "finished": {"color": PALETTE[0], "marker": "o", "label": "finished"},
    "stopped": {"color": PALETTE[1], "marker": "X", "label": "stopped"},
    "no result": {"color": PALE, "marker": ".", "label": "collapsed, diverged or failed"},
}
#: From so many trials on, a mark each would hide the others.
MANY = 500


def looks(frame: pd.DataFrame) -> "pd.Series[str]":
    """The look of each trial, a name in LOOKS."""
    return frame["status"].where(frame["status"].isin(["finished", "stopped"]), "no result")


def legend_handles(frame: pd.DataFrame) -> list[Line2D]:
    """An entry of the legend for each look that a trial has."""
    present = set(looks(frame))
    return [Line2D([], [], linestyle="", **style) for look, style in LOOKS.items() if look in present]


def footer(results: Results, frame: pd.DataFrame) -> str:
    """How to read a figure of the trials in `frame`, with n."""
    search = results.provenance.search
    epochs = search.get("epochs", 1)
    limit = f"at most {epochs} epoch{'s' * (epochs > 1)} a trial"
    return (
        f"n = {len(frame):,} trials ({search.get('method')}, stopping {search.get('stopping')}, {limit}). "
        f"Validation: n = {results.images('validation')} images."
    )


def written(value: Any) -> str:
    """A hyperparameter's value in few letters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
