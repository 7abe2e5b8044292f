"""A record's manifest: under which conditions its numbers were made, and whether new ones may join them."""

import subprocess
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep import Folder, InputError, shards
from data_prep.layout.vocabulary import SPLITS
from sweeps.engine.inputs import Inputs
from sweeps.engine.options import Options
from sweeps.engine.sweep import Sweep
from sweeps.record.writer import Record
from trainables.backends import backend
from trainables.record import MANIFEST, DataFacts, Manifest, read_manifest
from trainables.training.metrics import MARGIN, SELECTION_METRIC

_PACKAGES = (
    "cifake-sweeps",
    "keras",
    "numpy",
    "optuna",
    "pandas",
    "pillow",
    "pyarrow",
    "ray",
    "scikit-learn",
    "tensorflow",
)


def describe(sweep: Sweep, options: Options, inputs: Inputs, hardware: dict[str, Any], record: Folder) -> Manifest:
    """The manifest of a record that is about to be filled: what was locked, and looks at test, stay as they are."""
    commit, dirty = _commit()
    before = read_manifest(record) if record.exists(MANIFEST) else Manifest()
    prepared, data = shards.read_manifest(inputs.selection.folder), inputs.data
    used = {split: len(getattr(data, split)) for split in SPLITS}
    return Manifest(
        sweep=sweep.name,
        question=sweep.question,
        settings=options.settings() | dict(sweep.settings),
        search=sweep.strategy.describe(),
        data=DataFacts(
            source=prepared.source,
            fingerprint=data.fingerprint,
            shards_fingerprint=prepared.fingerprint,
            shards=str(inputs.selection.folder),
            image_size=prepared.image_size,
            counts=prepared.counts,
            used=used | {"test_clean": int((~data.test.duplicate).sum())},
            audit=prepared.audit,
        ),
        weights={body: weights.sha256 for body, weights in inputs.weights.items()},
        command=options.command_line,
        hardware=hardware,
        commit=commit,
        dirty=dirty,
        seeds=sorted({recipe.seed for recipe in sweep.strategy.representatives}),
        backend=backend(),
        versions={package: version(package) for package in _PACKAGES},
        started=_now(),
        locked=before.locked or _lock(options),
        looks=before.looks,
    )


def _lock(options: Options) -> dict[str, Any]:
    """What is decided before test is scored: nothing on test may have a part in it."""
    return {
        "when": _now(),
        "metric": SELECTION_METRIC,
        "threshold": "best on validation",
        "margin": MARGIN if options.margin is None else options.margin / 100,
        "seeds": options.seeds,
        "training_sets": options.resample_train or 1,
        "comparisons": "test accuracy of all pairs of networks with two seeds or more",
    }


def looked(manifest: Manifest, record: Record) -> list[dict[str, Any]]:
    """The looks at test, the coming one included if it shows other numbers of seeds than the last.

    A look has `when`, and `seeds`, network → the most seeds of a configuration of it. One that can give no verdict, for
    want of seeds or while trials are left, is none.
    """
    counts = Counter(replace(record.recipe(trial), seed=0) for trial in record.trials if record.is_complete(trial))
    seeds: dict[str, int] = {}
    for recipe, count in counts.items():
        seeds[recipe.network] = max(count, seeds.get(recipe.network, 0))
    is_look = max(seeds.values(), default=0) > 1 and all(map(record.is_complete, record.trials))
    if not is_look or (manifest.looks and manifest.looks[-1]["seeds"] == seeds):
        return manifest.looks
    return [*manifest.looks, {"when": _now(), "seeds": seeds}]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> tuple[str | None, bool | None]:
    """The git commit of this code, and whether it has changed since; nulls outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parents[2])]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
        return commit, bool(changed.strip())
    except (OSError, subprocess.CalledProcessError):
        return None, None


def make_way(folder: Folder, sweep: Sweep, options: Options, inputs: Inputs) -> None:
    """Move an old record aside where that was asked for, and refuse to mix results of other data or settings into it.

    A smoke run's record is no result: it makes way for a real run. Raises InputError.
    """
    folder.check_plain()
    folder.clear()
    fingerprint = inputs.data.fingerprint  # images that cannot be loaded are refused before a record is moved
    if not folder.exists(MANIFEST):
        return
    manifest = None if options.fresh else read_manifest(folder)
    if manifest is None or (manifest.settings.get("smoke") and not options.smoke):
        aside = Folder(f"{folder.location.rstrip('/')}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        folder.move_to(aside)
        print(f"The old record is now at {aside}.")
        return
    if reason := misfit(manifest, sweep, options, fingerprint):
        raise InputError(f"{folder} was made with {reason}, another --results, or --fresh to start over.")
    if any(manifest.weights.get(body, weights.sha256) != weights.sha256 for body, weights in inputs.weights.items()):
        raise InputError(f"{folder} was made with other --weights; give those, another --results, or --fresh.")


def misfit(manifest: Manifest, sweep: Sweep, options: Options, fingerprint: str) -> str | None:
    """In what a record differs from results of this sweep on data of this fingerprint, and its remedy; or None."""
    then, now = manifest.settings, options.settings() | dict(sweep.settings)
    for name, value in now.items():
        if then.get(name) != value:
            option = f"--{name.replace('_', '-')}"
            return f"{option} {_given(then.get(name))}, and now it is {_given(value)}; give the same"
    search = sweep.strategy.describe()
    if search and manifest.search != search:
        return "another search space; give the same"
    if manifest.data.fingerprint != fingerprint:
        return f"other data ({manifest.data.shards}); give that as --data"
    return None


def _given(value: Any) -> str:
    return "not given" if value in (None, False) else "given" if value is True else str(value)
