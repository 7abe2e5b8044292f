"""Synthetic records whose every number is known, and the command that analyses them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analysis import __main__ as command
from analysis.pages.answer import answer
from analysis.pages.page import report
from analysis.results.judged import findings
from analysis.results.trials import read
from data_prep.storage import Folder
from support.commands import ROOT
from sweeps.record.writer import Record
from trainables import Recipe

AGE = [f"age-c{trunk}-f{head}" for trunk in (2, 3, 4) for head in (1, 2, 3, 4)]
VALIDATION, TEST, CLEAN = 200, 400, 380  # images
COLLAPSED, STOPPED = "age-c3-f4", "age-c2-f3"
# Correct answers of each network. On test the order is the other way round; the collapsed network is best there.
RIGHT = {name: (120 + 6 * place, 390 - 5 * place) for place, name in enumerate(AGE)}
BEST, WORST = AGE[-1], AGE[0]
LABELS = np.array([0, 1], np.int8)
NO_SCORES = ("pending", "running", "failed", "diverged")


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest as a sweep writes it."""
    data = {
        "source": "cifake.zip",
        "fingerprint": "0123456789abcdef",
        "shards": "shards/cifake",
        "image_size": 32,
        "counts": {"train": {"REAL": 500, "FAKE": 500}},
        "used": {"train": 800, "validation": VALIDATION, "test": TEST, "test_clean": CLEAN},
        "audit": {"images": 1400, "warnings": ["Codecs differ."], "unreadable": {"a.jpg": "no JPEG"}, "notes": []},
    }
    return {
        "format_version": 2,
        "sweep": "age",
        "question": "Which of <twelve> is best?",
        "command": "python sweeps/age.py",
        "settings": {"epochs": 3, "smoke": False},
        "data": data,
        "metric": "validation_accuracy",
        "direction": "max",
        "commit": "abcdef",
        "dirty": True,
        "versions": {"ray": "2.60.0"},
        "hardware": {"cpus": 2},
        "seeds": [0],
        "started": "2026-11-23T10:00:00+00:00",
        "wall_seconds": 12.0,
    } | changes


def scores(right: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, half REAL and half FAKE, and logits of which the first `right` are on the right side of 0."""
    labels = np.resize(LABELS, images)
    signs = np.where(np.arange(images) < right, 1, -1) * (2 * labels - 1)
    return labels, (signs * np.linspace(1, 2, images)).astype(np.float32)


def score_table(split: str, right: int, images: int) -> pa.Table:
    labels, logits = scores(right, images)
    return pa.table({"split": [split] * images, "row": np.arange(images), "label": labels, "score": logits})


def epoch_rows(name: str, seed: int, epochs: int) -> list[dict[str, Any]]:
    """Curves that no other network and seed has."""
    place = AGE.index(name) + seed / 10 if name in AGE else 0.5
    names = [f"{split}_{metric}" for split in ("train", "validation") for metric in ("loss", "accuracy", "auc")]
    return [
        {"epoch": epoch, **{key: 0.4 + (place + epoch + 0.1 * at) / 40 for at, key in enumerate(names)}}
        for epoch in range(1, epochs + 1)
    ]


def enter(record: Record, recipe: Recipe, status: str, **columns: Any) -> str:
    """Enter a trial as a sweep leaves it in that state. Returns its identity."""
    trial = record.add(recipe)
    if status == "pending":
        return trial
    row: dict[str, Any] = {"status": status, "parameters": 1000, "wall_seconds": 2.5, "train_images": 800}
    rows = epoch_rows(recipe.network, recipe.seed, {"failed": 0, "running": 1}.get(status, 3))
    if status not in NO_SCORES:
        right = dict(zip(("validation", "test"), RIGHT.get(recipe.network, (150, 300)), strict=True))
        for split, images in (("validation", VALIDATION), ("test", TEST)):
            row |= {f"{split}_accuracy": right[split] / images, f"{split}_auc": 0.9, f"{split}_loss": 0.3}
            row |= {f"{split}_images": images}
        row |= {"test_clean_accuracy": (right["test"] - 10) / CLEAN, "test_clean_images": CLEAN, "best_epoch": 2}
        parts = [score_table("validation", right["validation"], VALIDATION), score_table("test", right["test"], TEST)]
        record.folder.write_table(f"scores/{trial}.parquet", pa.concat_tables(parts))
    for epoch in rows:
        record.update(trial, {}, epoch)
    record.update(trial, row | columns)
    return trial


Trials = list[tuple[Recipe, str, dict[str, Any]]]


def write(place: Path, trials: Trials, **changes: Any) -> Folder:
    """A record of `trials` (recipe, status, columns) in a new folder; `changes` are of the manifest."""
    record = Record(Folder(str(place / "age")), "data")
    record.folder.write_json("manifest.json", manifest(**changes))
    for recipe, status, columns in trials:
        enter(record, recipe, status, **columns)
    record.write()
    return record.folder


def twelve(seed: int = 0) -> Trials:
    """The twelve age networks: one collapsed, one stopped by a scheduler, ten finished."""
    states = {COLLAPSED: "collapsed", STOPPED: "stopped"}
    reasons = {COLLAPSED: {"reason": "it says REAL for\nevery | validation image", "test_accuracy": 1.0}}
    return [(Recipe(name, seed=seed), states.get(name, "finished"), reasons.get(name, {})) for name in AGE]


def analyse(folder: Folder) -> str:
    """Run the command, which must succeed, and return the report."""
    command.main.main([str(folder)], standalone_mode=False)
    return folder.read_bytes("report.html").decode()


def said(folder: Folder) -> str:
    """What the report says, without its figures, which take long to draw."""
    results = read(folder)
    found = findings(results)
    page = report(results, found, answer(results, found.compared, folder), "", [], [], None, ("", ""))
    return page.replace("\N{NO-BREAK SPACE}", " ")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "analysis", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
