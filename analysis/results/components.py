"""Configurations crossed with training sets → how much of their accuracy's spread comes from what."""

import numpy as np
import pandas as pd

from analysis.results.compared import trials_by_configuration
from analysis.results.trials import Results
from sweeps.stats.components import components

#: The last row of the table.
ALL = "root mean square"


def spread(results: Results) -> pd.DataFrame:
    """One row a configuration, best on validation first, and with two or more their root mean square.

    The columns are configuration, training_sets, seeds, and for each of training_set, seed and images the standard
    deviation (0–1) that it alone gives the test accuracy of one training, with its 95 % interval, as `seed_low`. Only
    seeds that were ranked on every training set count; a configuration with fewer than two of them has no row. Empty
    for a sweep with one training set.
    """
    if not results.has_training_sets or "test" not in results.scores.parts:
        return pd.DataFrame()
    trials, sets = results.ranked.set_index("trial"), results.trials["training_subset"].nunique()
    rights = {}
    for name, groups in trials_by_configuration(results).items():
        rows = trials.loc[[trial for group in groups for trial in group]].reset_index()
        table = rows.pivot(index="training_subset", columns="seed", values="trial").dropna(axis=1)
        if len(table) == sets > 1 and table.shape[1] > 1:
            right = results.scores.is_right(table.to_numpy().ravel(), "test")
            rights[name] = right.reshape(*table.shape, -1)
    if not rights:
        return pd.DataFrame()
    found = components(list(rights.values()), results.scores.parts["test"].clusters)
    names = [*rights, ALL][: len(rights) + (len(rights) > 1)]
    frame = pd.DataFrame({"configuration": names, "training_sets": sets})
    frame["seeds"] = [*(right.shape[1] for right in rights.values()), pd.NA][: len(names)]
    for part, component in found.items():
        columns = np.column_stack([component.deviations, component.low, component.high])[: len(names)]
        frame[[f"{part}{end}" for end in ("", "_low", "_high")]] = columns
    return frame.astype({"seeds": "Int64"})
