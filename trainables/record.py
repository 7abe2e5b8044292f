"""The format of a record: what a sweep and its trials leave on disk.

    manifest.json           conditions: command, settings, data, code, versions, hardware, metric, looks at test
    trials.parquet/         one row a trial, in parts: part-00000.parquet holds the first 500 trials
    epochs.parquet/         one row a trial and epoch, in the same parts
    images.parquet          one row a scored image
    scores/TRIAL.parquet    one row a scored image: the trial's logit, positive for FAKE
    checkpoints/TRIAL/      best.keras and last.npz

The driver writes the tables and the manifest; each trial writes its own scores and checkpoints. Every file is replaced
whole, so a reader on any machine sees a complete record at any time. pandas reads the folders of parts by their name.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypedDict  # which pydantic wants before Python 3.12

from data_prep import Folder, InputError
from data_prep.escaping import without_passwords
from data_prep.shards import LARGEST_IMAGE
from trainables.training.metrics import EPOCH_METRICS, SCORED_SPLITS, SELECTION_METRIC, TRIAL_METRICS
from trainables.training.recipe import NETWORK_NAME, Recipe, valid

if TYPE_CHECKING:
    import pandas as pd  # which each trial's process would import

FORMAT_VERSION = 2
MANIFEST, TRIALS, EPOCHS, IMAGES = "manifest.json", "trials.parquet", "epochs.parquet", "images.parquet"
BEST, LAST = "best.keras", "last.npz"
TRIALS_PER_PART = 500

# In memory: 13 kB for each of 10,000 trials, and 2.7 kB for each of their 100,000 epochs, with a bit an image.
_MOST_BYTES = {TRIALS: 2**27, EPOCHS: 2**29}

#: Statuses of a trial that has not ended.
UNFINISHED = ("running", "pending")
#: Statuses in which nothing is left to do for a trial. The next run of the same command tries a `failed` trial again.
COMPLETE = ("finished", "stopped", "collapsed", "diverged")

_ARROW = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_RECIPE = [
    pa.field(name, _ARROW.get(kind, pa.string()), nullable=name != "seed")
    for name, kind in get_type_hints(Recipe).items()
]

_HYPERPARAMETERS = {field.name for field in _RECIPE}

SCHEMAS = {
    TRIALS: pa.schema(
        [
            pa.field("trial", pa.string(), nullable=False),  # identity: a hash of recipe and data
            ("number", pa.int64()),  # in the study of a search
            *_RECIPE,
            ("status", pa.string()),  # one of UNFINISHED or COMPLETE, or failed
            ("reason", pa.string()),
            pa.field("epochs_done", pa.int64(), nullable=False),
            ("best_epoch", pa.int64()),
            ("wall_seconds", pa.float64()),  # of the process that ended it; of its epochs if a search stopped it
            ("batch_size_used", pa.int64()),  # smaller than batch_size after running out of memory
            ("parameters", pa.int64()),
            ("flops", pa.int64()),  # of one image's forward pass
            ("seconds_per_image", pa.float64()),  # of scoring test, in batches of four times the training batch
            ("initial_weights", pa.string()),  # a hash
            *[(metric, pa.float64()) for metric in TRIAL_METRICS],
            ("threshold", pa.float64()),  # a logit, best on validation: of the accuracies on test
            *[(f"{split}_images", pa.int64()) for split in ("train", *SCORED_SPLITS)],
            ("cpus", pa.float64()),
            ("gpus", pa.float64()),
            ("device", pa.string()),  # host, processors, which GPU, and its name
            ("driver", pa.string()),  # of the GPU
            ("backend", pa.string()),  # of Keras: tensorflow or jax
            ("versions", pa.string()),  # of Keras and its backend
            ("mps", pa.bool_()),  # whether trials shared the GPU through NVIDIA's MPS
            ("peak_device_bytes", pa.int64()),  # of the process that ended it, on its first GPU
            ("traceback", pa.string()),
        ]
    ),
    EPOCHS: pa.schema(
        [
            ("trial", pa.string()),
            pa.field("epoch", pa.int64(), nullable=False),
            ("train_loss", pa.float64()),
            ("train_accuracy", pa.float64()),
            *[(f"validation_{metric}", pa.float64()) for metric in EPOCH_METRICS],
            ("validation_right", pa.binary()),  # a bit an image, in the order of the scores: right at logit 0 or not
            ("learning_rate", pa.float64()),
            ("wall_seconds", pa.float64()),
        ]
    ),
    IMAGES: pa.schema(
        [
            ("split", pa.string()),
            ("row", pa.int64()),  # in the shards' split, from 0
            ("label", pa.int64()),  # 0 REAL, 1 FAKE
            ("path", pa.string()),
            ("object_class", pa.string()),
            ("generator", pa.string()),
            ("cluster", pa.string()),
            ("duplicate", pa.string()),  # as in the shards
        ]
    ),
}
SCORES = pa.schema(
    [
        ("split", pa.string()),
        ("row", pa.int32()),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)

_IDENTITY = "[0-9a-f]{12}"
#: Which text a column may hold, for a record may come from a stranger, and this text enters names of files.
_TEXTS = {
    "trial": _IDENTITY,
    "parent": f"({_IDENTITY})?",
    "network": NETWORK_NAME,
    "status": "|".join((*UNFINISHED, *COMPLETE, "failed")),
    "split": "|".join(SCORED_SPLITS[:2]),
    "kind": "[a-z_]+",
    "label": "[01]?",
}

_LONGEST, _MOST_EPOCHS = 1e12, 10_000  # seconds; as in a recipe
#: Between which numbers those of a column lie, by the form of its name. NaN lies anywhere.
_RANGES = {
    r"\w*(accuracy|auc)|recall_\w+|chance": (0.0, 1.0),
    r"\w*loss": (0.0, math.inf),
    r"epoch": (1, _MOST_EPOCHS),
    r"epochs_done|best_epoch": (0, _MOST_EPOCHS),
    r"seed": (0, 2**31 - 1),
    r"learning_rate": (0.0, 10.0),
    r"(\w+_)?images|row|number|limit|batch_size_used|parameters|flops|peak_device_bytes": (0, 2**53),
    r"cpus|gpus|\w*seconds\w*": (0.0, _LONGEST),
}

#: Columns of the trials table that come from a trial's reports.
_REPORTED = frozenset(SCHEMAS[TRIALS].names) - {"trial", "number", *_HYPERPARAMETERS}
_EPOCH = frozenset(SCHEMAS[EPOCHS].names) - {"trial"}


@dataclass(frozen=True)
class DataFacts:
    """The images of a record: their source, where their shards were, and how many of each split were used.

    `shards_fingerprint` is that of all images in the shards, `fingerprint` that of those used; `image_size` is in
    pixels; `counts` is split → label name → rows in the shards, `used` is split → images; `audit` is the shards' own.
    """

    source: str = "an unnamed source"
    fingerprint: str = ""
    shards_fingerprint: str = ""
    shards: str = ""
    image_size: int | None = None
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The manifest of a record, as its JSON file has it: under which conditions its numbers were made.

    `settings` are the options that decide what a result means, `search` identifies a search, `weights` has a hash a
    pretrained body, and `floor` is what linear probes reach. `locked` is what was fixed before test was scored; `looks`
    has each look at test: when, and how many seeds a network. `wall_seconds` is null until the sweep is over.
    """

    sweep: str = "sweep"
    question: str = ""
    command: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] | None = None
    data: DataFacts = field(default_factory=DataFacts)
    weights: dict[str, str] = field(default_factory=dict)
    metric: str = SELECTION_METRIC
    direction: str = "max"
    seeds: list[int] = field(default_factory=list)
    hardware: dict[str, Any] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    backend: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    started: str = ""
    wall_seconds: float | None = None
    floor: dict[str, Any] | None = None
    locked: dict[str, Any] | None = None
    looks: list[dict[str, Any]] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    @property
    def is_over(self) -> bool:
        """Whether the sweep has ended, and all is known that a manifest tells."""
        return bool(self.wall_seconds and self.floor)

    def write(self, folder: Folder) -> None:
        """Write it into a record's folder."""
        folder.write_json(MANIFEST, asdict(self))


