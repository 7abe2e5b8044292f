"""Records that somebody has changed: each table's columns and each field of the manifest, in every way.

What is to become of each was written down before any was tried: `is_refused` by the rules below.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis import explain
from analysis.detector import robustness_table
from trainables.record import EPOCHS, IMAGES, SCHEMAS, SCORES, TRIALS

#: Words of the commands that read a file, by the file; a record lies in results/zoo, its shards in shards.
RESUME = ("sweeps/zoo.py", "--models", "age-c2-f1,custom-3", "--data", "shards", "--smoke")
REPORT = ("analysis", "results/zoo")
COMPARE = ("analysis", "compare", "results/zoo", "other/zoo")
DETECT = (
    ("analysis", "predict", "results/zoo", "tree/test/REAL"),
    ("analysis", "explain", "results/zoo", "--images", "1"),
    ("analysis", "robustness", "results/zoo", "--limit", "20"),
    ("analysis", "export", "results/zoo"),
)
ANALYSES = (REPORT, COMPARE, *DETECT)
COMMANDS = {
    TRIALS: (RESUME, *ANALYSES),
    EPOCHS: (RESUME, *ANALYSES),
    "manifest.json": (RESUME, *ANALYSES),
    IMAGES: ANALYSES,
    "scores": ANALYSES,
    robustness_table.ROBUSTNESS: (REPORT, DETECT[2]),
    explain.EXPLANATIONS: (REPORT, DETECT[1]),
}
TABLES = {
    **SCHEMAS,
    "scores": SCORES,
    robustness_table.ROBUSTNESS: robustness_table.SCHEMA,
    explain.EXPLANATIONS: explain.SCHEMA,
}

#: Columns without which there is nothing to read: no nulls in them, and not to be left out.
REQUIRED = {
    TRIALS: {"trial", "network", "seed", "status", "epochs_done"},
    EPOCHS: {"trial", "epoch"},
    IMAGES: {"split"},
    "scores": {"split", "label", "score"},
    robustness_table.ROBUSTNESS: {"fingerprint", "limit", "trial", "network", "corruption", "severity", "part"},
    explain.EXPLANATIONS: {
        "trial",
        "kind",
        "split",
        "row",
        "label",
        "score",
        "probability",
        "threshold",
        "called_fake",
    },
}
#: Numbers without which some commands have nothing to do: nothing is ranked, compared, or told from a mistake.
NEEDED = {
    (TRIALS, "validation_accuracy"): (COMPARE, *DETECT),
    (TRIALS, "test_accuracy"): (COMPARE,),
    ("scores", "score"): (DETECT[1],),
}
UNKNOWN = ("left out", "nulls", "not numbers", "infinity")
#: Text that only a few words of may stand in a column.
NAMES = {"trial", "parent", "network", "status", "split", "kind", "optimizer", "schedule", "precision", "arguments"}
#: Numbers by the form of a column's name: the least, and what is larger than any sweep would write.
SHARE = r"\w*(accuracy|auc)|recall_\w+|chance|momentum|weight_decay|label_smoothing"
COUNT = r"(\w+_)?images|row|number|limit|batch_size_used|parameters|flops|peak_device_bytes|seed|training_subset|"
COUNT += r"epochs|batch_size|\w+_epochs|head_epochs|pause_epoch|epoch|epochs_done|best_epoch"
POSITIVE = r"\w*loss|cpus|gpus|\w*seconds\w*|learning_rate"

HOSTILE = {
    "markup": "[/bold][red]x[link=file:///etc/passwd]",
    "tag": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "mathematics": r"$\frac{a$ \text{",
    "escape": "\x1b[2J\x1b]0;owned\x07\u202e",
    "formula": '=HYPERLINK("http://127.0.0.1:9/","x")',
    "path": "../../secret",
}
SECRET = "the secret of somebody else"


@dataclass(frozen=True)
class Mutation:
    """A change of a record's file, and whether the commands that read this file, or some of them, are to refuse it."""

    name: str
    file: str
    change: Callable[[Path], None]
    is_refused: bool
    refused_by: tuple[tuple[str, ...], ...] = ()

    @property
    def commands(self) -> dict[tuple[str, ...], bool]:
        """The words of those commands, and whether each is to refuse it."""
        return {words: self.is_refused or words in self.refused_by for words in COMMANDS[self.file]}


