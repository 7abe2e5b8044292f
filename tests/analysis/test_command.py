"""`python -m analysis`: what it prints, what it refuses, and what it does not import."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.storage import Folder
from support.commands import ROOT, refused, small_disk
from support.records import (
    AGE,
    BEST,
    COLLAPSED,
    WORST,
    run,
    twelve,
)
from trainables import MODELS
from trainables.record import EPOCHS, TRIALS, part_file


def test_the_command_prints_the_ranking_and_where_the_files_are(make: Callable[..., Folder]) -> None:
    folder = make(twelve())
    done = run(str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.index(BEST) < done.stdout.index(WORST) < done.stdout.index(f"collapsed: {COLLAPSED}")
    assert f"{folder}/report.html" in done.stdout


@pytest.mark.parametrize("damaged", ["manifest.json", part_file(TRIALS, 0), part_file(EPOCHS, 0), None])
def test_a_missing_or_corrupt_record_is_one_sentence(make: Callable[..., Folder], damaged: str | None) -> None:
    folder = make(twelve())
    if damaged:
        folder.write_bytes(damaged, folder.read_bytes(damaged)[:-20])
    done = run(str(folder) if damaged else f"{folder}/nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not folder.exists("report.html")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize(("fault", "words"), [("full", "disk is full"), ("read-only", "read-only")])
def test_where_nothing_more_can_be_written_the_old_report_stays(
    again: Folder, tmp_path: Path, fault: str, words: str
) -> None:
    """Of a record that has changed, on a disk with no more than 100 kB left, or whose figures cannot be written."""
    with small_disk(tmp_path / "disk", "64m") as disk:
        record = shutil.copytree(again.local_path(), disk / "age")
        written = [record / "report.html", *(record / "tables").iterdir(), *(record / "figures").iterdir()]
        (record / "manifest.json").touch()
        if fault == "full":
            with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
                while True:
                    filler.write(bytes(2**16))
                    filler.flush()
            os.truncate(disk / "filler", (disk / "filler").stat().st_size - 100_000)
        else:
            subprocess.run(["mount", "--bind", "-o", "ro", record / "figures", record / "figures"], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", record / "figures"], check=True)
        before = [path.read_bytes() for path in written]
        done = run(str(record))
        if fault == "read-only":
            subprocess.run(["umount", record / "figures"], check=True)
        assert words in refused(done)
        assert [path.read_bytes() for path in written] == before
        assert not list(record.rglob(".*"))


def test_analysis_imports_neither_ray_nor_tensorflow() -> None:
    code = "import analysis.__main__, analysis.report, sys; print({'ray', 'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_the_networks_of_the_fixture_are_those_of_the_project() -> None:
    assert [name for name in MODELS if name.startswith("age-")] == AGE
