"""Shards, leases and files that somebody has changed or made: what is done to a folder, and the commands to try there.

What is to become of each was written down before any was tried.
"""

import bz2
import gzip
import io
import itertools
import json
import lzma
import os
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from corpus.records import HOSTILE, RESUME, extended, filled, set_column
from data_prep import shards
from data_prep.layout.vocabulary import SPLITS
from sweeps.record.lease import _machine

SWEEP = ("sweeps/age.py", "--data", "shards", "--smoke", "--results", "made")
PREPARE = ("data_prep", "--source", "made", "--out", "new")
PREDICT = ("analysis", "predict", "results/zoo", "made")


@dataclass(frozen=True)
class Case:
    """What is done to a folder, the words of a command, and whether it is to refuse that."""

    name: str
    change: Callable[[Path], None]
    words: tuple[str, ...]
    is_refused: bool


# ── shards ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#: Columns that a sweep reads; of training images, whose rows no table names, fewer.
_READ = ("image", "label", "duplicate", "path", "object_class", "generator", "cluster")
_NULLABLE = ("generator", "object_class", "cluster", "duplicate")


def of_shards() -> Iterator[Case]:
    """Every column of every split's first shard, as its manifest says too; their files; and the manifest's fields."""
    for split in SPLITS:
        for field in shards.schema(32):
            is_read = field.name in (_READ if split != "train" else _READ[:3])
            for what, values, is_bad in _of_column(field):
                yield Case(f"{split} {field.name} {what}", _set(split, field.name, values), SWEEP, is_bad and is_read)
        for what, change in _FILES.items():
            yield Case(f"{split} {what}", _file(split, change), SWEEP, True)
    for path in ("image_size", "counts", "pixel_mean", "pixel_std", "files", "fingerprint", "format_version", "fit"):
        for value in (None, "x", -1, 10**30, [[["x"]]], {}, float("nan")):
            is_odd = not (isinstance(value, str) and path in ("fit", "fingerprint"))
            yield Case(f"shards' manifest {path} {value!r:.20}", _manifest(path, value), SWEEP, is_odd)


def _of_column(field: pa.Field) -> Iterator[tuple[str, Callable[[pa.ChunkedArray], Any], bool]]:
    yield "left out", lambda _: None, True
    yield "nulls", lambda old: pa.nulls(len(old), pa.string()), field.name not in _NULLABLE
    yield "lists", lambda old: pa.array([["x"]] * len(old)), True
    if field.name == "image":
        for side, kind in ((16, np.uint8), (32, np.float32), (33, np.uint8), (1, np.uint8)):
            yield f"{side} {np.dtype(kind)}", lambda old, side=side, kind=kind: _pixels(len(old), side, kind), True
    elif field.type == pa.string():
        yield "an extension type", extended, False
        yield "numbers", lambda old: pa.array(range(len(old))), True
        for kind, text in HOSTILE.items():
            yield kind, lambda old, text=text: pa.array([text] * len(old)), field.name == "duplicate"
    else:
        yield "text", lambda old: pa.array(["many"] * len(old)), True
        yield "halves", lambda old: pa.array([0.5] * len(old)), True
        yield "huge", lambda old: filled(old, 2**60), True
        yield "minus one", lambda old: filled(old, -1), field.name == "label"
        yield "seven", lambda old: filled(old, 7), field.name == "label"


def _pixels(rows: int, side: int, kind: Any) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((rows, side, side, 3), kind))


_FILES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"PAR1" + bytes(range(256)) + b"PAR1"),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "rows twice": lambda path: pq.write_table(pa.concat_tables([pq.read_table(path)] * 2), path),
}


def _shard(place: Path, split: str) -> Path:
    return place / "shards" / shards.file_name(split, 0)


def _set(split: str, column: str, values: Callable[[pa.ChunkedArray], Any]) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        path = _shard(place, split)
        set_column(path, column, values)
        manifest = json.loads((place / "shards/manifest.json").read_text())
        manifest["files"][path.name]["bytes"] = path.stat().st_size
        (place / "shards/manifest.json").write_text(json.dumps(manifest))

    return change


def _file(split: str, change: Callable[[Path], object]) -> Callable[[Path], None]:
    def apply(place: Path) -> None:
        change(_shard(place, split))

    return apply


def _manifest(path: str, value: Any) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        file = place / "shards/manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {path: value}))

    return change


