"""Sweeps: a real Ray, real kills. Each sweep is run as a user runs it and judged by its record."""

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from data_prep.errors import InputError
from data_prep.storage import Folder
from support.commands import Command, copy_of_the_code, refused, run_python, wait_until
from support.networks import PARAMETERS
from support.sweeps import (
    AGE,
    FORK_SERVER,
    FOUR,
    TINY,
    ZOO,
    assert_same_results,
    checkpoints,
    epochs,
    is_forked,
    kill_a_worker,
    start_sweep,
    trials,
)
from sweeps.engine import cluster
from sweeps.engine.resources import cpu_share, gpu_share
from sweeps.record.lease import Lease, _machine
from sweeps.record.writer import Record
from trainables import Recipe
from trainables.record import EPOCHS, SCHEMAS, TRIALS, TRIALS_PER_PART
from trainables.training import checkpoint
from trainables.training.loop import score
from trainables.training.metrics import epoch_metrics
from trainables.training.selection import DataSelection


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the sample's shards in it and one undisturbed sweep, in results/age."""
    folder = tmp_path_factory.mktemp("sweeps")
    done = run_python(AGE, *TINY, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    """The results of the four, left in peace."""
    done = run_python(*FOUR, "--results", "undisturbed", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "undisturbed"


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
    assert (place / "results" / "age" / "report.html").stat().st_size > 10_000


def test_a_stored_checkpoint_scores_exactly_as_recorded(place: Path) -> None:
    data = DataSelection(Folder(str(place / "shards" / "sample")), limit=400).load()
    record = Folder(str(place / "results" / "age"))
    for row in trials(place / "results").iloc[[1, 9]].to_dict("records"):
        stored = pd.read_parquet(place / "results" / "age" / "scores" / f"{row['trial']}.parquet")
        test = stored[stored["split"] == "test"]
        scores = score(checkpoint.load_best(record.folder(f"checkpoints/{row['trial']}")), data.test)
        assert np.allclose(scores, test["score"], rtol=0, atol=1e-5)
        assert np.array_equal(scores > 0, test["score"] > 0)
        assert epoch_metrics(test["label"].to_numpy(), test["score"].to_numpy()) == {
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


# ── disturbed sweeps ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_killed_driver_goes_on_and_repeats_nothing(place: Path, undisturbed: Path) -> None:
    results = place / "killed"
    sweep = start_sweep(place, results.name)
    wait_until(lambda: checkpoints(results) >= 3)
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate()
    time.sleep(3)  # Ray's own processes notice that their driver is gone
    before = {path: path.stat().st_mtime_ns for path in results.glob("zoo/checkpoints/*/last.npz")}
    done = run_python(*FOUR, "--results", results.name, cwd=place)
    assert done.returncode == 0, done.stderr
    assert_same_results(undisturbed, results)
    complete = [path for path in before if len(_history(path)) == 3 and path.stat().st_mtime_ns == before[path]]
    assert len(complete) >= 1, "a trial whose epochs were all checkpointed was trained again"


def _history(path: Path) -> list[dict[str, float]]:
    with np.load(path) as saved:
        return list(json.loads(saved["state"].tobytes())["history"])


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(place: Path, undisturbed: Path) -> None:
    sweep = start_sweep(place, "interrupted")
    wait_until(lambda: checkpoints(place / "interrupted") >= 1)
    sweep.send_signal(signal.SIGINT)
    output, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert "Traceback" not in output + errors
    assert "the same command goes on" in errors
    assert not (trials(place / "interrupted")["status"] == "running").any()
    done = run_python(*FOUR, "--results", "interrupted", cwd=place)
    assert done.returncode == 0
    assert_same_results(undisturbed, place / "interrupted")


@pytest.mark.parametrize("worker", ["ray::ImplicitFunc.train", FORK_SERVER], ids=["actor", "process"])
def test_a_killed_worker_costs_at_most_an_epoch(worker: str, place: Path, undisturbed: Path) -> None:
    results = place / f"worker-killed-{worker.rpartition('.')[2]}"
    sweep = start_sweep(place, results.name)
    wait_until(lambda: checkpoints(results) >= 2)
    kill_a_worker(sweep.pid, worker)
    sweep.communicate(timeout=300)
    assert sweep.returncode == 0
    assert_same_results(undisturbed, results)


def test_a_second_sweep_on_the_same_record_says_so_and_stops(place: Path, undisturbed: Path) -> None:
    first = start_sweep(place, "two")
    wait_until(lambda: (place / "two" / "zoo.running.json").exists())
    second = run_python(*FOUR, "--results", "two", cwd=place)
    assert f"written by another sweep (process {first.pid} on " in refused(second)
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert_same_results(undisturbed, place / "two")
    assert not (place / "two" / "zoo.running.json").exists()


def lease(folder: Path, **story: Any) -> Lease:
    (folder / "age.running.json").write_text(json.dumps({"token": "other", "since": "noon", "renewed": 0} | story))
    return Lease(Folder(str(folder / "age")))


def test_the_lease_of_another_host_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.record.lease._SECONDS_TO_EXPIRE", 2)
    ours = lease(tmp_path, host=platform.node(), machine="another of that name", process=2**22 + 1)
    started = time.monotonic()
    ours.take()
    assert time.monotonic() - started >= 2
    ours.check()


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours = lease(tmp_path, host=platform.node(), machine=_machine(), process=gone.pid)
    started = time.monotonic()
    ours.take()
    assert time.monotonic() - started < 1


def test_of_two_that_take_a_lease_at_once_one_goes(tmp_path: Path) -> None:
    first, second = Lease(Folder(str(tmp_path / "age"))), Lease(Folder(str(tmp_path / "age")))
    first.take()
    (tmp_path / "age.running.json").unlink()  # as if the second had looked before the first wrote
    second.take()
    second.check()
    with pytest.raises(InputError, match="written by another sweep"):
        first.check()
    first.give_up()
    assert (tmp_path / "age.running.json").exists()
    second.give_up()
    assert not (tmp_path / "age.running.json").exists()


SLEEPER = """
import os
import time

import keras
from keras import layers

from trainables.layers.blocks import head, image_input


def sleeper(image_size: int) -> keras.Model:
    if os.environ.get("CUDA_VISIBLE_DEVICES") != "-1":  # which it is where costs are measured
        time.sleep(3600)
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(x), hidden=()))
"""


def test_a_trial_that_hangs_is_stopped_and_said_so(tmp_path: Path) -> None:
    line = 'MODELS["sleeper"] = Network("sleeper.sleeper", {}, source="a test")\n'
    copy = copy_of_the_code(tmp_path, {"sleeper.py": SLEEPER}, line)
    done = run_python("sweeps/zoo.py", "--models", "age-c2-f1,sleeper", *TINY, "--hang-minutes", "0.2", **copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "it hung: no sign of life for 0.2 minutes" in done.stderr
    rows = trials(tmp_path / "results").set_index("network")
    assert rows["status"]["sleeper"] == "failed"
    assert rows["epochs_done"]["age-c2-f1"] == 3
    assert rows["status"]["age-c2-f1"] in ("finished", "collapsed")


@pytest.mark.disaster
def test_random_kill_points_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    from kill_points import count_identical

    assert count_identical(20, 0, tmp_path) == 20


def test_nothing_is_left_behind(place: Path) -> None:
    """By a sweep whose driver was killed: no process of ours, and none of the files that its trials shared."""
    before = set(Path(tempfile.gettempdir()).glob("cifake-sweeps-*"))
    sweep = start_sweep(place, "left")
    wait_until(lambda: checkpoints(place / "left") >= 1)
    children = psutil.Process(sweep.pid).children(recursive=True)
    ours = [process for process in children if FORK_SERVER in " ".join(process.cmdline())]
    assert any(map(is_forked, ours))
    assert set(Path(tempfile.gettempdir()).glob("cifake-sweeps-*")) > before
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate()
    wait_until(lambda: not any(process.is_running() for process in ours), 20)
    assert set(Path(tempfile.gettempdir()).glob("cifake-sweeps-*")) == before


GREEDY = """
import keras
import tensorflow as tf
from keras import layers

from trainables.layers.blocks import head, image_input


class Greedy(layers.Layer):
    def __init__(self, enough):
        super().__init__()
        self.enough = enough

    def call(self, x, training=False):
        if not training:
            return x
        numbers = tf.where(tf.shape(x)[0] > self.enough, tf.constant([2**45], tf.int64), tf.constant([1], tf.int64))
        return x + tf.fill(numbers, 0.0)[0]


def greedy(image_size: int, enough: int) -> keras.Model:
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(Greedy(enough)(x)), ()))


def poisoned(image_size: int) -> keras.Model:
    pixels, x = image_input(image_size)
    return keras.Model(pixels, head(layers.Flatten()(layers.Rescaling(float("nan"))(x)), ()))
"""
GREEDY_MODELS = """
MODELS["greedy"] = Network("greedy.greedy", {"enough": 4})
MODELS["insatiable"] = Network("greedy.greedy", {"enough": 3})
MODELS["poisoned"] = Network("greedy.poisoned")
"""


def test_trials_short_of_memory_or_poisoned_do_not_disturb_the_others(tmp_path: Path) -> None:
    """TensorFlow is asked for 140 TB, and says that its memory is exhausted."""
    copy = copy_of_the_code(tmp_path, {"greedy.py": GREEDY}, GREEDY_MODELS)
    models = "greedy,insatiable,poisoned,age-c2-f1"
    done = run_python("sweeps/zoo.py", "--models", models, "--smoke", "--batch-size", 32, **copy)
    rows = pd.read_parquet(tmp_path / "results" / "zoo" / "trials.parquet").set_index("network")
    assert rows["status"].to_dict() == {
        "greedy": "finished",
        "insatiable": "failed",
        "poisoned": "diverged",
        "age-c2-f1": "finished",
    }
    assert (rows["batch_size"] == 32).all()
    assert rows["batch_size_used"].to_dict() == {"greedy": 4, "insatiable": 4, "poisoned": 32, "age-c2-f1": 32}
    assert "too short for a batch of 32, so it was trained in 4s" in rows.loc["greedy", "reason"]
    assert (rows["learning_rate"] == 1e-3).all()
    assert "no longer finite after epoch 1" in rows.loc["poisoned", "reason"]
    assert done.returncode == 1
    assert "failed: insatiable (seed 0): ResourceExhaustedError" in done.stderr


def test_trials_share_pretended_gpus_so_that_all_run_at_once(place: Path) -> None:
    """Ray fills the first GPU before the second: only a share of a half spreads four trials over two GPUs."""
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
    cluster = subprocess.Popen([ray, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        address = f"127.0.0.1:{port}"
        wait_until(lambda: is_listening(port))
        models = "age-c2-f1,age-c2-f2,age-c2-f3,cifake-cnn"
        words = ("--models", models, "--smoke", "--results", "gpus")
        done = run_python(ZOO, *words, cwd=place, env=os.environ | {"RAY_ADDRESS": address})
        assert done.returncode == 0, done.stderr
        assert f"Joined the Ray cluster at {address}: 1 node, 4 CPUs, 2 GPUs" in done.stdout
        rows = trials(place / "gpus")
        assert (rows["gpus"] == 0.5).all()
        assert set(rows["hardware"].str.extract(r"GPU (\d)$")[0]) == {"0", "1"}  # one that ends soon hands its GPU on
    finally:
        cluster.terminate()
        cluster.wait(timeout=60)


def test_the_address_of_a_dashboard_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(InputError, match="address of its dashboard"):
            cluster.connect()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("trials", "gpus", "memory", "share"),
    [(12, 1, 0.01, 0.083), (12, 2, 0.01, 0.166), (3, 2, 0.01, 0.5), (1, 8, 0.01, 1), (12, 1, 0.3, 0.333), (4, 1, 2, 1)],
)
def test_a_share_fits_all_trials_or_as_many_as_memory_allows(
    trials: int, gpus: int, memory: float, share: float
) -> None:
    assert gpu_share(trials, gpus, memory) == share


@pytest.mark.parametrize(
    ("trials", "cpus", "node_cpus", "flops", "share"),
    [(12, 2, 2, 10**7, 1), (1, 2, 2, 10**7, 2), (1, 16, 16, 10**7, 2), (1, 16, 16, 10**9, 16), (3, 16, 8, 10**9, 5)],
)
def test_a_trial_gets_more_threads_only_if_there_are_few(
    trials: int, cpus: float, node_cpus: float, flops: int, share: float
) -> None:
    assert cpu_share(trials, cpus, node_cpus, flops) == share


def test_more_seeds_are_added_to_what_is_there(place: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, place / "more")
    done = run_python(*FOUR, "--results", "more", "--seeds", "2", cwd=place)
    assert done.returncode == 0, done.stderr
    rows = trials(place / "more")
    assert rows.groupby("seed").size().tolist() == [4, 4]
    old = trials(undisturbed)
    pd.testing.assert_frame_equal(rows[rows["seed"] == 0].reset_index(drop=True), old)


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


# ── wrong input ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--epoch", "3"), "Did you mean '--epochs'?"),
        (("--epochs", "many"), "'--epochs'"),
        (("--gpus-per-trial", "some"), "neither `auto` nor a number"),
        (("--data", "nowhere"), "holds no shards"),
        (("--epochs", "5", "--limit", "400"), "was made with --epochs 3, and now it is 5"),
        (("--limit", "100000", "--epochs", "3"), "more than the 3,010 balanced training images"),
        (("--fresh", "--limit", "100000"), "more than the 3,010 balanced training images"),
        (("--results", "output.txt"), "a part of that path is a file"),
        (("--set", "learning_rat=1"), "no hyperparameter 'learning_rat'; the nearest is 'learning_rate'"),
        (("--set", "learning_rate=fast"), "learning_rate is 'fast'; it must be of type float"),
        (("--set", "vgg16.batch_norm=true"), "this sweep does not train 'vgg16'"),
        (("--set", "seed=7"), "give --seeds"),
        (("--set", "age-c2-f1.trunks=c2", "--results", "new"), "no option 'trunks'; the nearest is 'trunk'"),
        (("--results", "nosuch://bucket"), "names no file system"),
    ],
)
def test_wrong_input_is_one_sentence(arguments: tuple[str, ...], told: str, place: Path) -> None:
    before = sorted(str(path) for path in place.rglob("*"))
    if arguments[0] == "--limit":
        arguments = (*arguments, "--results", "new")
    assert told in refused(run_python(AGE, *arguments, cwd=place))
    assert sorted(str(path) for path in place.rglob("*")) == before


def test_more_gpus_than_there_are_is_one_sentence(place: Path) -> None:
    done = run_python(AGE, *TINY, "--gpus-per-trial", "9", "--results", "nine", cwd=place)
    assert "asks for 9 GPUs" in refused(done)
    assert not (place / "nine").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize("size", ["32k", "3m"], ids=["at the start", "at a checkpoint"])
def test_a_full_disk_ends_the_sweep_in_one_sentence(size: str, place: Path) -> None:
    disk = place / f"disk-{size}"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)], check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        assert "disk is full" in refused(run_python(AGE, *TINY, "--results", disk.name, cwd=place))
        for file in disk.rglob("*.parquet"):
            pd.read_parquet(file)  # what is there is whole
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_record_of_another_version_or_in_pieces_is_refused(place: Path, command: Command) -> None:
    shutil.copytree(place / "results", place / "broken")
    manifest = place / "broken" / "age" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"format_version": 99}))
    assert "format version 99" in refused(run_python(AGE, *TINY, "--results", "broken", cwd=place))
    manifest.write_text("{")
    assert "cannot be read" in refused(run_python(AGE, *TINY, "--results", "broken", cwd=place))
    manifest.write_text(json.dumps(content))
    (place / "broken" / "age" / "trials.parquet").write_bytes(b"PAR1")
    assert "is corrupt" in refused(run_python(AGE, *TINY, "--results", "broken", cwd=place))


