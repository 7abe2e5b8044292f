"""How far the other networks are from the first: a forest plot, with the verdicts."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from analysis.figures.style import (
    GREY,
    INK,
    MARKERS,
    PAGE_WIDTH,
    PALE,
    PALETTE,
    Drawing,
    add_legend,
    cut_outliers,
    label_rows,
    new_figure,
    row_names,
    rows_height,
)
from analysis.results.compared import Compared
from analysis.results.format import points
from analysis.results.judged import Findings
from analysis.results.trials import Results

#: Verdict → its colour and marker, which tell it in grey print too.
_LOOKS = {
    "ahead": (PALETTE[2], MARKERS[2]),
    "level": (PALETTE[0], MARKERS[1]),
    "behind": (PALETTE[1], MARKERS[4]),
    "undecided": (GREY, MARKERS[0]),
    "": (GREY, MARKERS[0]),
}


def draw(results: Results, findings: Findings, width: float = PAGE_WIDTH) -> Drawing | None:
    """A row a configuration with several seeds: its difference from the first in test accuracy, and its verdict."""
    compared, frame = findings.compared, from_first(findings.compared)
    if not len(frame):
        return None
    first, margin = str(compared.pairs["configuration"].iloc[0]), 100 * compared.margin
    names, note = row_names(frame["configuration"], width), _note(results, compared, first)
    with new_figure(width, 1.5 + rows_height(names), note, *results.provenance.caveats) as figure:
        axes = figure.subplots()
        axes.axvspan(-margin, margin, color=PALE, alpha=0.35, linewidth=0)
        axes.axvline(0, color=INK, linewidth=0.8)
        for place, row in enumerate(frame.to_dict("records")):
            colour, marker = _LOOKS[row["verdict"].partition(",")[0]]
            ends = np.abs(np.array([[row["low"]], [row["high"]]]) - row["difference"])
            axes.errorbar(100 * row["difference"], place, None, 100 * ends, marker, color=colour, markersize=4.5)
        label_rows(axes, names, "From the first (points)")
        add_legend(figure, _legend(frame["verdict"]))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.3g}" if value else "0")
        cut_outliers(axes, 100 * frame[["difference", "low", "high"]].to_numpy(float), 0)
    words = "; ".join(
        f"{row['configuration']} {100 * row['difference']:+.2f} ({100 * row['low']:+.2f} to {100 * row['high']:+.2f}) "
        f"{row['verdict']}".rstrip()
        for row in frame.to_dict("records")
    )
    return Drawing(
        figure,
        "Differences from the first",
        f"Test accuracy less that of {first}, in points: {words}.",
        "Each network's verdict is from its differences from all others, of which this shows the one from the first.",
        frame,
    )


def _legend(verdicts: "pd.Series[str]") -> list[Line2D]:
    """The look of each verdict that there is."""
    present = set(verdicts.str.partition(",")[0]) - {""}
    looks = {name: look for name, look in _LOOKS.items() if name in present}
    return [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, label=name)
        for name, (colour, marker) in looks.items()
    ]


def from_first(compared: Compared) -> pd.DataFrame:
    """One row a configuration after the first: difference, low and high of accuracy, 0–1, from the first; verdict."""
    pairs = compared.pairs
    if not len(pairs):
        return pd.DataFrame()
    rows = pairs[pairs["configuration"] == pairs["configuration"].iloc[0]]
    verdicts = compared.configurations.set_index("configuration")["verdict"]
    return pd.DataFrame(
        {
            "configuration": rows["other"],
            "difference": -rows["difference"],
            "low": -rows["high"],
            "high": -rows["low"],
            "verdict": verdicts.loc[rows["other"]].to_numpy(),
        }
    ).reset_index(drop=True)


def _note(results: Results, compared: Compared, first: str) -> str:
    """How to read the figure, with n."""
    own = compared.of(first)
    verdict = f", itself {own['verdict']}" if own is not None and own["verdict"] else ""
    shown, total = len(compared.configurations), results.ranked["configuration"].nunique()
    some = f" The first {shown} of {total} networks." if shown < total else ""
    return (
        f"Test accuracy less that of the first, {first}{verdict}; n = {results.images('test')} test images. "
        f"Intervals of all {len(compared.pairs)} pairs together ({100 * (1 - compared.level):g} %), over "
        f"{results.scope}.{some} Shaded: the margin of {points(compared.margin)}. Behind: below 0 against some "
        "network, not only the first; level: within the margin against all that are not behind."
    )
