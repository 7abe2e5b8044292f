"""A record with nothing left to do: the same command says so at once, and leaves the report as it is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.results.provenance import SAMPLE_CAVEAT
from data_prep.storage import Folder
from support.commands import Command, run_python
from support.records import analyse
from support.sweeps import TINY, ZOO
from sweeps.record import shown
from sweeps.record.lease import Lease
from sweeps.record.writer import Record
from sweeps.trackers.following import following
from trainables.record import MANIFEST, read_manifest

ONE = (ZOO, "--models", "age-c2-f1", *TINY)


def end(folder: Folder, **changes: object) -> None:
    """Complete a record as the end of its sweep does: its manifest, its TensorBoard files and its report."""
    folder.write_json(MANIFEST, folder.read_json(MANIFEST) | {"wall_seconds": 1.0, "floor": {"both": {}}} | changes)
    record = Record(folder, folder.read_json(MANIFEST)["data"]["fingerprint"])
    with following(record, "zoo", [], Lease(folder)):
        pass
    analyse(folder)


@pytest.fixture
def complete(small_record: Path, tmp_path: Path) -> Path:
    """A working folder with a complete record of one network in results/zoo."""
    place = Path(shutil.copytree(small_record, tmp_path / "place"))
    end(Folder(str(place / "results" / "zoo")))
    return place


def test_a_complete_record_says_what_there_is(complete: Path, command_here: Command) -> None:
    report = complete / "results" / "zoo" / "report.html"
    before = report.stat().st_mtime_ns
    done = command_here(*ONE, cwd=complete)
    assert done.returncode == 0, done.stderr
    first, answer, link = done.stdout.splitlines()
    assert first == "Every trial of results/zoo is over, and its report shows them."
    assert answer == f"No trial of zoo is ranked. {SAMPLE_CAVEAT}"  # three epochs on 400 images are at chance
    assert link == "results/zoo/report.html"
    assert report.stat().st_mtime_ns == before


def test_an_unchanged_record_is_not_analysed_again(complete: Path, command_here: Command) -> None:
    report = complete / "results" / "zoo" / "report.html"
    before = report.stat().st_mtime_ns
    done = command_here("-m", "analysis", "results/zoo", cwd=complete)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "Report, tables and figures show what results/zoo holds."
    assert report.stat().st_mtime_ns == before


def rewrite_a_part(record: Path) -> None:
    Record(Folder(str(record))).folder.write_bytes(
        "trials.parquet/part-00000.parquet", (record / "trials.parquet/part-00000.parquet").read_bytes()
    )


CHANGES: dict[str, Callable[[Path], object]] = {
    "a part of a table": rewrite_a_part,
    "the manifest": lambda record: (record / MANIFEST).write_text((record / MANIFEST).read_text() + "\n"),
    "scores": lambda record: next((record / "scores").iterdir()).unlink(),
    "robustness": lambda record: (record / "robustness.parquet").touch(),
    "no report": lambda record: (record / "report.html").unlink(),
    "no table": lambda record: (record / "tables" / "results.csv").unlink(),
    "no figure": lambda record: (record / "figures" / "curves.pdf").unlink(),
    "no digest": lambda record: (record / shown.SHOWN).write_text("[]"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_seen(change: str, complete: Path) -> None:
    record = complete / "results" / "zoo"
    assert shown.is_current(Folder(str(record)))
    CHANGES[change](record)
    assert not shown.is_current(Folder(str(record)))


def test_a_record_that_is_not_over_is_not_complete(complete: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one without its floor, one that a tracker lacks, or one of other settings or trials."""
    from sweeps.engine.run import _is_complete
    from sweeps.zoo import ZooOptions, zoo

    monkeypatch.chdir(complete)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folder = Folder("results/zoo")

    def is_complete(models: str = "age-c2-f1", **more: object) -> bool:
        options = ZooOptions(**{"models": models, "limit": 400, "epochs": 3} | more)  # type: ignore[arg-type]
        return _is_complete(zoo(options), options, folder)

    assert is_complete()
    for other in ({"models": "age-c2-f1,age-c2-f2"}, {"epochs": 4}, {"seeds": 2}, {"fresh": True}, {"smoke": True}):
        assert not is_complete(**other), other
    assert not is_complete(track=("mlflow",))
    for lacking in ("wall_seconds", "floor"):
        manifest = json.loads((complete / "results/zoo" / MANIFEST).read_text())
        end(folder, **{lacking: None})
        assert not is_complete(), lacking
        folder.write_json(MANIFEST, manifest)


@pytest.mark.slow
def test_what_a_kill_left_open_is_completed_without_ray(complete: Path) -> None:
    """The kill came after the last trial, before the manifest was complete; `--watch` would never end."""
    folder = Folder(str(complete / "results" / "zoo"))
    end(folder, wall_seconds=None, floor=None)
    done = run_python(*ONE, cwd=complete)
    assert done.returncode == 0, done.stderr
    assert "Ray" not in done.stdout
    assert read_manifest(folder).is_over
    assert run_python("-m", "analysis", "results/zoo", "--watch", cwd=complete).returncode == 0
