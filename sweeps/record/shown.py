"""What the report of a record shows: tables/shown.json, which the analysis writes last.

digest    of the record's files, and of the code that analyses them
answer    to the sweep's question, in a sentence or two
files     report, tables and figures
seal      of all that, by a key in this user's cache

A record may come from a stranger, who can write any report and any answer: without this user's seal it is made anew.
"""

import contextlib
import functools
import hashlib
import hmac
import os
import secrets
import tempfile
import webbrowser
from collections.abc import Collection
from pathlib import Path
from typing import Any

import platformdirs
from rich.console import Console
from rich.style import Style
from rich.text import Text

from data_prep import Folder, printable
from data_prep.sources import CACHE
from trainables.record import EPOCHS, TRIALS

REPORT, SHOWN = "report.html", "tables/shown.json"

_KEY_BYTES = 32
_CODE = ("analysis", "sweeps/stats", "trainables/training")


def digest(folder: Folder) -> str:
    """A digest of a record's files, by name, size and time of change, and of the code that analyses them."""
    stamps = [folder.folder(name).stamps() for name in (TRIALS, EPOCHS, "scores", "explanations")]
    stamps.append({name: stamp for name, stamp in folder.stamps().items() if name != REPORT})
    root = Path(__file__).parents[2]
    code = [path for package in _CODE for path in sorted((root / package).rglob("*.*")) if path.suffix != ".pyc"]
    content = b"".join([repr(stamps).encode(), *(path.read_bytes() for path in code)])
    return hashlib.sha256(content).hexdigest()[:16]


def is_current(folder: Folder) -> bool:
    """Whether report, tables and figures are there, are this user's own, and show what the record holds."""
    try:
        shown = folder.read_json(SHOWN)
        names = {f"{room}/{name}" for room in ("tables", "figures") for name in folder.folder(room).names()}
        is_whole = {*shown["files"]} <= {*names, *folder.names()}
        return bool(is_whole and shown["answer"] and _is_own(folder, shown) and shown["digest"] == digest(folder))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return False


def write(folder: Folder, digest: str, answer: str, files: Collection[str]) -> None:
    """Enter what has been written of a record that had this digest before it was read."""
    shown = {"digest": digest, "answer": answer, "files": sorted(files)}
    folder.write_json(SHOWN, shown | {"seal": _seal(folder, shown)})


def _is_own(folder: Folder, shown: dict[str, Any]) -> bool:
    """Whether this user's own analysis has written what is shown."""
    rest = {name: value for name, value in shown.items() if name != "seal"}
    return hmac.compare_digest(str(shown["seal"]).encode(), _seal(folder, rest).encode())


def _seal(folder: Folder, shown: dict[str, Any]) -> str:
    """Of what is shown: of each file that is there its content, where it is on this machine; else size and time."""
    seal = hmac.new(_key(), repr(shown).encode() + folder.read_bytes(REPORT), "sha256")
    for room in ("tables", "figures"):
        for name, stamp in folder.folder(room).stamps().items():
            if f"{room}/{name}" != SHOWN:
                content = folder.read_bytes(f"{room}/{name}") if folder.is_local else repr(stamp).encode()
                seal.update(repr([room, name, len(content)]).encode() + content)
    return seal.hexdigest()


@functools.cache
def _key() -> bytes:
    """This user's key, made at first; where it cannot be kept, one of this process."""
    path, new = platformdirs.user_cache_path(CACHE) / "key", secrets.token_bytes(_KEY_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size != _KEY_BYTES:  # as a power cut may leave it
            path.unlink()
        with tempfile.NamedTemporaryFile(dir=path.parent) as file, contextlib.suppress(FileExistsError):
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)  # whole, or not at all
        return path.read_bytes()
    except OSError:
        return new


def answer(folder: Folder) -> str:
    """The answer that a record's report gives; empty if it has none that this user's own analysis has written."""
    try:
        shown = folder.read_json(SHOWN)
        return str(shown["answer"]) if _is_own(folder, shown) else ""
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def say(folder: Folder, name: str = REPORT, opens: bool = False) -> None:
    """Print the answer, if any, and a page as a link that a terminal opens; with `opens`, show it in a browser."""
    console, path = Console(highlight=False), f"{folder}/{name}"
    link = folder.local_path(name).as_uri() if folder.is_local else path
    if sentence := answer(folder):
        is_log = not console.is_terminal  # whose lines are not broken
        console.print(printable(sentence), markup=False, soft_wrap=is_log)
    console.print(Text(path, Style(link=link)), soft_wrap=True)
    if opens:
        webbrowser.open(link)
