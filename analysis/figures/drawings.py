"""Data frames → figures. Nothing here reads or writes files, and nothing is kept between two figures."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import accuracy as _accuracy
from analysis.figures import classes as _classes
from analysis.figures import confusion as _confusion
from analysis.figures import curves as _curves
from analysis.figures import curves_of_scores as _curves_of_scores
from analysis.figures import grid as _grid
from analysis.figures import pairs as _pairs
from analysis.figures import robustness as _robustness_figure
from analysis.figures import robustness_texts as _robustness_texts
from analysis.figures import search as _search_figures
from analysis.results import searches, trials
from analysis.results.format import percent
from analysis.results.judged import Findings
from analysis.results.trials import Results


@dataclass(frozen=True)
class Drawing:
    """A figure, its title, the text that stands for it where it cannot be seen, and how to read it."""

    figure: Figure
    title: str
    alt: str
    caption: str


def figures(results: Results, found: Findings, robust: pd.DataFrame) -> dict[str, Drawing]:
    """File name → drawing, of all that the record has data for: those of a search first.

    `robust` is what `_robustness_table.robustness_table` gives.
    """
    drawings = search_figures(results) if len(searches.searched(results)) else {}
    if len(table := _accuracy.accuracies(results)):
        drawings["accuracy"] = accuracy(results, table)
    if len(found.comparisons):
        drawings["pairs"] = pairs(results, found)
    if results.epochs["trial"].isin(results.trials["trial"]).any():
        drawings["curves"] = curves(results)
    if len(trials.grid(results.trials)):
        drawings["grid"] = grid(results)
    if trials.confusions(results):
        drawings["confusion"] = confusion(results)
    if _curves_of_scores.first_of_each(results, most=1):
        drawings |= score_figures(results)
    if len(found.classes):
        drawings["classes"] = classes(results, found)
    told = _robustness_texts.texts(results, robust)
    if told and _robustness_figure.has_curves(robust):
        drawings["robustness"] = Drawing(
            _robustness_figure.draw(results, robust),
            "Robustness",
            f"Accuracy and AUC against the degree of each corruption. {told[0]}",
            " ".join(told),
        )
    return drawings


def accuracy(results: Results, table: pd.DataFrame) -> Drawing:
    """Accuracy on test, with intervals: `table` is what `_accuracy.accuracies` gives."""
    rows = table[table["part"] == "test"].head(12)
    told = "; ".join(f"{row['configuration']} {percent(row['mean'])} %" for row in rows.to_dict("records"))
    return Drawing(
        _accuracy.draw(results, table),
        "Accuracy on test",
        f"Test accuracy with intervals: {told}.",
        "Filled, all test images; hollow, those that do not also stand in train; ticks, single seeds; dotted, what a "
        "linear probe on colour and spectrum reaches.",
    )


def pairs(results: Results, found: Findings) -> Drawing:
    """Which configurations can be told apart."""
    apart = int(found.comparisons["told_apart"].sum())
    return Drawing(
        _pairs.draw(results, found),
        "What can be told apart",
        f"Matrix of differences in test accuracy; {apart} of {len(found.comparisons)} pairs are told apart.",
        "How far the row is ahead of the column; in colour where that is more than noise.",
    )


def score_figures(results: Results) -> dict[str, Drawing]:
    """File name → drawing, of the ROC and the reliability diagrams."""
    first = results.ranked.iloc[0]
    return {
        "roc": Drawing(
            _curves_of_scores.draw_roc(results),
            "ROC",
            f"ROC curves on test; the first, {first['configuration']}, has AUC {first['test_auc']:.4f}.",
            "How many FAKE images are found at how many false alarms; on the right, at few.",
        ),
        "reliability": Drawing(
            _curves_of_scores.draw_reliability(results),
            "Reliability of the probabilities",
            "Share of FAKE against predicted probability of the first configurations, raw and calibrated.",
            "Of images with about the same probability, how many are FAKE; below, how many images have it.",
        ),
    }


def classes(results: Results, found: Findings) -> Drawing:
    """Recall by object class."""
    text = _classes.text(found.classes)
    return Drawing(
        _classes.draw(results, found.classes), "By object class", text, "The first configuration, class by class."
    )


def search_figures(results: Results) -> dict[str, Drawing]:
    """File name → drawing, of a search that has ended trials."""
    found = searches.searched(results)
    best = percent(found["best_so_far"].iloc[-1])
    stopped = int((found["status"] == "stopped").sum())
    drawings = {
        "search_history": Drawing(
            _search_figures.history(results),
            "How the search got on",
            f"Validation accuracy of {len(found)} trials in their order; the best reaches {best} %.",
            "Each trial's validation accuracy, and the best so far, against trials and against the training spent.",
        ),
        "search_rungs": Drawing(
            _search_figures.rungs(results),
            "Who was stopped when",
            f"A line a trial to the epoch after which it ended; {stopped} of {len(found)} were stopped early.",
            f"How far each trial got; {stopped} of {len(found)} were stopped early.",
        ),
    }
    if found["validation_accuracy"].notna().any() and searches.hyperparameters(results):
        drawings["search_slices"] = Drawing(
            _search_figures.slices(results),
            "Hyperparameter by hyperparameter",
            f"Validation accuracy of {len(found)} trials against each of {len(searches.hyperparameters(results))} hyperparameters.",
            "Validation accuracy against each hyperparameter, in the trials in which it matters.",
        )
        drawings["search_parallel"] = Drawing(
            _search_figures.parallel(results),
            "Trials as lines through their hyperparameters",
            f"Parallel coordinates of {len(found)} trials, coloured by validation accuracy.",
            "A line a trial through the values of its hyperparameters; the brightest lines are the most accurate trials.",
        )
    table = searches.importance(results)
    if len(table):
        told = ", ".join(f"{row['hyperparameter']} {percent(row['mean'], 0)} %" for row in table.to_dict("records"))
        drawings["search_importance"] = Drawing(
            _search_figures.importances(results),
            "What the hyperparameters matter",
            f"Shares of the variance of validation accuracy: {told}.",
            "How much of the differences between trials each hyperparameter explains, with its uncertainty.",
        )
    if len(searches.front(results)):
        names = ", ".join(searches.front(results)["configuration"])
        drawings["search_pareto"] = Drawing(
            _search_figures.pareto(results),
            "Pareto front",
            f"Validation accuracy against {results.provenance.search['against']}; on the front: {names}.",
            f"No trial is better in both than one on the front: {names}.",
        )
    return drawings


def curves(results: Results) -> Drawing:
    """Accuracy and loss of every trial against epoch."""
    drawn = results.trials[results.trials["trial"].isin(results.epochs["trial"])]
    best = ""
    if len(results.ranked):
        first = results.ranked.iloc[0]
        best = f" The first on validation, {first['configuration']}, reaches {percent(first['validation_accuracy'])} %."
    return Drawing(
        _curves.draw(results),
        "Curves",
        f"Accuracy and loss of {len(drawn)} trials against epoch: {', '.join(drawn['configuration'].unique())}.{best}",
        "Accuracy and loss against epoch, validation solid, training dashed. Training values are means over an epoch "
        "in which the weights change, and so may lie below validation.",
    )


def grid(results: Results) -> Drawing:
    """Validation accuracy by trunk and head."""
    return Drawing(_grid.draw(results), "Trunk x head", _grid.text(results), _grid.note(results))


def confusion(results: Results) -> Drawing:
    """The confusion matrices of the best and the worst ranked trial on test."""
    texts = " ".join(_confusion.texts(results))
    return Drawing(
        _confusion.draw(results), "Confusion matrices", f"Confusion matrices on the test split. {texts}", texts
    )