# What is in those parts of a manifest that are dictionaries, as far as anything reads it. Later versions write more.
class _Locked(TypedDict):
    when: str
    metric: str
    threshold: str
    margin: float  # 0–1
    seeds: int
    training_sets: NotRequired[int]
    comparisons: str


class _Look(TypedDict):
    when: str
    seeds: dict[str, int]


class _Floor(TypedDict, total=False):
    colour: dict[str, float | None]
    spectrum: dict[str, float | None]
    both: dict[str, float | None]


class _Varied(TypedDict):
    """A hyperparameter of a search: its values, as Optuna writes a distribution, and those of others that it needs."""

    name: str
    values: dict[str, Any]
    when: dict[str, list[Any]]


class _Search(TypedDict, total=False):
    space: list[_Varied]
    epochs: int
    against: Literal["flops", "seconds_per_image"] | None


class _Settings(TypedDict, total=False):
    limit: int | None
    resample_train: int | None


class _Audit(TypedDict, total=False):
    images: int | None
    distinct_images: int | None
    duplicate_pairs: dict[str, int]
    test_images_in_train: int | None
    test_images_near_train: int | None
    groups_with_both_labels: int | None
    pictures_with_both_labels: int | None
    codecs: dict[str, dict[str, int]]
    file_size_auc: float | None
    warnings: list[str]
    notes: list[str]
    unreadable: dict[str, str]


