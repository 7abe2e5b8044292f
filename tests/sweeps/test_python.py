"""Sweeps from Python, in any thread, and in a notebook: they leave the record of the command line."""

import json
import os
from pathlib import Path
from typing import Any

import click
import nbformat
import pytest
from nbclient import NotebookClient

import sweeps
from data_prep import InputError
from support.commands import ROOT, run_python
from support.sweeps import TINY, ZOO, assert_same_results

TWO = ("--models", "age-c2-f1,age-c3-f1", *TINY)
SCRIPT = """
import sys, threading
import sweeps

options = {"models": ["age-c2-f1,age-c3-f1"], "limit": 400, "epochs": 3, "plan": False, "weights": None}
thread = threading.Thread(target=lambda: print(sweeps.run("zoo", results="thread", **options)))
thread.start()
thread.join()
print(sweeps.run("zoo", results="again", **options))
"""


def test_what_the_command_line_refuses_is_refused() -> None:
    with pytest.raises(InputError, match="There is no sweep 'agee'; there are age, cifake_paper, "):
        sweeps.run("agee")
    with pytest.raises(InputError, match="age has no option 'epoch'; the nearest is 'epochs'"):
        sweeps.run("age", epoch=3)
    with pytest.raises(click.UsageError, match="0 is not in the range x>=1"):
        sweeps.run("age", epochs=0)


@pytest.mark.cluster
def test_a_sweep_in_a_thread_and_again_leaves_the_record_of_the_command_line(tmp_path: Path) -> None:
    done = run_python(ZOO, *TWO, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = run_python("-c", SCRIPT, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stdout.splitlines() if line.endswith("/zoo")] == ["thread/zoo", "again/zoo"]
    for place in ("thread", "again"):
        assert_same_results(tmp_path / place, tmp_path / "results")
        manifest = json.loads((tmp_path / place / "zoo" / "manifest.json").read_text())
        assert manifest["command"].startswith("python sweeps/zoo.py --results ")
        assert (tmp_path / place / "zoo" / "report.html").exists()


@pytest.mark.cluster
def test_the_notebook_runs_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From beginning to end. It has one bar, which is updated in its place, and shows a figure."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook: Any = nbformat.read(ROOT / "docs" / "notebook.ipynb", 4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    _, first, again, _, curves, *_ = [cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"]
    pages = [output["data"]["text/html"] for output in first if "data" in output]
    bars = [page for page in pages if page]  # Tune shows an empty one
    assert len(bars) == 1
    assert '<progress value="40" max="40">' in bars[0]
    assert "Every trial of results/zoo is over, and its report shows them." in again[0]["text"]
    assert "image/png" in curves[0]["data"]
