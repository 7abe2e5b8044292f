"""Data frames → what people and programs read: CSV and Parquet with every digit, Markdown and cells with percents."""

import math
from collections.abc import Callable
from functools import partial

import pandas as pd

from analysis.results.compared import over_seeds, repeats
from analysis.results.configurations import changed_values, recipe_of, text
from analysis.results.decisions import share_right
from analysis.results.format import TITLES, about, mean_and_deviation, number, percent, points_span, span, with_span
from analysis.results.judged import Findings
from analysis.results.searches import front, importance
from analysis.results.seeds import has_seeds
from analysis.results.trials import RESULT_METRICS, Results, varied_hyperparameters
from data_prep.escaping import as_csv, as_markdown
from trainables.training.metrics import METRICS, SCORED_SPLITS

#: A column of cells: its heading, what writes a cell, and the columns of the data frame that this writes.
Column = tuple[str, Callable[..., str], *tuple[str, ...]]

_count, _area = partial(number, digits=0), partial(number, digits=4)
_MOST_WITH_METRICS = 20
_CONFIGURATION: Column = ("network", str, "configuration")
_TRIAL: list[Column] = [_CONFIGURATION, ("seed", str, "seed"), ("training set", str, "training_set")]
_SIZES: list[Column] = [
    ("parameters", _count, "parameters"),
    ("epochs", _count, "epochs_done"),
    ("best epoch", _count, "best_epoch"),
]


def files(results: Results, findings: Findings) -> dict[str, bytes | None]:
    """File name → content of every table that there can be; None where this record has no rows for it.

    `networks` needs several seeds.
    """
    kept = frames(results, findings)
    return {
        **dict.fromkeys(f"{name}.{kind}" for name in _FRAMES for kind in ("csv", "parquet")),
        **{f"{name}.csv": as_csv(frame) for name, frame in kept.items()},
        **{f"{name}.parquet": frame.to_parquet(index=False) for name, frame in kept.items()},
        "results.md": results_markdown(results).encode(),
        "networks.md": networks_markdown(results).encode() if "networks" in kept else None,
    }


def frames(results: Results, findings: Findings) -> dict[str, pd.DataFrame]:
    """Name → every table of which this record has rows, and `results` in any case."""
    known = {name: frame(results, findings) for name, frame in _FRAMES.items()}
    return {name: frame for name, frame in known.items() if name == "results" or len(frame)}


def results_table(trials: pd.DataFrame) -> pd.DataFrame:
    """The published columns of the trials; numbers are not rounded, accuracies are 0–1."""
    names = [
        *("rank", "network", *varied_hyperparameters(trials), "seed"),
        *(["training_subset"] * bool((trials["training_subset"] > 0).any()) + RESULT_METRICS),
        *("parameters", "epochs_done", "best_epoch", "wall_seconds", "status", "reason"),
        *(f"{split}_{end}" for split in SCORED_SPLITS for end in ("low", "high")),
        *(f"{split}_images" for split in ("train", *SCORED_SPLITS)),
        "trial",
    ]
    return trials[names]


def _cells(frame: pd.DataFrame, *columns: Column) -> pd.DataFrame:
    """The columns as text, row by row, without those that the frame lacks."""
    return pd.DataFrame(
        {
            heading: [write(*row) for row in frame[list(names)].itertuples(index=False)]
            for heading, write, *names in columns
            if set(names) <= set(frame)
        }
    )


def _on_splits(heading: str, write: Callable[..., str], *names: str) -> list[Column]:
    """A column for each split, of its values of these names: its title stands in `heading`."""
    return [(heading.format(title), write, *(f"{split}_{name}" for name in names)) for split, title in TITLES.items()]


