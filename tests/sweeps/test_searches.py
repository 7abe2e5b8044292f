"""Searches on a real Ray: extended, killed, repeated."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from analysis.pages.summary import summary
from analysis.results.compared import repeats
from analysis.results.judged import findings
from analysis.results.searches import front, hyperparameters, importance, searched
from analysis.results.trials import read
from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import ROOT, refused, run_python
from support.searches import SEARCH, SMALL, run_main, rungs
from support.sweeps import TIMES
from support.trees import make_tree
from sweeps import search
from sweeps.record.writer import Record
from sweeps.searching.options import SearchOptions
from sweeps.searching.study import SearchStudy

pytestmark = pytest.mark.cluster


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(
        study_name="search", storage=JournalStorage(JournalFileBackend(str(folder / "search" / "study.journal")))
    )


def by_number(results: Path) -> pd.DataFrame:
    frame = pd.read_parquet(results / "search" / "trials.parquet")
    return frame[frame["number"].notna()].sort_values("number", ignore_index=True)


def assert_no_orphans(results: Path) -> None:
    """Every trial of the study is in the record, in the same state, and the other way round."""
    states = {"finished": "COMPLETE", "stopped": "PRUNED", "collapsed": "PRUNED", "diverged": "PRUNED"}
    recorded = {int(row["number"]): states.get(row["status"], "RUNNING") for _, row in by_number(results).iterrows()}
    known = {trial.number: trial.state.name for trial in study_of(results).get_trials(deepcopy=False)}
    assert {number: state for number, state in known.items() if state != "FAIL"} == recorded


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search of six trials in `six`."""
    folder = tmp_path_factory.mktemp("search")
    prepare(str(make_tree(folder / "tree", images=250)), str(folder / "shards"))
    done = run_python(SEARCH, *SMALL, "--trials", "6", "--results", "six", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_search_that_is_extended_equals_one_of_that_size(place: Path) -> None:
    for trials in ("3", "6"):
        done = run_python(SEARCH, *SMALL, "--trials", trials, "--results", "extended", cwd=place)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(by_number(place / "extended")) == int(trials)
    one, other = by_number(place / "six"), by_number(place / "extended")
    pd.testing.assert_frame_equal(one.drop(columns=TIMES), other.drop(columns=TIMES))
    assert rungs(study_of(place / "six")) == rungs(study_of(place / "extended"))
    assert_no_orphans(place / "six")
    assert_no_orphans(place / "extended")


def test_a_time_budget_is_kept_and_the_same_command_goes_on(place: Path) -> None:
    words = (*SMALL, "--trials", "500", "--time-budget", "60s", "--stopping", "none", "--results", "budget")
    began = time.monotonic()
    done = run_python(SEARCH, *words, cwd=place)
    assert time.monotonic() - began < 75, "the budget is for all rounds together"
    assert done.returncode == 0, done.stderr
    assert "The time budget is spent: the same command goes on, with " in done.stdout
    rows = by_number(place / "budget")
    assert 0 < (rows["status"] == "finished").sum() < 500
    assert set(rows["status"]) <= {"finished", "collapsed", "pending"}


def test_the_record_tells_the_space(place: Path) -> None:
    study = read(Folder(str(place / "six" / "search")))
    assert set(hyperparameters(study)) == {"network", "learning_rate", "dropout"}
    found = searched(study)
    assert found["best_so_far"].dropna().is_monotonic_increasing
    assert found["image_passes"].iloc[-1] == 450 * study.trials["epochs_done"].sum()
    assert len(importance(study)) == 0  # of six trials
    assert len(front(study)) == 0
    assert len(repeats(study)) == 0


@pytest.mark.disaster
def test_a_search_killed_thrice_goes_on_as_it_was(place: Path) -> None:
    chance, words = random.Random(0), (SEARCH, *SMALL, "--trials", "8", "--results", "killed")
    record = place / "killed" / "search"
    begun, finished = 0, {}
    for _ in range(3):
        driver = subprocess.Popen([sys.executable, *map(str, words)], cwd=place, stdout=subprocess.DEVNULL)
        wanted = begun + chance.randint(1, 5)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and driver.poll() is None:
            begun = len(pd.read_parquet(record / "epochs.parquet")) if (record / "epochs.parquet").exists() else 0
            if begun >= wanted:
                break
            time.sleep(0.1)
        assert driver.poll() is None, "the search was over before it was killed"
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        rows = by_number(place / "killed")
        over = rows[rows["status"].isin(["finished", "stopped", "collapsed"])]
        assert finished.items() <= over.set_index("trial")["wall_seconds"].to_dict().items()
        finished = over.set_index("trial")["wall_seconds"].to_dict()
        before = Record(Folder(str(record)))
    done = run_python(*words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = by_number(place / "killed")
    assert len(rows) == 8
    assert finished.items() <= rows.set_index("trial")["wall_seconds"].to_dict().items()
    epochs = pd.read_parquet(record / "epochs.parquet")
    assert not epochs.duplicated(["trial", "epoch"]).any()
    after = rungs(study_of(place / "killed"))
    for trial, epochs_before in before.epochs.items():
        number = int(rows.set_index("trial").loc[trial, "number"])
        if 1 in epochs_before:
            assert after[number][0] == epochs_before[1]["validation_accuracy"]
    assert_no_orphans(place / "killed")


def test_the_best_are_repeated_with_new_seeds(place: Path) -> None:
    words = (*SMALL, "--trials", "6", "--repeat-best", "1", "--seeds", "2", "--results", "six")
    done = run_python(SEARCH, *words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    study = read(Folder(str(place / "six" / "search")))
    found = repeats(study)
    best = by_number(place / "six")
    best = best[best["status"] == "finished"]
    best = best.sort_values("validation_accuracy", ascending=False, kind="stable").iloc[0]
    assert found["configuration"].tolist() == [f"#{best['number']:.0f} {best['network']}"]
    again = study.trials[study.trials["number"].isna()]
    assert sorted(again["seed"]) == [1, 2]
    n = int((again["status"] == "finished").sum())
    assert found["n"].tolist() == [n]
    assert found["test_accuracy_mean"].iloc[0] == pytest.approx(again["test_accuracy"].dropna().mean())
    assert "Trained again with new seeds" in (place / "six" / "search" / "report.html").read_text()


def test_the_best_of_another_record_is_tried_first(place: Path) -> None:
    best = by_number(place / "six")
    best = best[best["status"] == "finished"].sort_values("validation_accuracy", ascending=False, kind="stable").iloc[0]
    words = (*SMALL, "--from", str(place / "six" / "search"))
    asked = run_main(search.search, *words, options=SearchOptions).strategy.search  # type: ignore[attr-defined]
    first = asked.first[0]
    assert first["learning_rate"] == best["learning_rate"]
    assert first["dropout"] == json.loads(best["arguments"])["dropout"]
    assert SearchStudy(asked).ask() == (0, first)


def test_a_child_goes_on_where_its_parent_stood(place: Path) -> None:
    words = ("--data", "shards", "--network", "age-c2-f1", "--members", "4", "--epochs", "3")
    done = run_python(ROOT / "sweeps" / "population.py", *words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    record = place / "results" / "population"
    trials, epochs = (pd.read_parquet(record / f"{name}.parquet") for name in ("trials", "epochs"))
    curves = {trial: rows.drop(columns="trial").to_dict("records") for trial, rows in epochs.groupby("trial")}
    assert trials["status"].value_counts().to_dict() == {"stopped": 8, "finished": 4}
    for child in trials[trials["parent"] != ""].to_dict("records"):
        *inherited, last = curves[child["trial"]]
        assert inherited == curves[child["parent"]]
        assert last["learning_rate"] == pytest.approx(child["learning_rate"])
    for trial in trials["trial"]:  # whose best epoch may be one that it has inherited
        assert (record / "checkpoints" / trial / "best.keras").exists()
    assert trials.loc[trials["status"] == "stopped", "test_accuracy"].isna().all()
    study = read(Folder(str(record)))
    assert len(study.ranked) == 4
    assert "Over its seeds" not in " ".join(summary(study, findings(study)))


def test_another_search_in_the_same_record_is_refused(place: Path) -> None:
    done = run_python(SEARCH, *SMALL, "--trials", "6", "--results", "six", "--stopping", "median", cwd=place)
    assert "was made with --stopping asha" in refused(done)
    done = run_python(SEARCH, *SMALL, "--trials", "6", "--results", "six", "--set", "optimizer=adam", cwd=place)
    assert "--set" in refused(done)


def test_a_dashboard_opens_the_study(place: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    words = [Path(sys.executable).with_name("optuna-dashboard"), "--port", "18080", place / "six/search/study.journal"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                told = json.load(urllib.request.urlopen("http://127.0.0.1:18080/api/studies", timeout=5))
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.3)
        assert [study["study_name"] for study in told["study_summaries"]] == ["search"]
    finally:
        server.kill()
        server.wait()
