"""What a paper must say of a sweep, from its record: a row a point."""

from analysis.results.compared import Compared
from analysis.results.format import points
from analysis.results.trials import Results, varied_hyperparameters


def checklist(results: Results, compared: Compared) -> dict[str, str]:
    """Point → what the record says of it. A point without an answer has none."""
    manifest, ranked = results.provenance.manifest, results.ranked
    locked, looks = manifest.locked or {}, manifest.looks
    seeds = ranked.groupby("configuration")["seed"].nunique()
    some = f"{seeds.min()} to {seeds.max()}" if seeds.nunique() > 1 else str(seeds.max() if len(seeds) else 0)
    varied = ["network"] * (results.trials["network"].nunique() > 1) + varied_hyperparameters(results.trials)
    scope = results.scope if len(compared.pairs) else "images alone, of these trained networks and this training set"
    return {
        "What was varied": ", ".join(varied) or "nothing",
        "Chosen on validation": f"best epoch and best trial, by {results.provenance.metric_title}; each trial's "
        "threshold, by balanced accuracy",
        "Chosen on test": "nothing",
        "Images": f"{results.images('train')} for training, {results.images('validation')} for validation, "
        f"{results.images('test')} for test, {results.images('test_clean')} of them not in train or validation",
        "Seeds per network": some,
        "Training sets": str(results.trials["training_subset"].nunique()) if results.has_training_sets else "",
        "Trials that are not ranked": f"{len(results.flagged):,} of {len(results.trials):,}",
        "Intervals": f"95 %. Of means and differences: over {scope}. Of single trials: over images. Thresholds are "
        "taken as given",
        "Locked before test": _locked(locked),
        "Changed afterwards": _changes(results, compared),
        "Looks at test": "; ".join(
            f"{look['when']}, with {max(look['seeds'].values(), default=0)} seeds" for look in looks
        )
        + "; another, with more seeds, would widen the intervals" * bool(looks),
    }


def _locked(locked: dict[str, object]) -> str:
    """What was decided before test was scored."""
    if not locked:
        return "nothing: the record is older than this version"
    margin, sets = float(str(locked["margin"])), int(str(locked.get("training_sets", 1)))
    return (
        f"{locked['when']}: ranked by {str(locked['metric']).replace('_', ' ')}, thresholds {locked['threshold']}, "
        f"{locked['comparisons']}, a margin of {points(margin)}; seeds: {locked['seeds']}"
        + (f" on each of {sets} training sets" if sets > 1 else "")
    )


def _changes(results: Results, compared: Compared) -> str:
    """In what the report differs from what was locked."""
    locked = results.provenance.manifest.locked
    if not locked:
        return ""
    most = int(results.ranked.groupby("configuration")["seed"].nunique().max()) if len(results.ranked) else 0
    changes = [f"the margin is {points(compared.margin)}"] * (abs(compared.margin - locked["margin"]) > 1e-12)
    changes += [f"there are {most} seeds"] * (most > locked["seeds"])
    return "; ".join(changes) or "nothing"
