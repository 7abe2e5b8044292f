"""A record's manifest in one shape, whatever of it is missing: the only place that knows its keys."""

from dataclasses import dataclass, field
from typing import Any

from data_prep.errors import InputError

SAMPLE_CAVEAT = "The embedded sample is a stand-in for trying the system, not a benchmark."
SMOKE_CAVEAT = "This was a smoke run: one epoch on a few hundred images shows that the system works, and nothing else."

_METRICS = ("validation_accuracy", "validation_auc", "validation_loss")
_AUDIT_COUNTS = {
    "images": "{:,} readable images",
    "distinct_images": "{:,} of them distinct",
    "test_images_in_train": "{:,} test images also stand in train, and are left out of the clean test",
    "groups_with_both_labels": "{:,} images stand under both labels",
    "file_size_auc": "the file size alone tells the labels apart with AUC {:.2f}",
}


@dataclass(frozen=True)
class Provenance:
    """Where a record's numbers come from.

    `metric` ranks the trials and `direction` is max or min; `used` is split → images used; `facts` are term and text,
    for people; `audit` is a sentence a finding; `caveats` are sentences that belong beside every number. `search` is
    what `sweeps.searching.results.Search.describe` tells; empty for a sweep that is no search. `floor` is what
    `trainables.training.probes.probe` measured; empty where it did not. `codecs` are those of the files that the images come
    from. `manifest` is the whole of it.
    """

    sweep: str
    question: str
    source: str
    metric: str
    direction: str
    used: dict[str, int]
    facts: dict[str, str]
    audit: list[str]
    caveats: list[str]
    search: dict[str, Any] = field(default_factory=dict)
    floor: dict[str, Any] = field(default_factory=dict)
    codecs: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)


def provenance(manifest: dict[str, Any]) -> Provenance:
    """The provenance that a manifest tells. Raises InputError for a metric that no trial has or that is of test."""
    data, settings = _section(manifest, "data"), _section(manifest, "settings")
    metric, direction = manifest.get("metric") or _METRICS[0], manifest.get("direction") or "max"
    if metric not in _METRICS or direction not in ("max", "min"):
        raise InputError(f"The manifest ranks by {metric!r} ({direction!r}); it must be one of {', '.join(_METRICS)}.")
    source = str(data.get("source") or "an unnamed source")
    caveats = [SAMPLE_CAVEAT] * (source == "sample") + [SMOKE_CAVEAT] * bool(settings.get("smoke"))
    return Provenance(
        sweep=str(manifest.get("sweep") or "sweep"),
        question=str(manifest.get("question") or ""),
        source="the embedded sample" if source == "sample" else source,
        metric=metric,
        direction=direction,
        used={split: int(count) for split, count in _section(data, "used").items()},
        facts={term: text for term, text in _facts(manifest, data, settings).items() if text},
        audit=_audit(_section(data, "audit")),
        caveats=caveats,
        search=_section(manifest, "search"),
        floor=_section(manifest, "floor"),
        codecs=codecs(_section(data, "audit")),
        manifest=manifest,
    )


def codecs(audit: Any) -> tuple[str, ...]:
    """The codecs that an audit counted, under either label; none where nothing tells."""
    counts = _section(audit, "codecs").values() if isinstance(audit, dict) else ()
    return tuple(sorted({codec for each in counts if isinstance(each, dict) for codec in each}))


def _section(parent: dict[str, Any], name: str) -> dict[str, Any]:
    section = parent.get(name)
    return section if isinstance(section, dict) else {}


def _facts(manifest: dict[str, Any], data: dict[str, Any], settings: dict[str, Any]) -> dict[str, str]:
    """Term → text; an empty text for what the manifest does not tell."""
    return {
        "Data": _text(data.get("source")),
        "Shards": _text(data.get("shards")),
        "Fingerprint": _text(data.get("fingerprint")),
        "Image size": f"{data['image_size']} x {data['image_size']} pixels" if data.get("image_size") else "",
        "Images in the shards": _counts(_section(data, "counts")),
        "Images used": _pairs({name: f"{count:,}" for name, count in _section(data, "used").items()}),
        "Command": _text(manifest.get("command")),
        "Settings": _pairs(settings),
        "Ranked by": f"{manifest['metric']}, {manifest.get('direction')}" if manifest.get("metric") else "",
        "Seeds": ", ".join(str(seed) for seed in manifest.get("seeds") or ()),
        "Commit": _commit(manifest),
        "Versions": _pairs(_section(manifest, "versions")),
        "Hardware": _pairs(_section(manifest, "hardware")),
        "Started": _text(manifest.get("started")),
        "Wall time": f"{manifest['wall_seconds']:,.0f} s" if manifest.get("wall_seconds") else "",
    }


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _pairs(section: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_setting(value)}" for name, value in section.items())


def _setting(value: Any) -> str:
    return "default" if value is None else "yes" if value is True else "no" if value is False else str(value)


def _counts(counts: dict[str, Any]) -> str:
    labels = {split: " + ".join(f"{n:,} {label}" for label, n in labels.items()) for split, labels in counts.items()}
    return "; ".join(f"{split} {text}" for split, text in labels.items())


def _commit(manifest: dict[str, Any]) -> str:
    if not manifest.get("commit"):
        return "none: the code was not in a git checkout"
    dirty = {None: "", True: ", with changes that were not committed", False: ", unchanged"}[manifest.get("dirty")]
    return f"{manifest['commit']}{dirty}"


def _audit(audit: dict[str, Any]) -> list[str]:
    """What the audit of the shards found, a finding a line, warnings first."""
    found = [f"Warning: {warning}" for warning in audit.get("warnings", ())]
    found += [form.format(audit[name]) for name, form in _AUDIT_COUNTS.items() if audit.get(name) is not None]
    pairs = _section(audit, "duplicate_pairs")
    if pairs:
        found.append("pairs of duplicates: " + ", ".join(f"{count:,} inside {split}" for split, count in pairs.items()))
    unreadable = _section(audit, "unreadable")
    if unreadable:
        path, reason = next(iter(unreadable.items()))
        found.append(f"unreadable files: {len(unreadable):,}, such as {path} ({reason})")
    return [*found, *audit.get("notes", ())]
