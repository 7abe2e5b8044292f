"""A record's manifest: under which conditions its numbers were made, and whether new ones may join them."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep import shards
from data_prep.errors import InputError
from data_prep.storage import Folder
from sweeps.engine.options import Options
from sweeps.record.writer import FORMAT_VERSION, MANIFEST, read_manifest
from trainables.layers.pretrained import Weights
from trainables.training.selection import Data, Source

if TYPE_CHECKING:
    from sweeps.engine.run import Sweep

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
class Inputs:
    """What the trials of a sweep are given: what is taken from which shards, and pretrained weights by body."""

    source: Source
    data: Data
    weights: dict[str, Weights]
    #: By which the fork servers of this sweep are found, on every node.
    token: str


def describe(sweep: "Sweep", options: Options, inputs: Inputs, hardware: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a record that is about to be filled."""
    return {
        "format_version": FORMAT_VERSION,
        "sweep": sweep.name,
        "question": sweep.question,
        "command": shlex.join(["python", *sys.argv]),
        "settings": options.settings() | dict(sweep.settings),
        "search": sweep.search.describe() if sweep.search else None,
        "data": _describe_data(inputs.source.folder, inputs.data),
        "weights": {body: weights.sha256 for body, weights in inputs.weights.items()},
        "metric": sweep.metric,
        "direction": sweep.direction,
        **_commit(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "versions": {package: version(package) for package in _PACKAGES},
        "hardware": hardware,
        "seeds": sorted({recipe.seed for recipe in sweep.recipes}),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": None,
    }


def _describe_data(shard_folder: Folder, data: Data) -> dict[str, Any]:
    manifest = shards.read_manifest(shard_folder)
    return {
        "source": manifest.source,
        "fingerprint": data.fingerprint,
        "shards": str(shard_folder),
        "image_size": manifest.image_size,
        "counts": manifest.counts,
        "used": {
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
            "test_clean": int((~data.test.in_train).sum()),
        },
        "audit": manifest.audit,
    }


def _commit() -> dict[str, Any]:
    """The git commit of this code and whether it was changed since; nulls outside a checkout."""
    here = Path(__file__).parent.parent.parent
    git = ["git", "-C", str(here)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
        return {"commit": commit, "dirty": bool(changed.strip())}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def make_way(folder: Folder, sweep: "Sweep", options: Options, inputs: Inputs) -> None:
    """Move an old record aside where that was asked for, and refuse to mix results of other data or settings into it.

    A smoke run's record is no result: it makes way by itself for a real run.
    """
    if not folder.exists(MANIFEST):
        return
    manifest = None if options.fresh else read_manifest(folder)
    if manifest is None or (manifest["settings"]["smoke"] and not options.smoke):
        aside = Folder(f"{folder.location.rstrip('/')}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        folder.move_to(aside)
        print(f"The old record is now at {aside}.")
        return
    _refuse_other_settings(folder, manifest["settings"], options.settings() | dict(sweep.settings))
    if sweep.search and manifest.get("search") != sweep.search.describe():
        raise InputError(f"{folder} was made with another search space; give another --results, or --fresh.")
    then = manifest.get("weights", {})  # a record from before there were any has none
    if any(then.get(body, weights.sha256) != weights.sha256 for body, weights in inputs.weights.items()):
        raise InputError(f"{folder} was made with other --weights; give those, another --results, or --fresh.")
    if manifest["data"]["fingerprint"] != inputs.data.fingerprint:
        made = manifest["data"]["shards"]
        raise InputError(
            f"{folder} was made with other data ({made}); give that as --data, another --results, or --fresh."
        )


def _refuse_other_settings(folder: Folder, then: dict[str, Any], now: dict[str, Any]) -> None:
    for name, value in now.items():
        if then.get(name) != value:
            raise InputError(
                f"{folder} was made with --{name.replace('_', '-')} {_told(then.get(name))}, and now it is "
                f"{_told(value)}; give the same, another --results, or --fresh to start over."
            )


def _told(value: Any) -> str:
    return "not given" if value in (None, False) else "given" if value is True else str(value)
