"""What came out, in sentences: what was compared, on which data, what won, and what of it may be noise."""

from typing import Any

import pandas as pd

from analysis.figures.accuracy import floors
from analysis.results.format import mean_and_deviation, percent, span
from analysis.results.judged import Findings
from analysis.results.searches import searched
from analysis.results.seeds import has_spread, networks, repeats, trial_name
from analysis.results.trials import RANKED, Results
from trainables.training.metrics import SPLITS

_MOST_NAMED = 12
_ALONE = "With one seed, the spread from seed to seed is unknown; it comes on top of the intervals."
_ADVICE = "The best of many trials is partly luck: train it again with new seeds (--repeat-best) before you quote it."


def summary(results: Results, findings: Findings) -> list[str]:
    """Paragraphs of a few sentences each."""
    paragraphs = [f"{_trials(results)} {_data(results)}"]
    if len(results.ranked):
        noise = f"{_noise(results, findings)} {_luck(results, findings)}".strip()
        paragraphs += [_winner(results), noise, _seeds(results), _floor(results)]
    return list(filter(None, [*paragraphs, _search(results), _flagged(results)]))


def _trials(results: Results) -> str:
    trials = results.trials
    if not len(trials):
        return "The record holds no trial yet."
    counts = trials["status"].value_counts(sort=False)
    states = [f"{len(results.ranked)} ranked"]
    states += [f"{count} {state}" for state, count in counts.items() if state not in RANKED]
    return (
        f"{_counted(trials['network'].nunique(), 'network')} in {_counted(len(trials), 'trial')} with "
        f"{_counted(max(1, trials['seed'].nunique()), 'seed')}: {', '.join(states)}."
    )


def _data(results: Results) -> str:
    train, validation, test, clean = (results.images(split) for split in ("train", *SPLITS))
    return (
        f"The data are {results.provenance.source}: {train} images for training, {validation} for validation and "
        f"{test} for test, of which {clean} (the clean test) are not duplicates of training images."
    )


def _winner(results: Results) -> str:
    best = results.ranked.iloc[0]
    equals = [trial_name(row, results) for _, row in results.ranked.iloc[1:].iterrows() if row["rank"] == 1]
    level = f", level with {'; '.join(equals)}" if equals else ""
    first = (
        f"By {results.provenance.metric.replace('_', ' ').replace('auc', 'AUC')}, {trial_name(best, results)} is first"
    )
    if best["status"] == "stopped":
        return (
            f"{first}{level}: {_accuracy(best, 'validation')}. No trial has been trained to the end, so none is scored "
            "on test."
        )
    ended = " among the trials that trained to the end" if (results.ranked["status"] == "stopped").any() else ""
    return (
        f"{first}{ended}{level}. Its validation accuracy is {_accuracy(best, 'validation')}, its test accuracy "
        f"{_accuracy(best, 'test')}, its clean test accuracy {_accuracy(best, 'test_clean')}. Test had no part in the "
        "choice, so the test accuracy is the number to quote."
    )


def _noise(results: Results, findings: Findings) -> str:
    if len(results.ranked) < 2:
        return ""
    if not len(findings.comparisons):
        return "The record has no scores of two configurations on the same test images, so no two can be compared."
    first, level = findings.comparisons["configuration"].iloc[0], findings.level_with_first()
    others = _counted(len(findings.with_first()), "other configuration")
    which = "any" if len(level) == len(findings.with_first()) else len(level)
    same = f"cannot be told apart from {which} of the {others} compared{_listed(level, ': {}')}"
    relation = same if level else f"is told apart from the {others} compared"
    return (
        f"Not every difference is real. On the same test images, {first}, first on average, {relation}. Of "
        f"{_counted(len(findings.comparisons), 'pair')} in all, {int(findings.comparisons['told_apart'].sum()):,} can "
        "be told apart (paired tests of accuracy, 5 % level after Holm's correction)."
    )


