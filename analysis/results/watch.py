"""A sweep followed from its record, on any machine that can read it, until it is over."""

import time
from collections.abc import Iterator

from analysis.results.trials import Results, read_without_scores
from data_prep.storage import Folder
from trainables.record import read_manifest

_SECONDS_BETWEEN_LOOKS = 5.0


def changes(folder: Folder) -> Iterator[str]:
    """How a sweep stands, in words, each time that has changed; ends when the sweep has. Raises InputError."""
    said = ""
    while True:
        is_over = read_manifest(folder).get("wall_seconds") is not None  # before the tables, which are final then
        told = progress(read_without_scores(folder))
        if told != said:
            yield told
        if is_over:
            return
        said = told
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def progress(results: Results) -> str:
    """How many trials are in which state, the epochs done, and the best so far."""
    states = ", ".join(f"{count:,} {state}" for state, count in results.trials["status"].value_counts().items())
    told = f"{states}; {len(results.epochs):,} of {results.trials['epochs'].sum():,} epochs"
    if len(results.ranked):
        best = results.ranked.loc[results.ranked["validation_accuracy"].idxmax()]
        told += f"; best validation accuracy {best['validation_accuracy']:.4f} ({best['configuration']})"
    return told
