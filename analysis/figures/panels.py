"""Which curve goes where: epochs → epochs with a panel, a series and a colour. A general rule, for 1 trial or 50."""

from collections.abc import Iterable

import pandas as pd

from analysis.figures.style import PALETTE
from analysis.results.trials import Results

_MOST_PANELS = 8
_COLOURED_TRIALS = 5
OTHERS = "other trials"


def panels(networks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Network → (panel, series): `age-c4-f2` is the series f2 of the panel age-c4.

    Where that would give many panels, or panels of one network each, all networks share one panel, named "".
    """
    names = sorted(set(networks))
    split = {name: (name.rpartition("-")[0] or name, name.rpartition("-")[2]) for name in names}
    count = len({panel for panel, _ in split.values()})
    if count > _MOST_PANELS or count == len(names):
        return {name: ("", name) for name in names}
    heads = [series for _, series in split.values()]
    return {name: (panel, series if heads.count(series) > 1 else name) for name, (panel, series) in split.items()}


def curves(results: Results) -> pd.DataFrame:
    """The epochs of the trials, best trial last, with `panel`, `series`, `place`, `rank` and `status` of each.

    `place` counts the series from 0 and is their colour. With more series than colours, only the best trials have one,
    each as a series of its own, and the others are `other trials` at place -1.
    """
    trials = results.trials[["trial", "rank", "status"]].copy()
    split = panels(results.trials["network"])
    trials["panel"] = [split[network][0] for network in results.trials["network"]]
    trials["series"] = [_series(row, split[row["network"]][1], len(split)) for _, row in results.trials.iterrows()]
    if trials["series"].nunique() > len(PALETTE):
        coloured = trials["rank"].notna() & (trials.index < _COLOURED_TRIALS)
        trials["series"] = ("rank " + trials["rank"].astype(str) + ": " + trials["series"]).where(coloured, OTHERS)
    names = [name for name in _in_order(trials) if name != OTHERS]
    trials["place"] = [names.index(name) if name in names else -1 for name in trials["series"]]
    return trials.iloc[::-1].merge(results.epochs, on="trial")


def _series(row: "pd.Series[str]", name: str, networks: int) -> str:
    """A series' name, with the hyperparameters in which it differs from others of its network: these alone if there is one."""
    hyperparameters = row["configuration"].removeprefix(row["network"]).removeprefix(", ")
    return ", ".join(part for part in (name if networks > 1 or not hyperparameters else "", hyperparameters) if part)


def _in_order(trials: pd.DataFrame) -> list[str]:
    """The names of the series: by name, or best first where they have their rank in front."""
    names = list(dict.fromkeys(trials["series"]))
    return names if OTHERS in names else sorted(names)
