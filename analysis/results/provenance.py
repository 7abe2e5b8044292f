"""A record's manifest, for people."""

from dataclasses import dataclass
from typing import Any

from data_prep import InputError
from trainables.record import Manifest
from trainables.training.metrics import EPOCH_METRICS

SAMPLE_CAVEAT = "The embedded sample is a stand-in for trying the system, not a benchmark."
SMOKE_CAVEAT = "This was a smoke run: one epoch on a few hundred images shows that the system works, and nothing else."

_METRICS = [f"validation_{name}" for name in EPOCH_METRICS]
_AUDIT_COUNTS = {
    "images": "{:,} readable images",
    "distinct_images": "{:,} of them distinct",
    "test_images_in_train": "{:,} test images also stand in train or validation, and are left out of the clean test",
    "test_images_near_train": "{:,} test images have near-copies in train or validation, and are left out as well",
    "groups_with_both_labels": "{:,} images stand under both labels",
    "pictures_with_both_labels": "pictures with copies, exact or near, under both labels: {:,}",
    "file_size_auc": "the file size alone tells the labels apart with AUC {:.2f}",
}


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a record come from: its `manifest`, and what follows from it.

    `source` names the images for people. `facts` is term → text. `audit` has a sentence for each finding about the
    data, and `caveats` the sentences that belong beside every number. `codecs` are those of the source's files.
    """

    manifest: Manifest
    source: str
    facts: dict[str, str]
    audit: list[str]
    caveats: list[str]
    codecs: tuple[str, ...] = ()

    @property
    def sweep(self) -> str:
        """The sweep's name."""
        return self.manifest.sweep

    @property
    def metric(self) -> str:
        """The metric that ranks the trials."""
        return self.manifest.metric

    @property
    def metric_title(self) -> str:
        """The metric that ranks, for people."""
        return self.metric.replace("_", " ").replace("auc", "AUC")

    @property
    def direction(self) -> str:
        """The better end of the metric: max or min."""
        return self.manifest.direction

    @property
    def search(self) -> dict[str, Any]:
        """What `Search.describe` of `sweeps.searching.study` gives, empty for a sweep that is no search."""
        return self.manifest.search or {}

    @property
    def floors(self) -> dict[str, float]:
        """The test accuracy of a linear probe on colour and spectrum together, by its name; empty if not measured."""
        reached = (self.manifest.floor or {}).get("both", {}).get("test_accuracy")
        return {} if reached is None else {"linear probe on colour and spectrum": reached}


def provenance(manifest: Manifest) -> Provenance:
    """The provenance in a manifest. Raises InputError if it ranks by anything but a metric of validation."""
    metric, direction, source = manifest.metric, manifest.direction, manifest.data.source
    if metric not in _METRICS or direction not in ("max", "min"):
        raise InputError(f"The manifest ranks by {metric!r} ({direction!r}); it must be one of {', '.join(_METRICS)}.")
    return Provenance(
        manifest=manifest,
        source="the embedded sample" if source == "sample" else source,
        facts={term: str(fact) for term, fact in _facts(manifest).items() if fact not in (None, "")},
        audit=_findings(manifest.data.audit),
        caveats=[SAMPLE_CAVEAT] * (source == "sample") + [SMOKE_CAVEAT] * bool(manifest.settings.get("smoke")),
        codecs=codecs(manifest.data.audit),
    )


def codecs(audit: Any) -> tuple[str, ...]:
    """The codecs that an audit counted, under either label; none where it counted none."""
    counts = _section(audit, "codecs").values() if isinstance(audit, dict) else ()
    return tuple(sorted({codec for by_codec in counts if isinstance(by_codec, dict) for codec in by_codec}))


def _section(parent: dict[str, Any], name: str) -> dict[str, Any]:
    section = parent.get(name)
    return section if isinstance(section, dict) else {}


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Term → its value; None or an empty text for what the manifest lacks."""
    changes = {None: "", True: ", with changes that were not committed", False: ", with no uncommitted change"}[
        manifest.dirty
    ]
    data = manifest.data
    return {
        "Data": data.source,
        "Shards": data.shards,
        "Fingerprint of the shards": data.shards_fingerprint,
        "Fingerprint of the images used": data.fingerprint,
        "Image size": f"{data.image_size} x {data.image_size} pixels" if data.image_size else "",
        "Images in the shards": "; ".join(
            f"{split} {' + '.join(f'{count:,} {label}' for label, count in labels.items())}"
            for split, labels in data.counts.items()
        ),  # train 500 REAL + 500 FAKE; test …
        "Images used": _pairs({name: f"{count:,}" for name, count in data.used.items()}),
        "Command": manifest.command,
        "Settings": _pairs(manifest.settings),
        "Ranked by": f"{manifest.metric}, {manifest.direction}",
        "Seed numbers": ", ".join(map(str, manifest.seeds)),
        "Commit": f"{manifest.commit}{changes}" if manifest.commit else "none: the code was not in a git checkout",
        "Versions": _pairs(manifest.versions),
        "Hardware": _pairs(manifest.hardware),
        "Started": manifest.started,
        "Wall time": f"{manifest.wall_seconds:,.0f} s" if manifest.wall_seconds else "",
    }


def _pairs(section: dict[str, Any]) -> str:
    """The values as text, without those that are at their defaults."""
    return ", ".join(
        f"{name.replace('_', ' ')}{'' if value is True else f' {value}'}"
        for name, value in section.items()
        if value is not None and value is not False
    )


def _findings(audit: dict[str, Any]) -> list[str]:
    lines = [f"Warning: {warning}" for warning in audit.get("warnings", ())]
    lines += [form.format(audit[name]) for name, form in _AUDIT_COUNTS.items() if audit.get(name) is not None]
    if pairs := _section(audit, "duplicate_pairs"):
        lines.append("pairs of duplicates: " + ", ".join(f"{count:,} inside {split}" for split, count in pairs.items()))
    if unreadable := _section(audit, "unreadable"):
        path, reason = next(iter(unreadable.items()))
        lines.append(f"unreadable files: {len(unreadable):,}, such as {path} ({reason})")
    return [*lines, *audit.get("notes", ())]
