"""The job that makes shards: the same ones however it runs, whoever kills it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from data_prep import Folder
from data_prep.decode import decode
from data_prep.errors import ENDS, BrokenOffError, InputError
from data_prep.job import _locked_scratch, prepare
from data_prep.layout.vocabulary import SPLITS
from support.commands import ROOT
from support.shards import pixels
from support.trees import make_tree, zip_tree


def test_folder_and_zip_and_any_number_of_workers_give_the_same_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_prep.parts._ITEMS_IN_PROCESS", 0)
    monkeypatch.setattr("data_prep.parts._ITEMS_PER_PART", 30)
    tree = make_tree(tmp_path / "tree", images=60)
    archive = zip_tree(tree, tmp_path / "tree.zip")
    one = prepare(str(tree), str(tmp_path / "one"), workers=1)
    two = prepare(str(tree), str(tmp_path / "two"), workers=2)
    zipped = prepare(str(archive), str(tmp_path / "zipped"), workers=2)
    assert one.fingerprint == two.fingerprint == zipped.fingerprint
    for split in SPLITS:
        assert np.array_equal(pixels(tmp_path / "one", split), pixels(tmp_path / "two", split))
        assert np.array_equal(pixels(tmp_path / "one", split), pixels(tmp_path / "zipped", split))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no file here is always full")
def test_a_log_on_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    words = [sys.executable, "-m", "data_prep", "--source", "tree", "--out", "made"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, cwd=tmp_path, env=environment, stdout=full, stderr=full, check=False)
    assert done.returncode == 0
    assert (tmp_path / "made" / "manifest.json").exists()


def test_the_fingerprint_follows_content_and_order(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    first = prepare(str(tree), str(tmp_path / "first")).fingerprint
    assert prepare(str(tree), str(tmp_path / "reseeded"), seed=1).fingerprint != first
    Image.new("RGB", (32, 32), "red").save(tree / "test" / "REAL" / "0003.jpg", quality=75)
    assert prepare(str(tree), str(tmp_path / "changed")).fingerprint != first


def test_preparing_again_changes_nothing_and_other_options_are_refused(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    prepare(str(tree), str(tmp_path / "out"))
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    prepare(str(tree), str(tmp_path / "out"))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(InputError, match="already holds other shards"):
        prepare(str(tree), str(tmp_path / "out"), seed=1)


@pytest.mark.slow
def test_a_killed_job_goes_on_from_its_parts(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", images=3_000)
    words = [sys.executable, "-m", "data_prep", "--source", str(tree), "--out", str(tmp_path / "out"), "--workers", "2"]
    job = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    partial = tmp_path / "out.partial"
    deadline = time.monotonic() + 60
    while not list(partial.glob("part-*.arrow")) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = psutil.Process(job.pid).children(recursive=True)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert psutil.wait_procs(workers, timeout=10)[1] == [], "processes were left behind"
    parts = {path: path.stat().st_mtime_ns for path in partial.glob("part-*.arrow")}
    assert parts, "the job was killed before its first part"
    assert not (tmp_path / "out").exists(), "half-written work is not taken for whole"
    decoded: list[int] = []
    manifest = prepare(str(tree), str(tmp_path / "out"), progress=lambda done, total: decoded.append(done))
    assert manifest.fingerprint == prepare(str(tree), str(tmp_path / "whole")).fingerprint
    assert not partial.exists()


@pytest.mark.parametrize("kills", [1, 99])
def test_killed_workers_are_replaced_and_in_the_end_said(
    kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_prep.parts._ITEMS_IN_PROCESS", 0)
    monkeypatch.setattr("data_prep.parts._ITEMS_PER_PART", 30)
    tree = make_tree(tmp_path / "tree", images=60)
    whole = prepare(str(tree), str(tmp_path / "whole"), workers=1)

    def decode_or_die(content: bytes, image_size: int) -> Any:
        if len(list(tmp_path.glob("killed-*"))) < kills:
            (tmp_path / f"killed-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(content, image_size)

    monkeypatch.setattr("data_prep.parts.decode", decode_or_die)
    if kills == 1:
        assert prepare(str(tree), str(tmp_path / "out"), workers=2).fingerprint == whole.fingerprint
    else:
        with pytest.raises(BrokenOffError) as ended:
            prepare(str(tree), str(tmp_path / "out"), workers=2)
        assert (ended.value.exit_code, ended.value.message) == (1, ENDS["killed"].sentence)
        assert not (tmp_path / "out").exists()


def test_the_fingerprint_follows_how_images_were_brought_to_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree")
    first = prepare(str(tree), str(tmp_path / "first"))
    assert prepare(str(tree), str(tmp_path / "smaller"), image_size=16).fingerprint != first.fingerprint
    monkeypatch.setattr("data_prep.job.FIT", "another way")
    other = prepare(str(tree), str(tmp_path / "other"))
    assert (first.fit, other.fit) == ("Lanczos, centre crop", "another way")
    assert other.fingerprint != first.fingerprint


def test_a_link_that_leads_back_is_not_walked_through(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "train" / "REAL" / "all").symlink_to("..")
    shutil.move(tree / "train" / "FAKE", tmp_path / "elsewhere")
    (tree / "train" / "FAKE").symlink_to(tmp_path / "elsewhere")
    assert prepare(str(tree), str(tmp_path / "out")).audit["images"] == 80


def test_a_pipe_and_names_that_are_no_text_are_unreadable(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    os.mkfifo(tree / "train" / "REAL" / "pipe.jpg")
    for name in (b"caf\xe9.jpg", b"\xff.jpg"):
        Path(os.fsdecode(os.fsencode(tree) + b"/train/REAL/" + name)).touch()
    assert prepare(str(tree), str(tmp_path / "out")).audit["unreadable"] == {
        "train/REAL/pipe.jpg": "cannot be read: it is a pipe or a device",
        r"train/REAL/caf\udce9.jpg": "cannot be read: its name is not UTF-8",
        r"train/REAL/\udcff.jpg": "cannot be read: its name is not UTF-8",
    }


def test_two_that_make_the_same_shards_at_once_both_have_them(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", images=600)
    words = [sys.executable, "-m", "data_prep", "--source", "tree", "--out", "out"]
    jobs = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [job.communicate()[1] for job in jobs] == ["", ""]
    assert [job.returncode for job in jobs] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tree"]


def test_an_out_that_is_a_link_is_what_it_points_to(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    prepare(str(tmp_path / "tree"), str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "manifest.json").exists()


def test_however_many_wait_for_a_scratch_folder_one_has_it(tmp_path: Path) -> None:
    """Each deletes its lock at the end, while others wait for it."""
    inside, folder = list[int](), Folder(str(tmp_path / "out"))

    def work(number: int) -> int:
        with _locked_scratch(folder, {}):
            inside.append(number)
            time.sleep(0.01)
            return inside.pop() if len(inside) == 1 else -1

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(12))) == list(range(12))
    assert not list(tmp_path.iterdir())
