"""Data frames → figures. Nothing here reads or writes files, and nothing is kept between two figures."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from analysis import (
    _accuracy,
    _classes,
    _confusion,
    _curves,
    _curves_of_scores,
    _grid,
    _pairs,
    _robustness_figure,
    _robustness_texts,
    _search_figures,
    frames,
    searches,
)
from analysis.frames import Study
from analysis.judged import Findings
from analysis.tables import percent


@dataclass(frozen=True)
class Drawing:
    """A figure, its title, the text that stands for it where it cannot be seen, and how to read it."""

    figure: Figure
    title: str
    alt: str
    caption: str


def figures(study: Study, found: Findings, robust: pd.DataFrame) -> dict[str, Drawing]:
    """File name → drawing, of all that the record has data for: those of a search first.

    `robust` is what `_robustness_table.robustness_table` gives.
    """
    drawings = search_figures(study) if len(searches.searched(study)) else {}
    if len(table := _accuracy.accuracies(study)):
        drawings["accuracy"] = accuracy(study, table)
    if len(found.comparisons):
        drawings["pairs"] = pairs(study, found)
    if study.epochs["trial"].isin(study.results["trial"]).any():
        drawings["curves"] = curves(study)
    if len(frames.grid(study.results)):
        drawings["grid"] = grid(study)
    if frames.confusions(study):
        drawings["confusion"] = confusion(study)
    if _curves_of_scores.first_of_each(study, most=1):
        drawings |= score_figures(study)
    if len(found.classes):
        drawings["classes"] = classes(study, found)
    told = _robustness_texts.texts(study, robust)
    if told and _robustness_figure.has_curves(robust):
        drawings["robustness"] = Drawing(
            _robustness_figure.draw(study, robust),
            "Robustness",
            f"Accuracy and AUC against the degree of each corruption. {told[0]}",
            " ".join(told),
        )
    return drawings


def accuracy(study: Study, table: pd.DataFrame) -> Drawing:
    """Accuracy on test, with intervals: `table` is what `_accuracy.accuracies` gives."""
    rows = table[table["part"] == "test"].head(12)
    told = "; ".join(f"{row['configuration']} {percent(row['mean'])} %" for row in rows.to_dict("records"))
    return Drawing(
        _accuracy.draw(study, table),
        "Accuracy on test",
        f"Test accuracy with intervals: {told}.",
        "Filled, all test images; hollow, those that do not also stand in train; ticks, single seeds; dotted, what a "
        "linear probe on colour and spectrum reaches.",
    )


def pairs(study: Study, found: Findings) -> Drawing:
    """Which configurations can be told apart."""
    apart = int(found.comparisons["told_apart"].sum())
    return Drawing(
        _pairs.draw(study, found),
        "What can be told apart",
        f"Matrix of differences in test accuracy; {apart} of {len(found.comparisons)} pairs are told apart.",
        "How far the row is ahead of the column; in colour where that is more than noise.",
    )


def score_figures(study: Study) -> dict[str, Drawing]:
    """File name → drawing, of the ROC and the reliability diagrams."""
    first = study.ranked.iloc[0]
    return {
        "roc": Drawing(
            _curves_of_scores.draw_roc(study),
            "ROC",
            f"ROC curves on test; the first, {first['configuration']}, has AUC {first['test_auc']:.4f}.",
            "How many FAKE images are found at how many false alarms; on the right, at few.",
        ),
        "reliability": Drawing(
            _curves_of_scores.draw_reliability(study),
            "Reliability of the probabilities",
            "Share of FAKE against predicted probability of the first configurations, raw and calibrated.",
            "Of images with about the same probability, how many are FAKE; below, how many images have it.",
        ),
    }


def classes(study: Study, found: Findings) -> Drawing:
    """Recall by object class."""
    text = _classes.text(found.classes)
    return Drawing(
        _classes.draw(study, found.classes), "By object class", text, "The first configuration, class by class."
    )


def search_figures(study: Study) -> dict[str, Drawing]:
    """File name → drawing, of a search that has ended trials."""
    found = searches.searched(study)
    best = percent(found["best_so_far"].iloc[-1])
    stopped = int((found["status"] == "stopped").sum())
    drawings = {
        "search_history": Drawing(
            _search_figures.history(study),
            "How the search got on",
            f"Validation accuracy of {len(found)} trials in their order; the best reaches {best} %.",
            "Each trial's validation accuracy, and the best so far, against trials and against the training spent.",
        ),
        "search_rungs": Drawing(
            _search_figures.rungs(study),
            "Who was stopped when",
            f"A line a trial to the epoch after which it ended; {stopped} of {len(found)} were stopped early.",
            f"How far each trial got; {stopped} of {len(found)} were stopped early.",
        ),
    }
    if found["validation_accuracy"].notna().any() and searches.knobs(study):
        drawings["search_slices"] = Drawing(
            _search_figures.slices(study),
            "Knob by knob",
            f"Validation accuracy of {len(found)} trials against each of {len(searches.knobs(study))} knobs.",
            "Validation accuracy against each knob, in the trials in which it matters.",
        )
        drawings["search_parallel"] = Drawing(
            _search_figures.parallel(study),
            "Trials as lines through their knobs",
            f"Parallel coordinates of {len(found)} trials, coloured by validation accuracy.",
            "A line a trial through the values of its knobs; the brightest lines are the most accurate trials.",
        )
    table = searches.importance(study)
    if len(table):
        told = ", ".join(f"{row['knob']} {percent(row['mean'], 0)} %" for row in table.to_dict("records"))
        drawings["search_importance"] = Drawing(
            _search_figures.importances(study),
            "What the knobs matter",
            f"Shares of the variance of validation accuracy: {told}.",
            "How much of the differences between trials each knob explains, with its uncertainty.",
        )
    if len(searches.front(study)):
        names = ", ".join(searches.front(study)["configuration"])
        drawings["search_pareto"] = Drawing(
            _search_figures.pareto(study),
            "Pareto front",
            f"Validation accuracy against {study.provenance.search['against']}; on the front: {names}.",
            f"No trial is better in both than one on the front: {names}.",
        )
    return drawings


def curves(study: Study) -> Drawing:
    """Accuracy and loss of every trial against epoch."""
    drawn = study.results[study.results["trial"].isin(study.epochs["trial"])]
    best = ""
    if len(study.ranked):
        first = study.ranked.iloc[0]
        best = f" The first on validation, {first['configuration']}, reaches {percent(first['validation_accuracy'])} %."
    return Drawing(
        _curves.draw(study),
        "Curves",
        f"Accuracy and loss of {len(drawn)} trials against epoch: {', '.join(drawn['configuration'].unique())}.{best}",
        "Accuracy and loss against epoch, validation solid, training dashed. Training values are means over an epoch "
        "in which the weights change, and so may lie below validation.",
    )


def grid(study: Study) -> Drawing:
    """Validation accuracy by trunk and head."""
    return Drawing(_grid.draw(study), "Trunk x head", _grid.text(study), _grid.note(study))


def confusion(study: Study) -> Drawing:
    """The confusion matrices of the best and the worst ranked trial on test."""
    texts = " ".join(_confusion.texts(study))
    return Drawing(
        _confusion.draw(study), "Confusion matrices", f"Confusion matrices on the test split. {texts}", texts
    )
