"""Results in, numbers and figures out: a record becomes tables, figures and a report, with pandas.

    results ← figures ← pages ← commands: report, predict, robustness, explain, export, compare
    detector: a network of the record in use

Nothing here trains. TensorFlow and Ray are imported only by commands that run a network, such as `robustness`: whoever
has the record can recompute every other number. `python -m analysis --help` lists the commands. From Python and in
notebooks:

    import analysis
    results = analysis.read("results/age")       # results.trials and results.epochs are data frames
    analysis.tables("results/age")["metrics"]    # as are the tables of the report
    analysis.draw("results/age")["curves"]       # a figure, which a notebook shows
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a second to import
    import pandas as pd

    from analysis.figures.style import Drawing
    from analysis.results.trials import Results


def read(location: str) -> "Results":
    """Read the record at `location`, such as `results/age`. Raises InputError."""
    from analysis.results import trials
    from data_prep import Folder

    return trials.read(Folder(str(location)))


def tables(location: str) -> "dict[str, pd.DataFrame]":
    """Name → the tables of a record's report: `results`, `networks`, `metrics` and others. Raises InputError."""
    from analysis.pages.tables import frames
    from analysis.results.judged import findings

    results = read(location)
    return frames(results, findings(results))


def draw(location: str) -> "dict[str, Drawing]":
    """Name → the figures of a record's report: `curves`, `confusion` and others. Raises InputError."""
    from analysis.detector.pictures import kept_pictures
    from analysis.detector.robustness_table import robustness_table
    from analysis.figures.drawings import figures
    from analysis.results.judged import findings
    from data_prep import Folder

    results = read(location)
    folder = Folder(str(location))
    drawings = figures(results, findings(results), robustness_table(folder), kept_pictures(folder, results))
    return {name: drawing for name, drawing in drawings.items() if drawing}
