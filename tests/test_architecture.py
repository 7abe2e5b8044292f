"""The shape of the house: imports go one way, and the process that drives a sweep does not wait for TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import ROOT

PACKAGES = ("data_prep", "trainables", "sweeps", "analysis")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    place = PACKAGES.index(path.relative_to(ROOT).parts[0])
    assert not imported(path) & set(PACKAGES[place + 1 :])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_pipeline_imports_tensorflow(path: Path) -> None:
    assert ("tensorflow" in imported(path)) == (path == ROOT / "trainables" / "pipeline.py")


def test_what_runs_in_the_fork_server_needs_no_ray() -> None:
    """Each trial would import it anew."""
    files = ("_train", "_pipeline", "_trial", "_task", "_cost", "_probes")
    code = f"import sys, {', '.join(f'trainables.{name}' for name in files)}; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_driver_imports_no_tensorflow() -> None:
    code = (
        "import sys, ray.tune, sweeps.age, sweeps.engine.run, sweeps.engine.cluster, sweeps.engine.recorder, sweeps.engine.resources, "
        "trainables.worker.actor; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