def test_a_plan_starts_nothing(place: Path) -> None:
    before = sorted(str(path) for path in place.rglob("*"))
    done = run_python(*FOUR, "--plan", "--seeds", "2", cwd=place)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "8 trials on 400 training images" in done.stdout
    assert all(f"{PARAMETERS[network]:,}" in done.stdout for network in FOUR[2].split(","))
    assert sorted(str(path) for path in place.rglob("*")) == before


# ── the record ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_read_back_is_the_one_written(tmp_path: Path) -> None:
    record = Record(Folder(str(tmp_path)))
    first = record.add(Recipe("age-c2-f1"))
    second = record.add(Recipe("age-c2-f2", learning_rate=0.5))
    record.update(first, {"status": "running"}, {"epoch": 1, "train_loss": 0.5})
    record.update(first, {}, {"epoch": 2, "train_loss": 0.4})
    record.update(first, {"status": "finished", "best_epoch": 2, "validation_auc": float("nan")})
    record.write()
    again = Record(Folder(str(tmp_path)))
    again.write()
    assert pd.read_parquet(tmp_path / "trials.parquet")["trial"].tolist() == [first, second]
    assert again.trials.keys() == {first, second}
    assert again.recipe(second) == Recipe("age-c2-f2", learning_rate=0.5)
    assert again.trials[first]["epochs_done"] == 2
    assert again.is_complete(first)
    assert not again.is_complete(second)
    assert [row["epoch"] for row in again.history(first)] == [1, 2]


