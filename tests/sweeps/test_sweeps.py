"""Sweeps on a real Ray, as a user runs them, judged by their records."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.storage import Folder
from support.commands import refused, run_python, wait_until
from support.networks import PARAMETERS
from support.sweeps import (
    AGE,
    FOUR,
    TINY,
    ZOO,
    epochs,
    trials,
)
from trainables.record import EPOCHS, SCHEMAS, TRIALS
from trainables.training import checkpoint
from trainables.training.metrics import epoch_metrics
from trainables.training.pipeline import scorer
from trainables.training.selection import DataSelection

pytestmark = pytest.mark.cluster


# ── an undisturbed sweep ──────────────────────────────────────────────────────────────────────────────────────────────


def test_twelve_trials_finish_with_their_own_weights_and_histories(place: Path) -> None:
    rows = trials(place / "results")
    assert len(rows) == 12
    assert set(rows["status"]) <= {"finished", "collapsed"}
    assert dict(zip(rows["network"], rows["parameters"], strict=True)) == PARAMETERS
    assert rows["initial_weights"].nunique() == 12
    assert (rows["epochs_done"] == 3).all()
    assert (rows["train_images"] == 400).all()
    assert (rows["validation_images"] == 100).all()
    assert (rows["test_images"] == 602).all()
    curves = epochs(place / "results").groupby("trial")["train_loss"].apply(tuple)
    assert curves.nunique() == 12
    assert epochs(place / "results").groupby("trial")["epoch"].apply(list).tolist() == [[1, 2, 3]] * 12


def test_the_sweep_tells_where_everything_is(place: Path) -> None:
    output = (place / "output.txt").read_text()
    assert "Started Ray on this machine" in output
    assert output.count("validation accuracy") >= 12 - (trials(place / "results")["status"] == "collapsed").sum()
    assert "report.html" in output
    record = place / "results" / "age"
    assert (record / "report.html").stat().st_size > 10_000
    assert (record / "near-copies.png").read_bytes() == (place / "shards" / "sample" / "near-copies.png").read_bytes()
    assert (record / "figures" / "mistakes.png").exists() == (record / "tables" / "mistakes.csv").exists()


def test_a_stored_checkpoint_scores_exactly_as_recorded(place: Path) -> None:
    data = DataSelection(Folder(str(place / "shards" / "sample")), limit=400).load()
    record = Folder(str(place / "results" / "age"))
    for row in trials(place / "results").iloc[[1, 9]].to_dict("records"):
        stored = pd.read_parquet(place / "results" / "age" / "scores" / f"{row['trial']}.parquet")
        test = stored[stored["split"] == "test"]
        scores = scorer(checkpoint.load_best(record.folder(f"checkpoints/{row['trial']}")))(data.test.images, 128)
        assert np.allclose(scores, test["score"], rtol=0, atol=1e-5)
        assert np.array_equal(scores > row["threshold"], test["score"] > row["threshold"])
        assert epoch_metrics(test["label"].to_numpy(), test["score"].to_numpy(), row["threshold"]) == {
            name: row[f"test_{name}"] for name in ("loss", "accuracy", "auc")
        }


def test_the_manifest_carries_the_conditions(place: Path) -> None:
    manifest = json.loads((place / "results" / "age" / "manifest.json").read_text())
    assert manifest["metric"] == "validation_accuracy"
    assert manifest["direction"] == "max"
    assert "--limit 400" in manifest["command"]
    assert manifest["data"]["used"] == {"train": 400, "validation": 100, "test": 602, "test_clean": 602}
    assert manifest["hardware"]["cpus"] == os.cpu_count()
    assert {"ray", "keras", "tensorflow"} <= set(manifest["versions"])
    assert manifest["wall_seconds"] > 0


def test_pandas_alone_reads_the_record(place: Path) -> None:
    record = place / "results" / "age"
    assert list(trials(place / "results").columns) == SCHEMAS[TRIALS].names
    assert list(epochs(place / "results").columns) == SCHEMAS[EPOCHS].names
    images = pd.read_parquet(record / "images.parquet")
    scores = pd.read_parquet(next((record / "scores").iterdir()))
    joined = scores.merge(images, on=["split", "row"])
    assert len(joined) == len(scores) == 702
    assert (joined["label_x"] == joined["label_y"]).all()
    code = "import sys, pandas; pandas.read_parquet(sys.argv[1]); assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(record / "trials.parquet")], check=True)


def test_the_same_command_again_trains_nothing(place: Path) -> None:
    before = (place / "results" / "age" / "trials.parquet").stat().st_mtime_ns
    done = run_python(AGE, *TINY, cwd=place)
    assert done.returncode == 0
    assert "Started Ray" not in done.stdout
    assert (place / "results" / "age" / "trials.parquet").stat().st_mtime_ns == before


def test_a_curve_does_not_depend_on_how_many_run_beside_it(place: Path, undisturbed: Path) -> None:
    """Two at once in `undisturbed`; here one alone, and four at once on as many halves of a core."""
    for results, models, share in (("alone", "age-c4-f2", 1), ("crowd", FOUR[2], 0.5)):
        words = (ZOO, "--models", models, *TINY, "--cpus-per-trial", share, "--results", results)
        done = run_python(*words, cwd=place)
        assert done.returncode == 0, done.stderr
        found = epochs(place / results).drop(columns="wall_seconds")
        expected = epochs(undisturbed).drop(columns="wall_seconds")
        expected = expected[expected["trial"].isin(found["trial"])].reset_index(drop=True)
        assert len(found) == 3 * len(models.split(","))
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


# ── clusters, seeds, and new starts ───────────────────────────────────────────────────────────────────────────────────


def test_gpus_that_no_backend_sees_are_refused_in_one_sentence_and_hidden_where_none_is_asked_for(place: Path) -> None:
    port = free_port()
    words = [
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--num-cpus=4",
        "--num-gpus=2",
        "--include-dashboard=false",
    ]
    ray = Path(sys.executable).parent / "ray"
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}  # whether or not this user has a token
    cluster = subprocess.Popen([ray, *words], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=environment)
    try:
        address = f"127.0.0.1:{port}"
        wait_until(lambda: is_listening(port))
        words = (ZOO, "--models", "age-c2-f1,age-c2-f2,age-c2-f3,cifake-cnn", "--smoke", "--results", "gpus")
        done = run_python(*words, cwd=place, env=environment | {"RAY_ADDRESS": address})
        refusal = refused(done)
        assert "sees none" in refusal
        assert '-e ".[gpu]"` there, or give --gpus-per-trial 0.' in refusal
        assert f"Joined the Ray cluster at {address}: 1 node, 4 CPUs, 2 GPUs" in done.stdout
        rows = trials(place / "gpus")
        failed = rows[rows["status"] == "failed"]
        assert set(failed["reason"]) == {refusal}
        assert (failed["gpus"] == 0.5).all()
        assert failed["device"].str.contains(r", GPU [01]$").all()
        done = run_python(*words, "--gpus-per-trial", 0, cwd=place, env=environment | {"RAY_ADDRESS": address})
        assert done.returncode == 0, done.stderr
        assert (trials(place / "gpus")["status"] == "finished").all()
        assert not trials(place / "gpus")["device"].str.contains("GPU").any()
    finally:
        cluster.terminate()
        cluster.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_more_seeds_are_added_to_what_is_there(place: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, place / "more")
    done = run_python(*FOUR, "--results", "more", "--seeds", "2", cwd=place)
    assert done.returncode == 0, done.stderr
    rows = trials(place / "more")
    assert rows.groupby("seed").size().tolist() == [4, 4]
    old = trials(undisturbed)
    pd.testing.assert_frame_equal(rows[rows["seed"] == 0].reset_index(drop=True), old)


def test_training_sets_are_crossed_with_seeds(place: Path, undisturbed: Path) -> None:
    command = (ZOO, "--models", "age-c2-f1", *TINY, "--results", "crossed", "--seeds", "2", "--resample-train", "3")
    done = run_python(*command, cwd=place)
    assert done.returncode == 0, done.stderr
    rows = trials(place / "crossed")
    assert rows.groupby("training_subset")["seed"].apply(list).to_dict() == {number: [0, 1] for number in (1, 2, 3)}
    assert set(rows["train_images"]) == {400}
    assert rows.groupby("seed")["initial_weights"].nunique().tolist() == [1, 1]
    curves = epochs(place / "crossed").groupby("trial")["train_loss"].apply(tuple)
    assert curves.nunique() == 6
    first = rows.loc[(rows["seed"] == 0) & (rows["training_subset"] == 1), "trial"].item()
    plain = trials(undisturbed).set_index("network").loc["age-c2-f1", "trial"]
    assert curves[first] == tuple(epochs(undisturbed).set_index("trial").loc[plain, "train_loss"])
    assert "(seed 1, training set 3)" in done.stdout
    assert "Every trial of" in run_python(*command, cwd=place).stdout
    assert "was made with --resample-train 3, and now it is not given" in refused(run_python(*command[:-2], cwd=place))


def test_fresh_moves_the_old_record_aside_and_a_smoke_run_makes_way_by_itself(place: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, place / "fresh")
    one = (ZOO, "--models", "age-c2-f1", "--results", "fresh")
    done = run_python(*one, "--smoke", "--fresh", cwd=place)
    assert done.returncode == 0, done.stderr
    assert (trials(place / "fresh")["epochs"] == 1).all()
    aside = [path for path in (place / "fresh").iterdir() if path.name.startswith("zoo-")]
    pd.testing.assert_frame_equal(pd.read_parquet(aside[0] / "trials.parquet"), trials(undisturbed))
    done = run_python(*one, *TINY, cwd=place)
    assert done.returncode == 0, done.stderr
    assert (trials(place / "fresh")["epochs"] == 3).all()


def test_a_plan_starts_nothing(place: Path) -> None:
    before = sorted(str(path) for path in place.rglob("*"))
    done = run_python(*FOUR, "--plan", "--seeds", "2", cwd=place)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "8 trials on 400 training images" in done.stdout
    assert all(f"{PARAMETERS[network]:,}" in done.stdout for network in FOUR[2].split(","))
    assert sorted(str(path) for path in place.rglob("*")) == before


# ── the real data ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.real
def test_real_cifake_trains_as_far_as_so_little_training_goes(cifake_shards: Path, tmp_path: Path) -> None:
    done = run_python(AGE, "--data", cifake_shards, "--limit", 8000, "--epochs", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = trials(tmp_path / "results")
    assert (rows["status"] == "finished").all()
    assert dict(zip(rows["network"], rows["parameters"], strict=True)) == PARAMETERS
    assert rows["initial_weights"].nunique() == 12
    assert rows["validation_accuracy"].between(0.75, 0.88).all(), rows[["network", "validation_accuracy"]]
    assert rows["test_clean_images"].between(10_000 - 197 - 170, 10_000 - 197 - 120).all()  # without near-copies