# ── leases ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_leases() -> Iterator[Case]:
    """What lies where a sweep's lease would: what no sweep has written is none, and a dead sweep's is taken over."""
    lease = {"token": "other", "host": "h", "machine": _machine(), "process": 2**22 + 1, "since": "noon", "renewed": 0}
    contents = {"dead": json.dumps(lease)}
    for name in ("token", "host", "since", "process"):
        for value in (None, [], {}, 7.5, True, "", -1, 2**80):
            if not (isinstance(value, str) and name != "process"):
                contents[f"{name} {value!r}"] = json.dumps(lease | {name: value})
        contents[f"no {name}"] = json.dumps({key: value for key, value in lease.items() if key != name})
    for value in (None, [], "x", 2**80, float("nan")):
        contents[f"renewed {value!r}"] = json.dumps(lease | {"renewed": value})
    for kind, text in HOSTILE.items():
        contents[f"host {kind}"] = json.dumps(lease | {"host": text})
    raw = {"empty": "", "zeros": "\0" * 100, "a list": "[]", "null": "null", "a number": "7", "nested": "[" * 10**5}
    for name, text in (contents | raw).items():
        yield Case(f"lease {name}", _text(text), RESUME, False)
    yield Case("lease a pipe", lambda place: os.mkfifo(place / "results/zoo.running.json"), RESUME, True)
    yield Case("lease a folder", lambda place: (place / "results/zoo.running.json").mkdir(), RESUME, True)


def _text(text: str) -> Callable[[Path], None]:
    return lambda place: (place / "results/zoo.running.json").write_text(text) and None


# ── images and archives ───────────────────────────────────────────────────────────────────────────────────────────────


