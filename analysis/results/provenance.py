"""A record's manifest in one shape, whatever is missing from it."""

from dataclasses import dataclass, field
from typing import Any

from data_prep import InputError
from trainables.training.metrics import EPOCH_METRICS, SELECTION_METRIC

SAMPLE_CAVEAT = "The embedded sample is a stand-in for trying the system, not a benchmark."
SMOKE_CAVEAT = "This was a smoke run: one epoch on a few hundred images shows that the system works, and nothing else."

_METRICS = [f"validation_{name}" for name in EPOCH_METRICS]
_AUDIT_COUNTS = {
    "images": "{:,} readable images",
    "distinct_images": "{:,} of them distinct",
    "test_images_in_train": "{:,} test images also stand in train, and are left out of the clean test",
    "groups_with_both_labels": "{:,} images stand under both labels",
    "file_size_auc": "the file size alone tells the labels apart with AUC {:.2f}",
}


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a record come from.

    `metric` ranks the trials, and `direction`, max or min, is the better end of it. `data` is the manifest's section on
    the images, and `used` is split → how many of them were used. `facts` is term → text, for people. `audit` has a
    sentence for each finding about the data, and `caveats` the sentences that belong beside every number. `search` is
    what `Search.describe` of `sweeps.searching.study` gives, empty for a sweep that is no search. `floor` is what
    `trainables.training.probes` measured, empty where they did not run. `codecs` are those of the source's files.
    `manifest` is the whole manifest.
    """

    sweep: str
    question: str
    source: str
    metric: str
    direction: str
    data: dict[str, Any]
    used: dict[str, int]
    facts: dict[str, str]
    audit: list[str]
    caveats: list[str]
    search: dict[str, Any] = field(default_factory=dict)
    floor: dict[str, Any] = field(default_factory=dict)
    codecs: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def metric_title(self) -> str:
        """The metric that ranks, for people."""
        return self.metric.replace("_", " ").replace("auc", "AUC")

    @property
    def floors(self) -> dict[str, float]:
        """The test accuracy of a linear probe on colour and spectrum together, by its name; empty if not measured."""
        both = self.floor.get("both", {})
        return {"linear probe on colour and spectrum": both["test_accuracy"]} if "test_accuracy" in both else {}


def provenance(manifest: dict[str, Any]) -> Provenance:
    """The provenance in a manifest. Raises InputError if it ranks by anything but a metric of validation."""
    data, settings = _section(manifest, "data"), _section(manifest, "settings")
    metric, direction = manifest.get("metric") or SELECTION_METRIC, manifest.get("direction") or "max"
    if metric not in _METRICS or direction not in ("max", "min"):
        raise InputError(f"The manifest ranks by {metric!r} ({direction!r}); it must be one of {', '.join(_METRICS)}.")
    source, audit = str(data.get("source") or "an unnamed source"), _section(data, "audit")
    return Provenance(
        sweep=str(manifest.get("sweep") or "sweep"),
        question=str(manifest.get("question") or ""),
        source="the embedded sample" if source == "sample" else source,
        metric=metric,
        direction=direction,
        data=data,
        used={split: int(count) for split, count in _section(data, "used").items()},
        facts={term: str(fact) for term, fact in _facts(manifest, data, settings).items() if fact not in (None, "")},
        audit=_findings(audit),
        caveats=[SAMPLE_CAVEAT] * (source == "sample") + [SMOKE_CAVEAT] * bool(settings.get("smoke")),
        search=_section(manifest, "search"),
        floor=_section(manifest, "floor"),
        codecs=codecs(audit),
        manifest=manifest,
    )


def codecs(audit: Any) -> tuple[str, ...]:
    """The codecs that an audit counted, under either label; none where it counted none."""
    counts = _section(audit, "codecs").values() if isinstance(audit, dict) else ()
    return tuple(sorted({codec for by_codec in counts if isinstance(by_codec, dict) for codec in by_codec}))


def _section(parent: dict[str, Any], name: str) -> dict[str, Any]:
    section = parent.get(name)
    return section if isinstance(section, dict) else {}


def _facts(manifest: dict[str, Any], data: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Term → its value; None or an empty text for what the manifest lacks."""
    changes = {None: "", True: ", with changes that were not committed", False: ", unchanged"}[manifest.get("dirty")]
    commit = manifest.get("commit")
    return {
        "Data": data.get("source"),
        "Shards": data.get("shards"),
        "Fingerprint of the shards": data.get("shards_fingerprint"),
        "Fingerprint of the images used": data.get("fingerprint"),
        "Image size": f"{data['image_size']} x {data['image_size']} pixels" if data.get("image_size") else "",
        "Images in the shards": "; ".join(
            f"{split} {' + '.join(f'{count:,} {label}' for label, count in labels.items())}"
            for split, labels in _section(data, "counts").items()
        ),  # train 500 REAL + 500 FAKE; test …
        "Images used": _pairs({name: f"{count:,}" for name, count in _section(data, "used").items()}),
        "Command": manifest.get("command"),
        "Settings": _pairs(settings),
        "Ranked by": f"{manifest['metric']}, {manifest.get('direction')}" if manifest.get("metric") else "",
        "Seeds": ", ".join(str(seed) for seed in manifest.get("seeds") or ()),
        "Commit": f"{commit}{changes}" if commit else "none: the code was not in a git checkout",
        "Versions": _pairs(_section(manifest, "versions")),
        "Hardware": _pairs(_section(manifest, "hardware")),
        "Started": manifest.get("started"),
        "Wall time": f"{manifest['wall_seconds']:,.0f} s" if manifest.get("wall_seconds") else "",
    }


def _pairs(section: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_setting(value)}" for name, value in section.items())


def _setting(value: Any) -> str:
    return "default" if value is None else "yes" if value is True else "no" if value is False else str(value)


def _findings(audit: dict[str, Any]) -> list[str]:
    lines = [f"Warning: {warning}" for warning in audit.get("warnings", ())]
    lines += [form.format(audit[name]) for name, form in _AUDIT_COUNTS.items() if audit.get(name) is not None]
    if pairs := _section(audit, "duplicate_pairs"):
        lines.append("pairs of duplicates: " + ", ".join(f"{count:,} inside {split}" for split, count in pairs.items()))
    if unreadable := _section(audit, "unreadable"):
        path, reason = next(iter(unreadable.items()))
        lines.append(f"unreadable files: {len(unreadable):,}, such as {path} ({reason})")
    return [*lines, *audit.get("notes", ())]
