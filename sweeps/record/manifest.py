"""A record's manifest: under which conditions its numbers were made, and whether new ones may join them."""

import os
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep import Folder, InputError, shards
from sweeps.engine.inputs import Inputs
from sweeps.engine.options import Options
from sweeps.engine.sweep import Sweep
from trainables.record import FORMAT_VERSION, MANIFEST, read_manifest
from trainables.training.metrics import SELECTION_METRIC

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


@dataclass(frozen=True)
class Manifest:
    """The manifest of a record, as its JSON file has it.

    `settings` are the options that decide what a result means, `search` identifies a search, `data` says which images
    were used, `weights` has a hash a body, and `floor` is what linear probes reach. `locked` is what was fixed before
    test was scored; `looks` has each look at test: when, and how many seeds a network.
    """

    sweep: str
    question: str
    settings: dict[str, Any]
    search: dict[str, Any] | None
    data: dict[str, Any]
    weights: dict[str, str]
    metric: str
    direction: str
    command: str
    hardware: dict[str, Any]
    commit: str | None
    dirty: bool | None
    seeds: list[int] = field(default_factory=list)
    backend: str = field(default_factory=lambda: os.environ.get("KERAS_BACKEND", "tensorflow"))
    versions: dict[str, str] = field(default_factory=lambda: {package: version(package) for package in _PACKAGES})
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    wall_seconds: float | None = None
    floor: dict[str, Any] | None = None
    locked: dict[str, Any] | None = None
    looks: list[dict[str, Any]] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    def write(self, folder: Folder) -> None:
        """Write it into a record's folder."""
        folder.write_json(MANIFEST, asdict(self))


def describe(sweep: Sweep, options: Options, inputs: Inputs, hardware: dict[str, Any]) -> Manifest:
    """The manifest of a record that is about to be filled."""
    commit, dirty = _commit()
    prepared, data = shards.read_manifest(inputs.selection.folder), inputs.data
    used = {split: len(getattr(data, split)) for split in shards.SPLITS}
    return Manifest(
        sweep=sweep.name,
        question=sweep.question,
        settings=options.settings() | dict(sweep.settings),
        search=sweep.strategy.describe(),
        data={
            "source": prepared.source,
            "fingerprint": data.fingerprint,
            "shards_fingerprint": prepared.fingerprint,
            "shards": str(inputs.selection.folder),
            "image_size": prepared.image_size,
            "counts": prepared.counts,
            "used": used | {"test_clean": int((~data.test.duplicate).sum())},
            "audit": prepared.audit,
        },
        weights={body: weights.sha256 for body, weights in inputs.weights.items()},
        metric=SELECTION_METRIC,
        direction="max",
        command=options.command_line,
        hardware=hardware,
        commit=commit,
        dirty=dirty,
        seeds=sorted({recipe.seed for recipe in sweep.strategy.representatives}),
    )


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
    fingerprint = inputs.data.fingerprint  # images that cannot be loaded are refused before a record is moved
    if not folder.exists(MANIFEST):
        return
    manifest = None if options.fresh else read_manifest(folder)
    if manifest is None or (manifest["settings"]["smoke"] and not options.smoke):
        aside = Folder(f"{folder.location.rstrip('/')}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        folder.move_to(aside)
        print(f"The old record is now at {aside}.")
        return
    if reason := misfit(manifest, sweep, options, fingerprint):
        raise InputError(f"{folder} was made with {reason}, another --results, or --fresh to start over.")
    hashes = manifest.get("weights", {})
    if any(hashes.get(body, weights.sha256) != weights.sha256 for body, weights in inputs.weights.items()):
        raise InputError(f"{folder} was made with other --weights; give those, another --results, or --fresh.")


def misfit(manifest: dict[str, Any], sweep: Sweep, options: Options, fingerprint: str) -> str | None:
    """In what a record differs from results of this sweep on data of this fingerprint, and its remedy; or None."""
    then, now = manifest["settings"], options.settings() | dict(sweep.settings)
    for name, value in now.items():
        if then.get(name) != value:
            option = f"--{name.replace('_', '-')}"
            return f"{option} {_given(then.get(name))}, and now it is {_given(value)}; give the same"
    search = sweep.strategy.describe()
    if search and manifest.get("search") != search:
        return "another search space; give the same"
    if manifest["data"]["fingerprint"] != fingerprint:
        return f"other data ({manifest['data']['shards']}); give that as --data"
    return None


def _given(value: Any) -> str:
    return "not given" if value in (None, False) else "given" if value is True else str(value)