class _Data(TypedDict, total=False):
    audit: _Audit


class _Parts(TypedDict, total=False):
    data: _Data
    settings: _Settings
    search: _Search | None
    floor: _Floor | None
    locked: _Locked | None
    looks: list[_Look]


def replicate(row: "Mapping[Any, Any] | pd.Series[Any]") -> str:
    """Which of its configuration's trials the one in `row` is: `seed 0`, or `seed 0, training set 2`."""
    return f"seed {row['seed']}" + (f", training set {row['training_subset']}" if row.get("training_subset") else "")


def scores_file(trial: str) -> str:
    """Name of the file that holds a trial's scores."""
    return f"scores/{trial}.parquet"


def checkpoints(record: Folder, trial: str) -> Folder:
    """Folder of a trial's checkpoints."""
    return record.folder(f"checkpoints/{trial}")


def part_file(table: str, part: int) -> str:
    """Name of a part of a table, counted from 0."""
    return f"{table}/part-{part:05d}.parquet"


def split_report(report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Split a trial's report into columns of its row and, of a report of an epoch, the epoch's row.

    A name of both tables, such as `wall_seconds`, is a column of the epoch if the report has one.
    """
    epoch = {name: report[name] for name in _EPOCH if name in report} if "epoch" in report else None
    columns = {name: report[name] for name in _REPORTED if name in report and not (epoch and name in epoch)}
    return columns, epoch


def read_manifest(folder: Folder) -> Manifest:
    """Read a record's manifest. Raises InputError where there is none, one of other types, or of another version.

    A record of which a part lies elsewhere is refused, too: who reads it would write there.
    """
    from pydantic import TypeAdapter  # which each trial's process would import

    folder.check_plain()
    try:
        content: dict[str, Any] = folder.read_json(MANIFEST)
        version = content["format_version"]
        if version == FORMAT_VERSION:
            # For it enters reports. Half a letter, as in "\ud800", cannot be written.
            content = json.loads(without_passwords(json.dumps(content, ensure_ascii=False)).encode())
            TypeAdapter(_Parts).validate_python(content, strict=True)
            manifest = TypeAdapter(Manifest).validate_python(content)
            if (
                0 < (manifest.data.image_size or 1) <= LARGEST_IMAGE
                and 0 <= (manifest.wall_seconds or 0) <= _LONGEST
                and 0 < (manifest.search or {}).get("epochs", 1) <= _MOST_EPOCHS
            ):
                return manifest
            raise ValueError("images of an impossible size, or an impossible time or number of epochs")
    except FileNotFoundError:
        lack = "holds no record of a sweep" if folder.names() else "is empty or does not exist"
        raise InputError(f"{folder} {lack}; pass a folder such as results/age, which a sweep made.")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{folder}/{MANIFEST} cannot be read; restore it, or start over with --fresh.")
    raise InputError(f"{folder} is a record of format version {version}, and this is {FORMAT_VERSION}; use --fresh.")


def read_parts(folder: Folder, table: str) -> pa.Table:
    """Read trials or epochs, in the order of their parts. Raises InputError where there is none, or a corrupt part.

    And for more than can be read into memory: a few bytes may hold a part of any size, and there may be many parts.
    """
    parts = [name for name in folder.folder(table).names() if name.startswith("part-")]
    if not parts:
        raise InputError(f"{folder} has no {table}; run the sweep again to make it.")
    read = SCHEMAS[table].empty_table()
    for name in parts:
        read = pa.concat_tables([read, _read(folder, f"{table}/{name}", SCHEMAS[table])])
        if read.nbytes > _MOST_BYTES[table]:
            raise _distrust(folder, f"more than {_MOST_BYTES[table]:,} bytes of {table}")
    return _once(folder, read, "trial", *["epoch"] * (table == EPOCHS))


def read_trials(folder: Folder) -> "pd.DataFrame":
    """Read the trials, one row each. Raises InputError."""
    return read_parts(folder, TRIALS).to_pandas()


def read_epochs(folder: Folder) -> "pd.DataFrame":
    """Read the epochs, one row a trial and epoch. Raises InputError."""
    return read_parts(folder, EPOCHS).to_pandas()


def read_images(folder: Folder) -> "pd.DataFrame":
    """Read which images are scored, one row each. Raises InputError."""
    return _once(folder, _read(folder, IMAGES, SCHEMAS[IMAGES]), "split", "row").to_pandas()


def read_scores(folder: Folder, trial: str) -> "pd.DataFrame":
    """Read a trial's scores: split, row, label, score. Raises InputError."""
    return _once(folder, _read(folder, scores_file(trial), SCORES), "split", "row").to_pandas()


def read_table(folder: Folder, name: str, schema: pa.Schema) -> pa.Table:
    """Read a table of a record with the columns of a schema; a column that is newer than the file is null.

    Raises what `Folder.read_table` does, and InputError for names in it that no sweep writes.
    """
    table = folder.read_table(name, schema)
    for column in table.column_names:
        for value in _strange(column, table[column], name.startswith(TRIALS)):
            what = f"named {value!r:.80}" if column in _TEXTS else f"of {value!r:.80}"
            raise _distrust(folder, f"a {column} {what}")
    return table


def _strange(column: str, values: pa.ChunkedArray, is_of_trials: bool) -> Iterator[Any]:
    """Those values of a column that no sweep would write."""
    if column in _TEXTS:
        pattern = re.compile(_TEXTS[column])
        yield from (
            each for each in values.unique().to_pylist() if not pattern.fullmatch("" if each is None else str(each))
        )
    elif is_of_trials and column in _HYPERPARAMETERS:
        for each in values.unique().drop_null().to_pylist():
            try:
                valid(column, each)
            except InputError:
                yield each
    for low, high in (limits for form, limits in _RANGES.items() if re.fullmatch(form, column)):
        ends = pc.min_max(values).as_py().values()
        yield from (end for end in ends if end is not None and not (low <= end <= high or math.isnan(end)))


def _once(folder: Folder, table: pa.Table, *key: str) -> pa.Table:
    """The table, if it has each key once. Raises InputError."""
    if len(table) > len(table.group_by(list(key)).aggregate([])):
        raise _distrust(folder, f"two rows of the same {' and '.join(key)}")
    return table


def _distrust(folder: Folder, what: str) -> InputError:
    return InputError(f"{folder} has {what}, which no sweep would write; use a record that you can trust.")


def _read(folder: Folder, name: str, schema: pa.Schema) -> pa.Table:
    try:
        return read_table(folder, name, schema)
    except FileNotFoundError:
        raise InputError(f"{folder} has no {name}; run the sweep again to make it.")
    except pa.ArrowException as error:
        raise InputError(f"{folder}/{name} is corrupt ({str(error).splitlines()[0]}); restore it or use --fresh.")


def rows(folder: Folder, table: str) -> Iterator[dict[str, Any]]:
    """Rows of trials or epochs; none where the record has no such table yet. Raises InputError for a corrupt part."""
    if folder.folder(table).names():
        yield from read_parts(folder, table).to_pylist()
