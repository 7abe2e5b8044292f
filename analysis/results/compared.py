"""Configurations over images and seeds: intervals of their means and of all pairs, and the verdicts that follow.

A verdict speaks of networks, and so of configurations with two seeds or more. Of a configuration with one seed there is
one trained network, which is measured, not judged.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.scores import Scores
from analysis.results.seeds import networks, replicates, without_choosers
from analysis.results.trials import Results
from sweeps.stats.families import LEVEL, Family, all_pairs, auc_values, estimate, of_shares, planned, shrunk, single
from sweeps.stats.intervals import wilson
from sweeps.stats.resampling import leave_one_out
from sweeps.stats.verdicts import level_of, needed_for_verdicts, verdicts
from trainables.training.metrics import MARGIN, SELECTION_METRIC

#: By how much networks are taken to vary from seed to seed where a record does not tell: the standard deviation of the
#: test accuracy of nine seeds of age-c2-f1, trained for 5 epochs on 8,000 images of CIFAKE.
PLANNED_DEVIATION = 0.0056
_MOST = 32  # configurations in pairs, the first by validation

#: The trials of a configuration, in groups as `replicates` has them.
Replicates = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Compared:
    """What test says of the first configurations.

    `configurations` has a row each, best on validation first: configuration, seeds, accuracy (mean over seeds, 0–1)
    with the ends of its interval, auc likewise, `verdict` in words (empty without one), and of an undecided one the
    `seeds_needed` or, where no number of seeds is enough, the `images_needed` (0 for neither), and the verdict `then`.
    Of networks with one seed there is what to expect of them with another, `expected`. Where `unit` is "training set",
    read that for seed: each counts as the mean of its seeds. `pairs` has a row a pair of those with two seeds or more:
    configuration, other, and difference, low, high of accuracy and, as `auc_difference`, of the area. The intervals of
    pairs hold together at `level`. `images` is n, and `clusters` how many clusters they are in, if they are not
    independent. `why_not` says why there is no verdict.
    """

    configurations: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    images: int = 0
    margin: float = MARGIN
    level: float = LEVEL
    looks: int = 1
    clusters: int = 0
    unit: str = "seed"
    why_not: str = ""

    def of(self, configuration: str) -> "pd.Series[Any] | None":
        """The row of a configuration, if it is among them."""
        if not len(self.configurations):
            return None
        rows = self.configurations[self.configurations["configuration"] == configuration]
        return rows.iloc[0] if len(rows) else None

    def ahead_of(self, configuration: str) -> list[str]:
        """The configurations that a configuration is behind."""
        pairs = self.pairs
        is_first, is_other = (pairs[side] == configuration for side in ("configuration", "other"))
        names = [
            pairs.loc[is_first & (pairs["high"] < 0), "other"],
            pairs.loc[is_other & (pairs["low"] > 0), "configuration"],
        ]
        return list(map(str, pd.concat(names)))

    def named(self, verdict: str) -> list[str]:
        """The configurations of which this is the verdict, or begins it."""
        if not len(self.configurations):
            return []
        is_named = self.configurations["verdict"].str.startswith(verdict)
        return [str(name) for name in self.configurations.loc[is_named, "configuration"]]


def compared(results: Results, margin: float | None = None) -> Compared:
    """Compare the configurations of a record by their scores on test, within a margin: by default the one locked."""
    manifest, part = results.provenance.manifest, results.scores.parts.get("test")
    margin = float((manifest.locked or {}).get("margin", MARGIN)) if margin is None else margin
    looks = max(1, len(manifest.looks))
    said = partial(Compared, margin=margin, looks=looks, unit=results.unit)
    trials = dict(list(trials_by_configuration(results).items())[:_MOST])
    if part is None or not trials:
        return said(why_not="no trial has scores on test")
    said = partial(said, images=len(part), clusters=results.scores.clusters("test"))
    frame = means(results, trials, "test").reset_index().assign(verdict="", seeds_needed=0, images_needed=0, then="")
    if len(trials) < 2:
        return said(frame, why_not="there is one network")
    several = [name for name, group in trials.items() if len(group) > 1]
    if len(several) < 2:
        family = planned(_scored_family(results, [group[:1] for group in trials.values()]), PLANNED_DEVIATION)
        needed = needed_for_verdicts(family, margin)
        frame["seeds_needed"], frame["images_needed"], frame["then"] = needed.seeds, needed.images, needed.verdicts
        frame["expected"] = shrunk(family)
        return said(frame, why_not="verdicts need two networks with two seeds or more each")
    level, groups = level_of(looks), [trials[name] for name in several]
    family = _scored_family(results, groups)
    areas = _area_family(results, groups) if _has_both(results.scores, "test") else None
    why_not = "the sweep is not finished" if results.is_unfinished else ""
    places = frame.index[frame["configuration"].isin(several)]
    frame.loc[places, "verdict"] = "" if why_not else verdicts(*all_pairs(family, level), margin).words()
    needed = needed_for_verdicts(family, margin, level)
    for column, values in {
        "seeds_needed": needed.seeds,
        "images_needed": needed.images,
        "then": needed.verdicts,
    }.items():
        frame.loc[places, column] = values
    return said(frame, _pairs(several, family, areas, level), level=level, why_not=why_not)


def held_out(results: Results) -> tuple[float, int]:
    """The mean test accuracy of seeds that did not choose their network, 0–1, and how many; NaN and 0 without any.

    Each seed, or training set, in turn is left out: the network that is best on validation over the others is chosen,
    and measured on test by that one. Only those that every network of two or more has count.
    """
    ranked = results.ranked[results.ranked["trial"].isin(results.scores.trials)]
    ranked = without_choosers(ranked) if len(ranked) else ranked
    column = "training_subset" if results.has_training_sets else "seed"
    tables = [
        ranked.pivot_table(index="configuration", columns=column, values=name)
        for name in (SELECTION_METRIC, "test_accuracy")
    ]
    if not len(ranked) or len(tables[0]) < 2:
        return float("nan"), 0
    chosen_by, measured = (table[table.notna().sum(axis=1) > 1].dropna(axis=1) for table in tables)
    seeds = [seed for seed in chosen_by.columns if seed in measured.columns]
    if len(seeds) < 2 or len(chosen_by) < 2:
        return float("nan"), 0
    return leave_one_out(chosen_by[seeds].to_numpy(), measured.loc[chosen_by.index, seeds].to_numpy()), len(seeds)


def trials_by_configuration(
    results: Results, ranked: pd.DataFrame | None = None, with_choosers: bool = False, most: int | None = None
) -> dict[str, list[list[str]]]:
    """Configuration → its trials, in groups as `replicates` has them, best on validation first and `most` at most.

    They are those with scores, or those in `ranked`.

    Those by which a search chose a configuration are left out, or not: `with_choosers`.
    """
    if ranked is None:
        ranked = results.ranked[results.ranked["trial"].isin(results.scores.trials)]
    groups = (ranked if with_choosers else without_choosers(ranked)).groupby("configuration", sort=False)
    first = groups[results.provenance.metric].mean()
    first = first.sort_values(ascending=results.provenance.direction == "min", kind="stable")
    return {str(name): replicates(groups.get_group(name)) for name in first.index[:most]}


def means(results: Results, trials: dict[str, list[list[str]]], part: str) -> pd.DataFrame:
    """Configuration → seeds, and means of accuracy and auc over them, 0–1, with 95 % intervals as `accuracy_low`.

    The intervals are over images and, with several seeds, over seeds; with one, they are of this trained network. Of
    trials without scores the accuracies alone are known.
    """
    frame = pd.DataFrame({"seeds": {name: len(group) for name, group in trials.items()}})
    frame.index.name = "configuration"
    every = {trial for groups in trials.values() for group in groups for trial in group}
    is_scored = part in results.scores.parts and every <= set(results.scores.trials)
    clusters = results.scores.parts[part].clusters if is_scored else None
    has_auc = is_scored and _has_both(results.scores, part)
    families = {"accuracy": _scored_family if is_scored else _family_of_shares, "auc": _area_family}
    for column, family_of in families.items():
        frame[[column, f"{column}_low", f"{column}_high"]] = np.nan
        for is_several in (True, False) if column == "accuracy" or has_auc else ():
            names = [name for name, group in trials.items() if (len(group) > 1) == is_several]
            found = family_of(results, [trials[name] for name in names], part) if names else None
            if found:
                low, high = _ends(found, is_several or column == "auc" or clusters is not None)
                for suffix, values in {"": found.means, "_low": low, "_high": high}.items():
                    frame.loc[names, f"{column}{suffix}"] = values
    return frame


def _ends(family: Family, is_modelled: bool) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the intervals of the means: Wilson's where there is nothing to model but which images were drawn."""
    if is_modelled:
        return single(family)
    low, high = np.array([wilson(mean, family.images) for mean in family.means]).T
    return low, high