def _with_training_sets(trials: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Trials with a column for people that tells their training set, where there are several."""
    return trials.assign(training_set=trials["training_subset"]) if results.has_training_sets else trials


def ranked_cells(results: Results) -> pd.DataFrame:
    """The ranking as text, one row a trial, a column a heading."""
    losses: list[Column] = [("validation loss", _area, "validation_loss")]
    return _cells(
        _with_training_sets(results.ranked, results),
        ("rank", str, "rank"),
        *_TRIAL,
        *_on_splits("{} %", _share, "accuracy", "low", "high"),
        *_on_splits("{} AUC", _area, "auc"),
        *losses * (results.provenance.metric == "validation_loss"),
        *_SIZES,
        ("seconds", partial(number, digits=1), "wall_seconds"),
        ("trial", str, "trial"),
    )


def configuration_cells(results: Results) -> pd.DataFrame:
    """The configurations that a search numbers as text: in what each differs from its network's own recipe."""
    first = results.trials[results.trials["number"].notna()].drop_duplicates("configuration")
    recipes = map(recipe_of, first.to_dict("records"))
    differences = [
        ", ".join(f"{name} {text(value)}" for name, value in changed_values(recipe).items()) for recipe in recipes
    ]
    return _cells(
        first.assign(differences=differences),
        _CONFIGURATION,
        ("status", str, "status"),
        _of_metric(results),
        ("differs from its network's own recipe in", str, "differences"),
    )


def _of_metric(results: Results) -> Column:
    title, metric = results.provenance.metric_title, results.provenance.metric
    return (f"{title} %", percent, metric) if metric.endswith("accuracy") else (title, _area, metric)


def flagged_cells(results: Results) -> pd.DataFrame:
    """The trials that are not ranked as text, with the reason."""
    flagged = _with_training_sets(results.flagged, results)
    return _cells(flagged, ("status", str, "status"), *_TRIAL, ("reason", str, "reason"), _SIZES[1])


def network_cells(results: Results) -> pd.DataFrame:
    """The networks over their trials as text: mean ± standard deviation (95 % interval), and the number of trials."""
    return _cells(
        over_seeds(results),
        *(_CONFIGURATION, ("n", str, "n"), ("flagged", str, "flagged")),
        *_on_splits("{} %", _spread, "accuracy_mean", "accuracy_std", "accuracy_low", "accuracy_high"),
        _SIZES[0],
    )


def repeat_cells(results: Results) -> pd.DataFrame:
    """The configurations that a search trained again with new seeds, as text: mean and 95 % interval over n seeds."""
    return _cells(
        repeats(results),
        *(_CONFIGURATION, ("n", str, "n")),
        *_on_splits("{} %", partial(_share, digits=2), "accuracy_mean", "accuracy_low", "accuracy_high"),
    )


def metric_cells(findings: Findings) -> pd.DataFrame:
    """Every metric on test as text, a row each of the first configurations: the mean over its n trials."""
    if not len(findings.metrics):
        return pd.DataFrame()
    on_test = findings.metrics[findings.metrics["part"] == "test"].groupby("configuration", sort=False)
    means = on_test[list(METRICS)].mean().assign(n=on_test.size()).head(_MOST_WITH_METRICS).reset_index()
    write = partial(number, digits=3)
    return _cells(
        means, _CONFIGURATION, ("n", str, "n"), *((metric.title, write, name) for name, metric in METRICS.items())
    )


def trial_metric_cells(findings: Findings) -> pd.DataFrame:
    """Every metric of the first trials as text, a row a trial and part, with 95 % intervals."""
    if "accuracy_low" not in findings.metrics:
        return pd.DataFrame()
    return _cells(
        findings.metrics.dropna(subset="accuracy_low"),
        *(*_TRIAL, ("on", TITLES.__getitem__, "part")),
        *((metric.title, with_span, name, f"{name}_low", f"{name}_high") for name, metric in METRICS.items()),
    )


def probability_cells(findings: Findings) -> pd.DataFrame:
    """How good the probabilities of the first trials are on test as text, and how often their FAKE is right."""
    if "slope" not in findings.metrics:
        return pd.DataFrame()
    rows = findings.metrics[findings.metrics["slope"].notna() & (findings.metrics["part"] == "test")]
    losses = {"log loss before": "log_loss", "log loss after": "calibrated_log_loss"}
    errors = {"calibration error before": "ece", "calibration error after": "calibrated_ece"}
    return _cells(
        rows,
        *_TRIAL,
        ("slope", partial(number, digits=2), "slope"),
        *((title, _area, name) for title, name in losses.items()),
        *((title, with_span, name, f"{name}_low", f"{name}_high") for title, name in errors.items()),
        *(
            (
                f"FAKE right at {100 * prior:g} %",
                lambda fake, real, prior=prior: percent(share_right(fake, 1 - real, prior), 1),
                "recall_fake",
                "recall_real",
            )
            for prior in (0.5, 0.1, 0.01)
        ),
    )


def networks_note(results: Results) -> str:
    """How to read the table of networks."""
    return (
        "Accuracies in %, mean ± standard deviation over n ranked trials, and the 95 % interval of the mean over "
        f"{results.scope}, for which networks share what is known of the spread; with one trial it is over images. "
        "Flagged trials do not enter. Validation at probability 0.5, test at the threshold that is best on "
        "validation."
    )


def spread_cells(findings: Findings) -> pd.DataFrame:
    """What the accuracy of one training varies with as text: standard deviations in points, with 95 % intervals."""
    return _cells(
        findings.spread,
        _CONFIGURATION,
        ("training sets", str, "training_sets"),
        ("seeds", _count, "seeds"),
        *(
            (f"by {name}, points", partial(_share, digits=2), part, f"{part}_low", f"{part}_high")
            for part, name in {"training_set": "training set", "seed": "seed", "images": "test images"}.items()
        ),
    )


def verdict_cells(findings: Findings) -> pd.DataFrame:
    """What test says of each configuration as text: means over images and seeds with intervals, and the verdict."""
    frame, unit = findings.compared.configurations, findings.compared.unit
    if not len(frame) or not len(findings.compared.pairs):
        return pd.DataFrame()
    return _cells(
        frame,
        _CONFIGURATION,
        (f"{unit}s", str, "seeds"),
        ("test %", _share, "accuracy", "accuracy_low", "accuracy_high"),
        ("test AUC", with_span, "auc", "auc_low", "auc_high"),
        ("verdict", str, "verdict"),
        (f"{unit}s for a verdict", _or_dash, "seeds_needed"),
        ("test images besides", _or_dash, "images_needed"),
        ("it would be", lambda verdict: verdict or "–", "then"),
    )


def pair_cells(findings: Findings) -> pd.DataFrame:
    """Every pair of networks with two seeds or more as text: how far the first is ahead, with its interval."""
    return _cells(
        findings.compared.pairs,
        ("network", str, "configuration"),
        ("less", str, "other"),
        ("points of accuracy", lambda lead: f"{100 * lead:+.2f}", "difference"),
        ("interval", points_span, "low", "high"),
        ("points of AUC", lambda lead: f"{100 * lead:+.2f}", "auc_difference"),
        ("interval of AUC", points_span, "auc_low", "auc_high"),
    )


def results_markdown(results: Results) -> str:
    """`results.md`: the ranking, the flagged trials apart, and what must be said beside them."""
    parts = [f"# Results of the sweep {as_markdown(results.provenance.sweep)}", *results.provenance.caveats]
    parts += (
        [_markdown(ranked_cells(results)), ranking_note(results)]
        if len(results.ranked)
        else ["No trial is ranked yet."]
    )
    if len(results.flagged):
        parts += ["## Not ranked", _markdown(flagged_cells(results))]
    return "\n\n".join(parts) + "\n"


def ranking_note(results: Results) -> str:
    """How to read the ranking, with n."""
    sizes = ", ".join(f"{title} n = {results.images(split)}" for split, title in TITLES.items())
    has_stopped = bool((results.ranked["status"] == "stopped").any())
    stopped = ", and those that were stopped early after those that trained to the end" * has_stopped
    clusters = results.scores.clusters("test")
    method = (
        f"CR2, over {clusters} clusters of images that are not independent" if clusters else "Wilson, over the images"
    )
    return (
        f"Accuracies in %, with 95 % intervals ({method}): {sizes}. Validation at probability 0.5, as in training; "
        "test at the threshold of the best balanced accuracy on validation, so that test may exceed validation. The "
        "clean test is the test without copies, exact or near, of images in train or validation. AUC needs no "
        f"threshold; FAKE is the positive class. Ranked on validation alone{stopped}."
    )


def networks_markdown(results: Results) -> str:
    """`networks.md`: mean and standard deviation over the seeds."""
    parts = [
        f"# Networks of the sweep {as_markdown(results.provenance.sweep)} over their {results.unit}s",
        *results.provenance.caveats,
    ]
    return "\n\n".join([*parts, _markdown(network_cells(results)), networks_note(results)]) + "\n"


#: Name → a table of results and findings; without rows where the record has none.
_FRAMES: dict[str, Callable[[Results, Findings], pd.DataFrame]] = {
    "results": lambda results, _: results_table(results.trials),
    "networks": lambda results, _: over_seeds(results) if has_seeds(results.trials) else pd.DataFrame(),
    "metrics": lambda _, findings: findings.metrics,
    "verdicts": lambda _, findings: _verdicts(findings),
    "comparisons": lambda _, findings: findings.compared.pairs,
    "classes": lambda _, findings: findings.classes,
    "mistakes": lambda _, findings: findings.mistakes,
    "spread": lambda _, findings: findings.spread,
    "repeats": lambda results, _: repeats(results),
    "front": lambda results, _: results_table(front(results)),
    "importance": lambda results, _: importance(results),
}


def _verdicts(findings: Findings) -> pd.DataFrame:
    """The configurations as `Compared` has them; where means are over training sets, with columns that say so."""
    names = {"seeds": "training_sets", "seeds_needed": "training_sets_needed"}
    frame = findings.compared.configurations
    return frame.rename(columns=names) if findings.compared.unit == "training set" else frame


def _or_dash(count: int) -> str:
    return about(count) if count else "–"


def _share(share: float, low: float, high: float, digits: int = 1) -> str:
    """`91.20 (90.1–92.3)`; without an interval the share alone."""
    return percent(share) + (f" ({span(low, high, digits)})" if math.isfinite(low) else "")


def _spread(mean: float, deviation: float, low: float, high: float) -> str:
    """`91.20 ± 0.14 (90.1–92.3)`; without an interval the mean alone."""
    return mean_and_deviation(mean, deviation) + (f" ({span(low, high)})" if math.isfinite(low) else "")


def _markdown(cells: pd.DataFrame) -> str:
    """A pipe table of text as it is."""
    escaped = cells.map(lambda cell: as_markdown(str(cell)))
    return str(escaped.to_markdown(index=False, disable_numparse=True))
