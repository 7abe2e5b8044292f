"""Data frames → figures. Nothing here reads or writes files, and nothing is kept between two figures."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis import _confusion, _curves, _grid, frames
from analysis.frames import Study
from analysis.tables import percent


@dataclass(frozen=True)
class Drawing:
    """A figure, its title, the text that stands for it where it cannot be seen, and how to read it."""

    figure: Figure
    title: str
    alt: str
    caption: str


def figures(study: Study) -> dict[str, Drawing]:
    """File name → drawing, of all that the record has data for: curves, confusion, grid."""
    drawings = {}
    if study.epochs["trial"].isin(study.results["trial"]).any():
        drawings["curves"] = curves(study)
    if len(frames.grid(study.results)):
        drawings["grid"] = grid(study)
    if frames.confusions(study):
        drawings["confusion"] = confusion(study)
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