def mutations() -> Iterator[Mutation]:
    """All of them, always the same."""
    for file, schema in TABLES.items():
        of_columns = itertools.chain(*(_of_column(file, field) for field in schema))
        # Of the many columns of trials every second change; of tables that commands add, every third.
        step = 2 if file == TRIALS else 1 if file in (*SCHEMAS, "scores") else 3
        yield from itertools.islice(of_columns, 0, None, step)
        yield from _of_file(file)
    yield from _of_manifest()


# ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_column(file: str, field: pa.Field) -> Iterator[Mutation]:
    name, is_required = field.name, field.name in REQUIRED[file]
    is_text, is_integer = field.type == pa.string(), pa.types.is_integer(field.type)
    is_number = is_integer or pa.types.is_floating(field.type)

    def of(what: str, values: Callable[[pa.ChunkedArray], Any], is_refused: bool) -> Mutation:
        needed_by = NEEDED.get((file, name), ()) if what in UNKNOWN else ()
        return Mutation(
            f"{file} {name} {what}", file, lambda record: _set(record, file, name, values), is_refused, needed_by
        )

    turn = TABLES[file].names.index(name)  # not every column in every way: the whole is to end within the hour
    yield of("left out", lambda _: None, is_required or _is_key(file, name))
    if is_required or turn % 2:
        yield of("nulls", lambda old: pa.nulls(len(old), old.type), is_required or _is_key(file, name))
    if turn % 3 == 0:
        yield of("lists", lambda old: pa.array([["x"]] * len(old)), True)
        yield of("an extension type", extended, False)
    if is_text:
        yield of("numbers", lambda old: pa.array(range(len(old))), True)
        yield of("categories", lambda old: old.combine_chunks().dictionary_encode(), False)
        for kind, text in [*HOSTILE.items()][turn % 3 :: 3]:
            yield of(kind, lambda old, text=text: pa.array([text] * len(old)), name in NAMES)
    else:
        yield of("text", lambda old: pa.array(["many"] * len(old)), True)
    if is_integer:
        yield of("halves", lambda old: pa.array([0.5] * len(old)), True)
    if is_number:
        bounded = re.fullmatch(f"{SHARE}|{COUNT}|{POSITIVE}", name)
        yield of("minus one", lambda old: filled(old, -1), bool(bounded) or name == "label")
        large = re.fullmatch(f"{SHARE}|{COUNT}|learning_rate", name)
        yield of(
            "huge",
            lambda old: filled(old, 2**60),
            bool(large) or name in ("label", "cpus", "gpus") or "seconds" in name,
        )
    if pa.types.is_floating(field.type):
        is_hyperparameter = file == TRIALS and name in ("learning_rate", "momentum", "weight_decay", "label_smoothing")
        yield of("not numbers", lambda old: filled(old, np.nan), is_hyperparameter)
        yield of(
            "infinity", lambda old: filled(old, np.inf), bool(large) or "seconds" in name or name in ("cpus", "gpus")
        )


def _is_key(file: str, name: str) -> bool:
    """Whether a row is known by this column, so that nulls in it make rows of the same name."""
    return (file in (IMAGES, "scores")) and name == "row"


def filled(old: pa.ChunkedArray, value: float) -> pa.Array:
    """So many equal values; in integers where the column has such, and the value is one."""
    is_integer = pa.types.is_integer(old.type) and isinstance(value, int)
    return pa.array([value if is_integer else float(value)] * len(old), pa.int64() if is_integer else pa.float64())


