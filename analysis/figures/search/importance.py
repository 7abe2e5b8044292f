"""Hyperparameter importance."""

from analysis.figures.style import INK, PAGE_WIDTH, PALETTE, Drawing, new_figure
from analysis.results.format import percent
from analysis.results.searches import importance
from analysis.results.trials import Results


def draw(results: Results, width: float = PAGE_WIDTH) -> Drawing | None:
    """The share of the variance of validation accuracy that each hyperparameter explains."""
    table = importance(results)
    if not len(table):
        return None
    reading = (
        f"fANOVA of validation accuracy over n = {table['n'].iloc[0]} trials, mean ± standard deviation over resampled "
        "trials; stopped trials count with the accuracy they had. Hyperparameters that only some trials have are left "
        "out."
    )
    with new_figure(width, 1.3 + 0.26 * len(table), reading, *results.provenance.caveats) as figure:
        axes, rows = figure.subplots(), table.iloc[::-1]
        names, shares, errors = rows["hyperparameter"].str.replace("_", " "), 100 * rows["mean"], 100 * rows["std"]
        axes.barh(names, shares, color=PALETTE[0], height=0.6)
        axes.errorbar(shares, range(len(rows)), xerr=errors, fmt="none", ecolor=INK, capsize=2, linewidth=1)
        axes.set(xlabel="Share of the variance (%)", xlim=(0, None))
        axes.grid(visible=False, axis="y")
    words = ", ".join(f"{row['hyperparameter']} {percent(row['mean'], 0)} %" for row in table.to_dict("records"))
    return Drawing(
        figure,
        "Hyperparameter importance",
        f"Shares of the variance of validation accuracy: {words}.",
        "How much of the differences between trials each hyperparameter explains, with its uncertainty.",
        table,
    )