def _luck(results: Results, findings: Findings) -> str:
    if not len(findings.comes_first):
        return ""
    best = results.ranked.iloc[0]
    share = findings.comes_first.get(best["trial"], float("nan"))
    return (
        f"A new sample of validation images would put {trial_name(best, results)} first "
        f"{percent(share, 0)} % of the time; being the best of {len(findings.comes_first):,} adds about "
        f"{percent(max(0.0, findings.optimism))} points to its validation accuracy."
    )


def _floor(results: Results) -> str:
    floor = next(iter(floors(results).items()), None)
    means = results.ranked.groupby("configuration")["test_accuracy"].mean().dropna()
    if floor is None or not len(means):
        return ""
    below = means[means <= floor[1]].sort_values().index.tolist()
    counted = f"{_counted(len(below), 'configuration')}{_listed(below, ' ({})')}"
    stand = (
        f"{counted} stand{'s' * (len(below) == 1)} no higher"
        if below
        else "all that were scored on test stand above it"
    )
    return f"The floor is {percent(floor[1])} % of the test images, which a {floor[0]} gets right: {stand}."


def _seeds(results: Results) -> str:
    if results.provenance.search:
        return "" if len(repeats(results)) else _ADVICE
    first = networks(results).iloc[0] if has_spread(results) else None  # the means over seeds take their time
    if first is None or first["n"] < 2:
        return _ALONE
    validation, test = (
        mean_and_deviation(first[f"{split}_accuracy_mean"], first[f"{split}_accuracy_std"])
        for split in ("validation", "test")
    )
    return (
        f"Over its seeds, {first['configuration']} is first on average: validation accuracy {validation} %, test "
        f"accuracy {test} % (mean ± standard deviation, n = {first['n']})."
    )


def _search(results: Results) -> str:
    frame, search = searched(results), results.provenance.search
    if not len(frame):
        return ""
    spent = (
        f"The search ({search.get('method')}, stopping {search.get('stopping')}) has tried "
        f"{_counted(len(frame), 'trial')}, of which {int((frame['status'] == 'stopped').sum()):,} were stopped early: "
        f"{frame['image_passes'].iloc[-1] / 1e6:,.2f} million image passes."
    )
    retrained = [
        f"{row['configuration']} {_interval(row, 'validation')} on validation and "
        f"{_interval(row, 'test_clean')} on the clean test"
        for row in repeats(results).to_dict("records")
    ]
    return spent + _listed(retrained, " Trained again with new seeds, mean and 95 % interval: {}.", len(retrained))


def _interval(row: dict[str, Any], split: str) -> str:
    """`91.30 % (90.1–92.4 %, n = 3)` of a mean over seeds; one seed has no interval."""
    mean, low, high = (row[f"{split}_accuracy_{name}"] for name in ("mean", "low", "high"))
    return f"{percent(mean)} % ({f'{span(low, high, 2)} %, ' if row['n'] > 1 else ''}n = {row['n']})"


def _flagged(results: Results) -> str:
    states = set(results.flagged["status"])
    sentences = []
    if states & {"collapsed", "diverged", "failed"}:
        sentences.append("Collapsed, diverged and failed trials are not ranked: they stand apart, with the reason.")
    if states & {"running", "pending"}:
        sentences.append("The sweep is not finished: run the same command again to continue it.")
    return " ".join(sentences)


def _accuracy(row: "pd.Series[float]", split: str) -> str:
    """`91.30 % (95 % interval 90.1–92.4 %, n = 2,000)`."""
    share, low, high = (row[f"{split}_{name}"] for name in ("accuracy", "low", "high"))
    if pd.isna(share):
        return "not recorded"
    interval = f" (95 % interval {span(low, high)} %, n = {row[f'{split}_images']:,})" if pd.notna(low) else ""
    return f"{percent(share)} %{interval}"


def _listed(names: list[str], form: str, most: int = _MOST_NAMED) -> str:
    """The names in a form such as ` ({})`; nothing if there are none, or too many to name."""
    return form.format("; ".join(names)) if 0 < len(names) <= most else ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
