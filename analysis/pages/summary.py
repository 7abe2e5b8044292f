"""What came out, in sentences: what was compared, on which data, what won, and what of it may be noise."""

from typing import Any

import pandas as pd

from analysis.figures.accuracy import floors
from analysis.results.format import mean_and_deviation, percent, span
from analysis.results.judged import Findings
from analysis.results.searches import repeats, searched
from analysis.results.trials import RANKED, SPLITS, Results, has_seeds, has_spread, networks

_MOST_NAMED = 12
_ALONE = "With one seed the spread from seed to seed is not known; it comes on top of the intervals."
_ADVICE = "The best of many trials is partly luck: train it again with new seeds (--repeat-best) before it is quoted."


def summary(results: Results, found: Findings) -> list[str]:
    """Paragraphs, each some sentences."""
    paragraphs = [f"{_compared(results)} {_data(results)}"]
    if len(results.ranked):
        paragraphs += [_winner(results), f"{_noise(results, found)} {_luck(results, found)}".strip(), _seeds(results)]
        paragraphs.append(_floor(results))
    return [*filter(None, paragraphs), *_search(results), *_flagged(results)]


def _compared(results: Results) -> str:
    trials = results.trials
    if not len(trials):
        return "The record holds no trial yet."
    counts = trials["status"].value_counts(sort=False)
    ranked = len(results.ranked)
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if state not in RANKED)
    return (
        f"{_counted(trials['network'].nunique(), 'network')} in {_counted(len(trials), 'trial')} with "
        f"{_counted(max(1, trials['seed'].nunique()), 'seed')}: {ranked} ranked{', ' + states if states else ''}."
    )


def _data(results: Results) -> str:
    train, validation, test, clean = (results.images(split) for split in ("train", *SPLITS))
    return (
        f"The data are {results.provenance.source}: {train} images to train on, {validation} to choose by, {test} to "
        f"test on, of which {clean} (the clean test) do not also stand in train."
    )


def _winner(results: Results) -> str:
    best = results.ranked.iloc[0]
    equals = [_name(row, results) for _, row in results.ranked.iloc[1:].iterrows() if row["rank"] == 1]
    shared = f", level with {'; '.join(equals)}" if equals else ""
    metric = results.provenance.metric.replace("_", " ").replace("auc", "AUC")
    ended = " among the trials that trained to the end" if (results.ranked["status"] == "stopped").any() else ""
    first = f"By {metric}, {_name(best, results)} is first{ended}{shared}. Its validation accuracy is"
    if best["status"] == "stopped":
        return (
            f"By {metric}, {_name(best, results)} is first{shared}: {_accuracy(best, 'validation')}. No trial has been "
            "trained to the end, so none is scored on test."
        )
    return (
        f"{first} {_accuracy(best, 'validation')}, its test accuracy {_accuracy(best, 'test')}, its clean test "
        f"accuracy {_accuracy(best, 'test_clean')}. Test had no part in the choice, and so is the number to quote."
    )


def _noise(results: Results, found: Findings) -> str:
    """Which configurations the first cannot be told apart from, by the paired tests on test."""
    if len(results.ranked) < 2:
        return ""
    if not len(found.comparisons):
        return "The record has no scores of two configurations on the same test images, so no two can be compared."
    first, level = found.comparisons["configuration"].iloc[0], found.level_with_first()
    others = int((found.comparisons["configuration"] == first).sum())
    names = f": {'; '.join(level)}" if 0 < len(level) <= _MOST_NAMED else ""
    apart, pairs = int(found.comparisons["told_apart"].sum()), len(found.comparisons)
    others_told = _counted(others, "other configuration")
    which = f"any of the {others_told}" if len(level) == others else f"{len(level)} of the {others_told}"
    return (
        f"Not every difference is one. On the same test images, {first}, first on average, cannot be told apart from "
        f"{which if level else 'none of the ' + others_told} compared{names}. Of {_counted(pairs, 'pair')} in all, "
        f"{apart:,} can be told apart (paired tests of accuracy, 5 % level after Holm's correction)."
    )