class _Canary(pa.ExtensionType):  # type: ignore[misc]
    """A type as Ray registers one; who makes it would run what its name says."""

    def __init__(self, storage: pa.DataType) -> None:
        super().__init__(storage, "ray.data.arrow_pickled_object")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"cos\nsystem\n(S'touch canary'\ntR."


def extended(old: pa.ChunkedArray) -> pa.Array:
    """The same values, of a type that Ray would unpickle."""
    storage = old.combine_chunks()
    return pa.ExtensionArray.from_storage(_Canary(storage.type), storage)


def _files(record: Path, file: str) -> list[Path]:
    place = record / file
    return sorted(place.glob("*.parquet")) if place.is_dir() else [place]


def _set(record: Path, file: str, name: str, values: Callable[[pa.ChunkedArray], Any]) -> None:
    for path in _files(record, file):
        set_column(path, name, values)


def set_column(path: Path, name: str, values: Callable[[pa.ChunkedArray], Any]) -> None:
    """Replace a column of a Parquet file by what `values` makes of it; None leaves it out."""
    table = pq.read_table(path, partitioning=None)
    place, new = table.column_names.index(name), values(table[name])
    table = table.remove_column(place) if new is None else table.set_column(place, pa.field(name, new.type), new)
    pq.write_table(table, path)


def _of_file(file: str) -> Iterator[Mutation]:
    def of(what: str, change: Callable[[Path], None], is_refused: bool) -> Mutation:
        def all_files(record: Path) -> None:
            for path in _files(record, file):
                change(path)

        return Mutation(f"{file} {what}", file, all_files, is_refused)

    def table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
        return lambda path: pq.write_table(change(pq.read_table(path, partitioning=None)), path)

    has_keys = file in (*SCHEMAS, "scores")
    yield of("cut off", lambda path: path.write_bytes(path.read_bytes()[:-30]), True)
    yield of("empty file", lambda path: path.write_bytes(b""), True)
    yield of("garbage", lambda path: path.write_bytes(b"PAR1" + bytes(range(256)) + b"PAR1"), True)
    yield of("a bit flipped", _flip, True)
    yield of("a link", _link, True)
    yield of("rows twice", table(lambda old: pa.concat_tables([old, old])), has_keys)
    yield of("column twice", table(lambda old: old.append_column(old.field(0), old[0])), True)
    yield of("a column more", table(lambda old: old.append_column("more", pa.array([b"x"] * len(old)))), False)
    yield of("backwards", table(lambda old: old.take(list(reversed(range(len(old)))))), False)
    yield of("pandas's", lambda path: pd.read_parquet(path).to_parquet(path), False)