def of_files() -> Iterator[Case]:
    """Files for predict, which gives each a row; and archives for data_prep."""
    jpeg = _encoded("JPEG", quality=75)
    chance = random.Random(0)
    images = {f"cut at {share} %": jpeg[: len(jpeg) * share // 100] for share in range(0, 100, 10)}
    for number in range(25):
        content = bytearray(jpeg)
        for _ in range(1 + number):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        images[f"{1 + number} bits flipped"] = bytes(content)
    images |= {f"as {kind}": _encoded(kind) for kind in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000")}
    images |= {f"PNG of {side:,} a side": _bomb(side) for side in (20_000, 60_000, 2**31 - 1)}
    images |= {f"garbage {number}": chance.randbytes(10**number) for number in range(6)}
    images["two images"] = jpeg + jpeg
    images["much after the end"] = jpeg + bytes(10**6)
    images["a page"] = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    images["many scans"] = jpeg[:-2] + jpeg[jpeg.index(b"\xff\xda") : -2] * 200 + jpeg[-2:]
    images |= {f"mode {mode}": _encoded("TIFF", mode) for mode in ("1", "L", "P", "CMYK", "I;16", "F", "LAB", "RGBA")}
    for name, content in images.items():
        yield Case(f"image {name}", _made("made", content), PREDICT, False)
        yield Case(f"image {name} in a tree", _in_a_tree(content), PREPARE, False)
    for name, text in HOSTILE.items():
        yield Case(f"name {name}", _in_a_folder(text.replace("/", "_")), PREDICT, False)
    for name, (content, is_refused) in _archives(jpeg).items():
        yield Case(f"archive {name}", _made("made", content), PREPARE, is_refused)
    yield from _lists()


def _encoded(kind: str, mode: str = "RGB", seed: int = 0, **options: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    made = Image.new(mode, (32, 32)) if mode in ("I;16", "F", "LAB") else image.convert(mode)
    made.save(buffer, kind, **options)
    return buffer.getvalue()


def _bomb(side: int) -> bytes:
    """A PNG that claims to have so many pixels a side, all black."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")


def _archives(jpeg: bytes) -> dict[str, tuple[bytes, bool]]:
    def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    tree: dict[str, bytes] = {}
    for split, label, number in itertools.product(("train", "test"), ("REAL", "FAKE"), range(30)):
        tree[f"{split}/{label}/{number}.jpg"] = _encoded("JPEG", seed=len(tree))
    whole, tarred = zipped(tree), _tarred(tree)
    mode = {name.replace("REAL/1", "REAL/\x1b[2J</b>=1/1"): content for name, content in tree.items()}
    return {
        "whole": (whole, False),
        "cut": (whole[:-100], True),
        "empty": (zipped({}), True),
        "no archive": (b"PK", True),
        "without FAKE": (zipped({name: content for name, content in tree.items() if "FAKE" not in name}), True),
        "LZMA": (zipped(tree, zipfile.ZIP_LZMA), True),
        "bzip2": (zipped(tree, zipfile.ZIP_BZIP2), False),
        "climbing": (zipped(tree | {"train/REAL/../../../evil.jpg": jpeg}), True),
        "a bomb": (zipped(tree | {"train/REAL/bomb.jpg": bytes(10**9)}, zipfile.ZIP_DEFLATED), True),
        "a name that clears the screen": (zipped(tree | {"train/REAL/\x1b[2J.jpg": jpeg}), False),
        "an archive in it": (zipped(tree | {"train/REAL/more.zip": whole}), False),
        "backslashes": (zipped({name.replace("/", "\\"): content for name, content in tree.items()}), False),
        "climbing backslashes": (zipped(tree | {"train\\REAL\\..\\..\\..\\evil.jpg": jpeg}), True),
        "folders that clear the screen": (zipped(mode), False),
        "folders that may be splits": (zipped(tree | {"test2/REAL/0.jpg": jpeg}), True),
        "a folder that is both": (zipped(tree | {"train/REAL/original/fake/0.jpg": jpeg}), True),
        "tar": (tarred, False),
        "tar in gzip": (gzip.compress(tarred), False),
        "tar in bzip2": (bz2.compress(tarred), False),
        "tar in xz": (lzma.compress(tarred), True),
        "tar, cut": (tarred[: len(tarred) // 2], True),
        "tar in gzip, cut": (gzip.compress(tarred)[:-100], True),
        "tar, a damaged header": (tarred[: len(tarred) // 1024 * 512] + b"\xff" * 512 + tarred[-1024:], True),
        "tar, climbing": (_tarred(tree | {"train/REAL/../../../evil.jpg": jpeg}), True),
        "tar, absolute": (_tarred(tree | {"/tmp/evil.jpg": jpeg}), True),
        "tar, a bomb": (gzip.compress(_tarred(tree | {"train/REAL/bomb.jpg": bytes(10**9)})), True),
        "tar, empty": (_tarred({}), True),
        "tar, links": (
            _tarred(tree, {"train/REAL/a.jpg": tarfile.SYMTYPE, "train/FAKE/b.jpg": tarfile.LNKTYPE}),
            False,
        ),
        "tar, devices": (_tarred(tree, {"train/REAL/a.jpg": tarfile.CHRTYPE, "train/FAKE/b": tarfile.FIFOTYPE}), False),
        "tar, a long header": (_tarred(tree, {"train/REAL/a.jpg": tarfile.REGTYPE}, "x" * 2**21), True),
        "gzip of nothing": (gzip.compress(b""), True),
        "gzip of text": (gzip.compress(b"text" * 1000), True),
    }


def _tarred(files: dict[str, bytes], others: dict[str, bytes] | None = None, comment: str = "") -> bytes:
    """A tar of files, and of names that lead to /etc/passwd or are devices, with a comment."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, kind in (others or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.pax_headers = kind, "/etc/passwd", {"comment": comment}
            archive.addfile(member)
    return buffer.getvalue()


def _lists() -> Iterator[Case]:
    """Lists of the images of a tree: a few that are right, and many that are not."""
    rows = [
        f"{split}/{label}/{number:04d}.jpg"
        for split in ("train", "test")
        for label in ("REAL", "FAKE")
        for number in range(30)
    ]
    table = "\n".join(["path,label,split", *(f"{row},{row.split('/')[1]},{row.split('/')[0]}" for row in rows)])
    lists = {"right": (table, False), "in other letters": (table.encode("utf-16"), True), "empty": ("", True)}
    lists |= {"binary": (bytes(range(256)), True), "zeros": ("\0" * 1000, True), "nested": ('"' * 10**5, True)}
    lists |= {"a header alone": ("path,label,split", True), "without a label": (table.replace("label", "x"), True)}
    lists |= {"a row too long": (table + "\na,b,c,d,e", True), "quotes that never end": (table + '\n"a', True)}
    lists["a million columns"] = (",".join(map(str, range(10**6))) + "\n", True)
    keys = [{"path": row, "label": row.split("/")[1], f"x{number}": 1} for number, row in enumerate(rows * 100)]
    lists["a long cell"] = (table + "\n" + "x" * 10**7 + ",REAL,train", False)
    lists |= {f"split {text!r}": (table + f"\na,REAL,{text}", True) for text in ("part", "val2", "\x1b[2J")}
    for kind, text in HOSTILE.items():
        quoted = '"' + text.replace('"', '""') + '"'
        lists[f"image {kind}"] = (table + f"\n{quoted},REAL,train", False)
        lists[f"label {kind}"] = (table + f"\na,{quoted},train", True)
        lists[f"split {kind}"] = (table + f"\na,REAL,{quoted}", True)
    for name, (text, is_refused) in lists.items():
        content = text if isinstance(text, bytes) else text.encode()
        yield Case(f"list {name}", _listed("a.csv", content), (*PREPARE, "--list", "a.csv"), is_refused)
    for name, value in {
        "a million columns": keys,
        "a number": 7,
        "null": None,
        "text": "x",
        "rows in rows": [[[1]]],
    }.items():
        content = json.dumps(value).encode()
        yield Case(f"list of JSON, {name}", _listed("a.json", content), (*PREPARE, "--list", "a.json"), True)


def _listed(name: str, content: bytes) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        (place / "tree").rename(place / "made")
        (place / "made" / name).write_bytes(content)

    return change


def _made(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda place: (place / name).write_bytes(content) and None


def _in_a_tree(content: bytes) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        (place / "tree").rename(place / "made")
        (place / "made/train/REAL/odd.jpg").write_bytes(content)

    return change


def _in_a_folder(name: str) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        (place / "made").mkdir()
        (place / "made" / f"{name}.jpg").write_bytes(_encoded("JPEG"))

    return change