def _luck(results: Results, found: Findings) -> str:
    """What being the best of many adds to the winner's validation accuracy."""
    if not len(found.comes_first):
        return ""
    best = results.ranked.iloc[0]
    share = found.comes_first.get(best["trial"], float("nan"))
    return (
        f"Drawn again, the validation images would put {_name(best, results)} first {percent(share, 0)} % of the time; "
        f"being the best of {len(found.comes_first):,} adds about {percent(max(0.0, found.optimism))} points to its "
        "validation accuracy."
    )


def _floor(results: Results) -> str:
    """Which configurations have learned no more than a linear probe."""
    for name, level in floors(results).items():
        means = results.ranked.groupby("configuration")["test_accuracy"].mean().dropna()
        if not len(means):
            return ""
        below = means[means <= level].sort_values().index.tolist()
        named = f" ({'; '.join(below)})" if 0 < len(below) <= _MOST_NAMED else ""
        stand = (
            f"{_counted(len(below), 'configuration')}{named} stand{'s' * (len(below) == 1)} no higher" if below else ""
        )
        return (
            f"The floor is {percent(level)} % of the test images, which a {name} gets right: "
            f"{stand or 'all that were scored on test stand above it'}."
        )
    return ""


def _seeds(results: Results) -> str:
    if results.provenance.search:
        return "" if len(repeats(results)) else _ADVICE
    if not has_spread(results):  # before the means over seeds, which take their time
        return _ALONE
    table = networks(results.trials, results.provenance.metric, results.provenance.direction)
    first = table.iloc[0]
    if first["n"] < 2:
        return _ALONE
    validation, test = (
        mean_and_deviation(first[f"{split}_accuracy_mean"], first[f"{split}_accuracy_std"])
        for split in ("validation", "test")
    )
    return (
        f"Over its seeds, {first['configuration']} is first on average: validation accuracy {validation} %, test "
        f"accuracy {test} % (mean ± standard deviation, n = {first['n']})."
    )


def _search(results: Results) -> list[str]:
    """What a search spent, and what came out when its choice was trained again."""
    found = searched(results)
    if not len(found):
        return []
    search, stopped = results.provenance.search, int((found["status"] == "stopped").sum())
    how, passes = f"{search.get('method')}, stopping {search.get('stopping')}", found["image_passes"].iloc[-1] / 1e6
    spent = (
        f"The search ({how}) has tried {_counted(len(found), 'trial')}, of which {stopped:,} were stopped early: "
        f"{passes:,.2f} million image passes."
    )
    told = [
        f"{row['configuration']} {_interval(row, 'validation')} on validation and "
        f"{_interval(row, 'test_clean')} on the clean test"
        for row in repeats(results).to_dict("records")
    ]
    again = f" Trained again with new seeds, mean and 95 % interval: {'; '.join(told)}." if told else ""
    return [spent + again]


def _interval(row: dict[str, Any], split: str) -> str:
    """`91.30 % (90.1–92.4 %, n = 3)` of a mean over seeds; of one there is no interval."""
    mean, low, high = (row[f"{split}_accuracy_{name}"] for name in ("mean", "low", "high"))
    return f"{percent(mean)} % ({f'{span(low, high, 2)} %, ' if row['n'] > 1 else ''}n = {row['n']})"


def _flagged(results: Results) -> list[str]:
    """Why some trials are apart, and that the page is of an unfinished sweep."""
    states = set(results.flagged["status"])
    sentences = []
    if states & {"collapsed", "diverged", "failed"}:
        sentences.append("Collapsed, diverged and failed trials are no results: they stand apart, with the reason.")
    if states & {"running", "pending"}:
        sentences.append("The sweep is not finished: running the same command again goes on with it.")
    return [" ".join(sentences)] if sentences else []


def _name(row: "pd.Series[str]", results: Results) -> str:
    return f"{row['configuration']} (seed {row['seed']})" if has_seeds(results.trials) else str(row["configuration"])


def _accuracy(row: "pd.Series[float]", split: str) -> str:
    """`91.30 % (95 % interval 90.1–92.4 %, n = 2,000)`."""
    share, low, high = (row[f"{split}_{name}"] for name in ("accuracy", "low", "high"))
    if pd.isna(share):
        return "not recorded"
    sure = f" (95 % interval {span(low, high)} %, n = {row[f'{split}_images']:,})" if pd.notna(low) else ""
    return f"{percent(share)} %{sure}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