def test_only_the_parts_that_have_changed_are_written(tmp_path: Path) -> None:
    record = Record(Folder(str(tmp_path)))
    trials = [record.add(Recipe("age-c2-f1", seed=seed)) for seed in range(2 * TRIALS_PER_PART + 1)]
    record.write()
    parts = sorted((tmp_path / "trials.parquet").iterdir())
    assert [path.name for path in parts] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}
    record.update(trials[TRIALS_PER_PART], {}, {"epoch": 1})
    record.write()
    changed = [path for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in changed) == [
        "epochs.parquet/part-00001.parquet",
        "trials.parquet/part-00001.parquet",
    ]
    assert list(Record(Folder(str(tmp_path))).trials) == trials


def test_a_trial_that_begins_again_in_smaller_batches_has_no_old_epochs(tmp_path: Path) -> None:
    record = Record(Folder(str(tmp_path)))
    first, second = (record.add(Recipe("age-c2-f1", seed=seed)) for seed in (1, 2))
    for trial in (first, second):
        for epoch in (1, 2, 3):
            record.update(trial, {"batch_size_used": 32}, {"epoch": epoch})
    record.update(first, {"batch_size_used": 32}, {"epoch": 3})  # as a resumed trial reports
    assert [len(record.epochs[trial]) for trial in (first, second)] == [3, 3]
    record.update(first, {"batch_size_used": 16})
    assert [len(record.epochs[trial]) for trial in (first, second)] == [0, 3]
    assert record.trials[first]["epochs_done"] == 0


# ── the real data ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_real_cifake_trains_as_far_as_so_little_training_goes(cifake: Path, tmp_path: Path) -> None:
    prepared = run_python("-m", "data_prep", "--source", cifake, "--out", "shards/cifake", cwd=tmp_path)
    assert prepared.returncode == 0, prepared.stderr
    done = run_python(AGE, "--data", "shards/cifake", "--limit", 8000, "--epochs", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = trials(tmp_path / "results")
    assert (rows["status"] == "finished").all()
    assert dict(zip(rows["network"], rows["parameters"], strict=True)) == PARAMETERS
    assert rows["initial_weights"].nunique() == 12
    assert rows["validation_accuracy"].between(0.75, 0.88).all(), rows[["network", "validation_accuracy"]]
    assert (rows["test_clean_images"] == 10_000 - 197).all()
