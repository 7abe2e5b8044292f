"""What came out, in sentences: what was compared, on which data, what won, and what of it may be noise."""

from typing import Any

import pandas as pd

from analysis.frames import RANKED, SPLITS, Study, has_seeds, networks
from analysis.searches import repeats, searched
from analysis.tables import mean_and_deviation, percent, span

_MOST_NAMED = 12


def summary(study: Study) -> list[str]:
    """Paragraphs, each some sentences."""
    paragraphs = [f"{_compared(study)} {_data(study)}"]
    if len(study.ranked):
        paragraphs += [f"{_winner(study)} {_noise(study)}", _seeds(study)]
    return [*paragraphs, *_search(study), *_flagged(study)]


def _compared(study: Study) -> str:
    results = study.results
    if not len(results):
        return "The record holds no trial yet."
    counts = results["status"].value_counts(sort=False)
    ranked = len(study.ranked)
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if state not in RANKED)
    return (
        f"{_counted(results['network'].nunique(), 'network')} in {_counted(len(results), 'trial')} with "
        f"{_counted(max(1, results['seed'].nunique()), 'seed')}: {ranked} ranked{', ' + states if states else ''}."
    )


def _data(study: Study) -> str:
    train, validation, test, clean = (study.images(split) for split in ("train", *SPLITS))
    return (
        f"The data are {study.provenance.source}: {train} images to train on, {validation} to choose by, {test} to "
        f"test on, of which {clean} (the clean test) do not also stand in train."
    )


def _winner(study: Study) -> str:
    best = study.ranked.iloc[0]
    equals = [_name(row, study) for _, row in study.ranked.iloc[1:].iterrows() if row["rank"] == 1]
    shared = f", level with {'; '.join(equals)}" if equals else ""
    metric = study.provenance.metric.replace("_", " ").replace("auc", "AUC")
    return (
        f"By {metric}, {_name(best, study)} is first{shared}. Its validation accuracy is "
        f"{_accuracy(best, 'validation')}, its test accuracy {_accuracy(best, 'test')}, its clean test accuracy "
        f"{_accuracy(best, 'test_clean')}. Test had no part in the choice, and so is the number to quote."
    )


def _noise(study: Study) -> str:
    """Which trials the winner cannot be told apart from: those whose validation accuracy lies in its 95 % interval."""
    best, others = study.ranked.iloc[0], study.ranked.iloc[1:]
    if not len(others):
        return ""
    near = others[others["validation_accuracy"].between(best["validation_low"], best["validation_high"])]
    names = f" ({'; '.join(_name(row, study) for _, row in near.iterrows())})" if 0 < len(near) <= _MOST_NAMED else ""
    return (
        f"Differences smaller than the 95 % interval are noise: on validation, {len(near) or 'none'} of the other "
        f"{_counted(len(others), 'ranked trial')} lie within the winner's{names}."
    )


def _seeds(study: Study) -> str:
    if study.provenance.search:
        return (
            "The best of many trials is partly luck: train it again with new seeds (--repeat-best) before it is quoted."
        )
    if not has_seeds(study.results):
        return "With one seed the spread from seed to seed is not known; it comes on top of the intervals."
    table = networks(study.results, study.provenance.metric, study.provenance.direction)
    first = table.iloc[0]
    validation, test = (
        mean_and_deviation(first[f"{split}_accuracy_mean"], first[f"{split}_accuracy_std"])
        for split in ("validation", "test")
    )
    return (
        f"Over its seeds, {first['configuration']} is first on average: validation accuracy {validation} %, test "
        f"accuracy {test} % (mean ± standard deviation, n = {first['n']})."
    )


def _search(study: Study) -> list[str]:
    """What a search spent, and what came out when its choice was trained again."""
    found = searched(study)
    if not len(found):
        return []
    search, stopped = study.provenance.search, int((found["status"] == "stopped").sum())
    how, passes = f"{search.get('method')}, stopping {search.get('stopping')}", found["image_passes"].iloc[-1] / 1e6
    spent = (
        f"The search ({how}) has tried {_counted(len(found), 'trial')}, of which {stopped:,} were stopped early: "
        f"{passes:,.2f} million image passes."
    )
    told = [
        f"{row['configuration']} {_interval(row, 'validation')} on validation and "
        f"{_interval(row, 'test_clean')} on the clean test"
        for row in repeats(study).to_dict("records")
    ]
    again = f" Trained again with new seeds, mean and 95 % interval: {'; '.join(told)}." if told else ""
    return [spent + again]


def _interval(row: dict[str, Any], split: str) -> str:
    """`91.30 % (90.1–92.4 %, n = 3)` of a mean over seeds."""
    mean, low, high = (row[f"{split}_accuracy_{name}"] for name in ("mean", "low", "high"))
    return f"{percent(mean)} % ({span(low, high, 2)} %, n = {row['n']})"


def _flagged(study: Study) -> list[str]:
    """Why some trials are apart, and that the page is of an unfinished sweep."""
    states = set(study.flagged["status"])
    sentences = []
    if states & {"collapsed", "diverged", "failed"}:
        sentences.append("Collapsed, diverged and failed trials are no results: they stand apart, with the reason.")
    if states & {"running", "pending"}:
        sentences.append("The sweep is not finished: running the same command again goes on with it.")
    return [" ".join(sentences)] if sentences else []


def _name(row: "pd.Series[str]", study: Study) -> str:
    return f"{row['configuration']} (seed {row['seed']})" if has_seeds(study.results) else str(row["configuration"])


def _accuracy(row: "pd.Series[float]", split: str) -> str:
    """`91.30 % (95 % interval 90.1–92.4 %, n = 2,000)`."""
    share, low, high = (row[f"{split}_{name}"] for name in ("accuracy", "low", "high"))
    if pd.isna(share):
        return "not recorded"
    sure = f" (95 % interval {span(low, high)} %, n = {row[f'{split}_images']:,})" if pd.notna(low) else ""
    return f"{percent(share)} %{sure}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