def _scored_family(results: Results, configurations: Sequence[Replicates], part: str = "test") -> Family:
    """The accuracies of configurations, each of which has its trials in groups."""
    scores = results.scores
    return estimate([scores.mean_right(groups, part) for groups in configurations], scores.parts[part].clusters)


def _area_family(results: Results, configurations: Sequence[Replicates], part: str = "test") -> Family:
    """The areas of configurations, each of which has its trials in groups."""
    scores = results.scores
    values = [
        np.stack([np.mean([auc_values(*scores.of(trial, part)) for trial in trials], axis=0) for trials in groups])
        for groups in configurations
    ]
    return estimate(values, scores.parts[part].clusters)


def _family_of_shares(results: Results, configurations: Sequence[Replicates], part: str = "test") -> Family | None:
    """The accuracies of configurations without scores; None where they or the number of images are not recorded."""
    accuracies, rows = results.ranked.set_index("trial")[f"{part}_accuracy"].astype(float), results.ranked
    shares = [np.array([accuracies[trials].mean() for trials in groups]) for groups in configurations]
    images = rows[f"{part}_images"].dropna()
    return of_shares(shares, int(images.iloc[0])) if len(images) and np.isfinite(np.concatenate(shares)).all() else None


def _has_both(scores: Scores, part: str) -> bool:
    """Whether a part has images of both labels, without which there is no area."""
    labels = scores.parts[part].labels
    return bool(0 < labels.sum() < len(labels))


