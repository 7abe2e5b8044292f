"""The page at the root of the results: every record, with its question, its answer and a link to its report."""

from typing import Any

from analysis.pages.answer import command_again
from analysis.pages.environment import ENVIRONMENT
from data_prep import Folder
from sweeps.record import shown
from trainables.record import MANIFEST, read_manifest

INDEX = "index.html"


def records(root: Folder) -> list[str]:
    """The records in a folder, and in its folders that are none themselves: `age`, `cifake/age`."""
    files = root.stamps()
    names = [name for name in root.names() if name not in files and not name.startswith(".")]
    found = [name for name in names if root.folder(name).exists(MANIFEST)]
    below = [f"{name}/{inner}" for name in names if name not in found for inner in root.folder(name).names()]
    return found + [name for name in below if root.folder(name).exists(MANIFEST)]


def index(root: Folder) -> str:
    """The page. Raises InputError for a record that cannot be read."""
    rows = [_row(root.folder(name), name) for name in records(root)]
    rows.sort(key=lambda row: row["started"], reverse=True)
    return ENVIRONMENT.get_template("index.html.j2").render(root=str(root), rows=rows)


def _row(folder: Folder, name: str) -> dict[str, Any]:
    manifest, answer = read_manifest(folder), shown.answer(folder)
    return {
        "name": name,
        "question": manifest.question,
        "answer": answer,
        "report": f"{name}/{shown.REPORT}" if answer else "",  # and no other page that lies there
        "started": manifest.started[:16].replace("T", " "),
        "state": "over" if manifest.wall_seconds else "not over: the same command goes on",
        "command": command_again(manifest.command),
    }