def _flip(path: Path) -> None:
    """Flip bits of the first byte, from a quarter on, that is no part of statistics, which say nothing of the rows."""
    content = path.read_bytes()
    for place in range(len(content) // 4, len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            pq.read_table(path, partitioning=None, page_checksum_verification=True)
        except (OSError, pa.ArrowException):
            return


def _link(path: Path) -> None:
    target = path.parent.parent.parent.parent / "moved"
    path.rename(target)
    path.symlink_to(target)


# ── manifest ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_TEXTS = ("sweep", "question", "command", "backend", "started", "data.source", "data.shards")
_NUMBERS = ("wall_seconds", "data.image_size", "format_version")
_OTHERS = (
    "settings",
    "seeds",
    "hardware",
    "versions",
    "weights",
    "looks",
    "data",
    "data.counts",
    "data.used",
    "data.audit",
)
_NULLABLE = {"search", "commit", "dirty", "wall_seconds", "floor", "locked", "data.image_size"}


def _of_manifest() -> Iterator[Mutation]:
    def of(
        what: str,
        change: Callable[[dict[str, Any]], Any],
        is_refused: bool,
        refused_by: tuple[tuple[str, ...], ...] = (),
    ) -> Mutation:
        def rewrite(record: Path) -> None:
            content = json.loads((record / "manifest.json").read_text())
            new = change(content)
            (record / "manifest.json").write_text(new if isinstance(new, str) else json.dumps(content))

        return Mutation(f"manifest {what}", "manifest.json", rewrite, is_refused, refused_by)

    def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
        def change(content: dict[str, Any]) -> None:
            *parents, name = path.split(".")
            for parent in parents:
                content = content[parent]
            content[name] = value

        return change

    for path in (*_TEXTS, *_NUMBERS, *_OTHERS, *sorted(_NULLABLE - set(_NUMBERS))):
        is_number = path in _NUMBERS
        yield of(f"{path} null", put(path, None), path not in _NULLABLE)
        yield of(f"{path} a list in a list", put(path, [[["x"]]]), True)
        yield of(f"{path} of another type", put(path, 7 if not is_number else "many"), True)
    for path in _TEXTS:
        for kind, text in HOSTILE.items():
            asks = (DETECT[1], DETECT[2]) if path == "data.shards" else ()  # for the shards, which are elsewhere
            yield of(f"{path} {kind}", put(path, text), False, asks)
    for path in ("data.image_size", "wall_seconds"):
        for value in (-1, 10**30, float("nan"), float("inf"), 0.5):
            yield of(f"{path} {value}", put(path, value), not (path == "wall_seconds" and value == 0.5))
    yield of("not JSON", lambda _: "{", True)
    yield of("a list", lambda _: "[]", True)
    yield of("nested", lambda _: "[" * 100_000, True)
    yield of("empty", lambda _: "", True)
    yield of("a version of tomorrow", put("format_version", 99), True)
    yield of("a field more", put("more", {"x": 1}), False)
    for place in ("s3://b/x?endpoint_override=127.0.0.1:9", "s3://key:secret@b/x", "s3://b/x", "/etc"):
        yield of(f"shards at {place}", put("data.shards", place), False, (DETECT[1], DETECT[2]))


# ── what a report is to say ───────────────────────────────────────────────────────────────────────────────────────────


def recomputed(record: Path) -> pd.DataFrame:
    """Rank by trial, with both accuracies, of what the files of a record say, by other code than the report's."""
    trials = pd.concat([pd.read_parquet(path) for path in _files(record, TRIALS)]).set_index("trial")
    trials = trials.reindex(columns=SCHEMAS[TRIALS].names[1:])
    rows = trials[
        trials["status"].isin(["finished", "stopped"]) & np.isfinite(trials["validation_accuracy"].astype(float))
    ]
    test = rows["test_accuracy"].astype(float).copy()
    for trial in rows.index[rows["status"] == "finished"]:
        path = record / "scores" / f"{trial}.parquet"
        threshold = rows.get("threshold", pd.Series(np.nan, rows.index))[trial]
        if path.exists() and pd.isna(threshold):
            scores = pd.read_parquet(path)
            part = scores[scores["split"] == "test"]
            test[trial] = ((part["score"] > _youden(scores[scores["split"] == "validation"])) == part["label"]).mean()
    frame = pd.DataFrame({"validation_accuracy": rows["validation_accuracy"].astype(float), "test_accuracy": test})
    return frame.sort_values("validation_accuracy", ascending=False, kind="stable")


def _youden(part: pd.DataFrame) -> float:
    """The threshold of the best balanced accuracy, nearest zero, by trying all."""
    scores = np.unique(part["score"].astype(float))
    middles = (scores[:-1] + scores[1:]) / 2
    fake = part["label"] == 1
    gains = [(part["score"][fake] > at).mean() + (part["score"][~fake] <= at).mean() for at in middles]
    best = middles[np.array(gains) >= max(gains, default=0) - 1e-12]
    return float(best[np.abs(best).argmin()]) if len(best) and fake.any() and (~fake).any() else 0.0