def over_seeds(results: Results) -> pd.DataFrame:
    """The table of `seeds.networks`, with the 95 % intervals of the means of accuracy and area over images and seeds.

    Those of a configuration without scores are missing.
    """
    table, trials = networks(results), trials_by_configuration(results, with_choosers=True)
    for part in results.scores.parts:
        found = means(results, trials, part)
        columns = {f"{name}_{end}": f"{part}_{name}_{end}" for name in ("accuracy", "auc") for end in ("low", "high")}
        table = table.merge(found[list(columns)].rename(columns=columns).reset_index(), on="configuration", how="left")
    return table


def repeats(results: Results) -> pd.DataFrame:
    """The rows of `over_seeds` of the configurations that a search trained again, without the seed that chose them."""
    ranked = results.ranked if results.provenance.search else results.ranked.iloc[:0]
    again = ranked[ranked["number"].isna()]
    if not len(again):
        return pd.DataFrame()
    kept = dataclasses.replace(results, trials=results.trials[results.trials["number"].isna()])
    return over_seeds(kept)


def _pairs(names: list[str], accuracy: Family, auc: Family | None, level: float) -> pd.DataFrame:
    one, other = np.triu_indices(len(names), 1)
    frame = pd.DataFrame({"configuration": np.array(names)[one], "other": np.array(names)[other]})
    for prefix, family in {"": accuracy, **({"auc_": auc} if auc else {})}.items():
        differences, halves = (matrix[one, other] for matrix in all_pairs(family, level))
        frame[f"{prefix}difference"] = differences
        frame[f"{prefix}low"] = np.maximum(differences - halves, -1.0)
        frame[f"{prefix}high"] = np.minimum(differences + halves, 1.0)
    return frame
