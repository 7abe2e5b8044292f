"""The wheel: installed in an empty environment, it is used from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.code import PACKAGES, files, imported_packages
from support.commands import ROOT

SOURCES = ("analysis", "data_prep", "sweeps", "trainables", "pyproject.toml", "README.md", "LICENSE")


def test_every_package_that_is_imported_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in extras if name != "test" for line in extras[name])]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    imported = {name for path in files() for name in imported_packages(path)} - sys.stdlib_module_names
    providers = packages_distributions()
    lacking = {
        name
        for name in imported - set(PACKAGES)
        if not declared & {canonicalize_name(provider) for provider in providers.get(name, [])}
    }
    assert lacking == {"IPython", "google", "kagglesdk"}, "which a notebook, TensorBoard and kaggle bring along"


@pytest.mark.cluster
def test_the_wheel_prepares_data_sweeps_and_analyses(tmp_path: Path) -> None:
    for name in SOURCES:  # a build leaves files beside them
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / "sources" / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    elsewhere, python = tmp_path / "elsewhere", tmp_path / "environment" / "bin" / "python"
    elsewhere.mkdir()

    def run(*words: object) -> str:
        command = list(map(str, words))
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, tmp_path / "sources")
    run(sys.executable, "-m", "venv", tmp_path / "environment")
    (wheel,) = tmp_path.glob("*.whl")
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", wheel)
    (packages,) = tmp_path.glob("environment/lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # which took minutes to install
    assert str(tmp_path / "environment") in run(python, "-c", "import sweeps; print(sweeps.__file__)")
    run(python, "-m", "data_prep", "--source", "sample", "--out", "shards/own")
    zoo = ("--data", "shards/own", "--models", "age-c2-f1", "--smoke")
    assert "results/zoo/report.html" in run(python, "-m", "sweeps.zoo", *zoo)
    run(python, "-m", "sweeps.search", "--data", "shards/own", "--plan", "--trials", 2)
    assert "show what results/zoo holds" in run(python, "-m", "analysis", "results/zoo")
    photograph = ROOT / "docs" / "report.png"
    assert "probability_fake" in run(python, "-m", "analysis", "predict", "results/zoo", photograph)
    assert (elsewhere / "results" / "zoo" / "figures" / "curves.png").exists()
