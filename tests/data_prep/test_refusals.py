"""Wrong input to `python -m data_prep` is one sentence, and leaves nothing behind."""

import errno
import os
import re
import shutil
import zipfile
from pathlib import Path

import click
import pytest

from data_prep.errors import ENDS, InputError, run_command
from data_prep.escaping import without_passwords
from data_prep.sources.zip import ZipSource
from data_prep.storage import Folder
from support.commands import Command, refused, run_python, small_disk
from support.trees import make_tree, zip_tree


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_member_unpacks_to_no_more_than_the_archive_promises(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "zeros.zip", "w", method) as archive:
        archive.writestr("train/REAL/0000.jpg", bytes(10**6))
    source = ZipSource(str(tmp_path / "zeros.zip"))
    (file,) = source.files()
    assert source.read(file) == bytes(10**6)
    with pytest.raises(zipfile.BadZipFile, match="damaged"):
        source.read(file._replace(bytes=1000))


def test_what_cannot_be_bounded_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zeros.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("train/REAL/0000.jpg", bytes(10**6))
    source = ZipSource(str(tmp_path / "zeros.zip"))
    (file,) = source.files()
    with pytest.raises(zipfile.BadZipFile, match="another way than deflate or bzip2"):
        source.read(file)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("", "'' names no folder"),
        ("s3://", "'s3://' names no folder"),
        ("s3://key:secret@bucket/x", "has a password in it"),
        ("s3://key:sec/ret@bucket", "has a password in it"),
        ("s3://key:7/sekret@bucket", "has a password in it"),
        ("s3://bucket/x?endpoint_override=http://elsewhere", "is followed by options"),
    ],
)
def test_a_location_is_one_folder_without_secrets(location: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)) as refusal:
        Folder(location)
    assert "sec" not in refusal.value.message


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("~/x", os.path.expanduser("~/x")),
        ("file:///a%20b", "/a b"),
        ("s3://bucket/me@home", "s3://bucket/me@home"),
        ("hdfs://me@host:9000/x", "hdfs://me@host:9000/x"),
        ("hdfs://host:9000/a@b", "hdfs://host:9000/a@b"),
        ("me@home", "me@home"),
    ],
)
def test_a_location_means_what_a_user_would_expect(location: str, meant: str) -> None:
    assert Folder(location).location == meant


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EEXIST, "", "a"), "a: something else is in its place; choose another path."),
        (OSError(errno.ELOOP, "", "a"), "a: its links lead in circles; choose another path."),
        (OSError(errno.ENAMETOOLONG, "", "a"), "a: that name is too long; choose a shorter one."),
        (
            OSError(errno.EACCES, "Failed to open local file 'a'"),
            "a: permission denied; choose a path that you may read",
        ),
        (OSError(errno.EIO, "Input/output error", "a"), "a: [Errno 5] Input/output error: 'a'; mend that and run"),
        (OSError("of no number\nand more"), "the system reports: of no number; mend that and run"),
    ],
)
def test_every_error_of_the_system_is_a_sentence(error: OSError, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(command, [])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


def one_label(tmp_path: Path) -> Path:
    tree = make_tree(tmp_path / "tree")
    shutil.rmtree(tree / "train" / "FAKE")
    return tree


def no_zip(tmp_path: Path) -> Path:
    (tmp_path / "a.zip").write_bytes(b"PK but no more")
    return tmp_path / "a.zip"


def cut_zip(tmp_path: Path) -> Path:
    archive = zip_tree(make_tree(tmp_path / "tree"), tmp_path / "a.zip")
    archive.write_bytes(archive.read_bytes()[:-1000])
    return archive


def climbing_zip(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("train/REAL/../../../../evil.jpg", b"x")
    return tmp_path / "a.zip"


def bomb(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for index in range(4):
            file.writestr(f"train/REAL/{index}.bmp", bytes(100 * 2**20))
    return tmp_path / "a.zip"


def empty_folder(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda tmp_path: tmp_path / "missing", "does not exist"),
        (empty_folder, "it is empty"),
        (one_label, "lacks FAKE images in its train split"),
        (no_zip, "no complete zip archive"),
        (cut_zip, "no complete zip archive"),
        (climbing_zip, "a path that leaves it"),
        (bomb, "would unpack to"),
    ],
    ids=["missing", "empty", "one label", "no zip", "cut zip", "climbing zip", "bomb"],
)
def test_a_wrong_source_is_one_sentence(make, told: str, tmp_path: Path, command_here: Command) -> None:  # type: ignore[no-untyped-def]
    done = command_here("-m", "data_prep", "--source", make(tmp_path), "--out", "out")
    assert told in refused(done)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_a_wrong_option_is_one_sentence(command_here: Command) -> None:
    assert "--source" in refused(command_here("-m", "data_prep", "--sorce", "sample", "--out", "out"))
    assert "--image-size" in refused(
        command_here("-m", "data_prep", "--source", "sample", "--out", "out", "--image-size", "1")
    )


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, command_here: Command) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    assert "other files" in refused(
        command_here("-m", "data_prep", "--source", make_tree(tmp_path / "tree"), "--out", "out")
    )
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_is_one_sentence_and_leaves_no_shards(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        done = run_python(
            "-m", "data_prep", "--source", make_tree(tmp_path / "tree", 100), "--out", disk / "out", cwd=tmp_path
        )
        assert "disk is full" in refused(done)
        assert not (disk / "out").exists()


@pytest.mark.parametrize(
    "address", ["s3:/key:sekret@bucket/x", "https://me:sekret@host/x.zip", "s3://key:7/sekret@b", "gs://k:se/kret@b"]
)
def test_no_sentence_repeats_a_password(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def command() -> None:
        raise InputError(f"{address} is no folder; pass a folder.")

    with pytest.raises(SystemExit):
        run_command(command, [])
    assert "kret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://:sekret@host", "http://:…@host"),
        ("S3://u:se/kret@b", "S3://u:…@b"),
        ("https://u:se\"k'ret@h", "https://u:…@h"),
        ("s3://u:p@ss@bucket", "s3://u:…@bucket"),
        ("https://token@host/x", "https://…@host/x"),
        ("s3://b?access_key=a&secret_key=c", "s3://b?access_key=…&secret_key=…"),
        ("hdfs://user@host:9/a@b and hdfs://host:9/a@b", "hdfs://user@host:9/a@b and hdfs://host:9/a@b"),
        ("s3:/a:" * 100_000, "s3:/a:" * 100_000),  # in no time
        ("?key" * 100_000, "?key" * 100_000),
    ],
    ids=lambda text: text[:30],
)
def test_secrets_of_addresses_are_hidden(text: str, told: str) -> None:
    assert without_passwords(text) == told


@pytest.mark.parametrize("change", [(6, b"\xff"), (4, b"\x63")], ids=["a name that is no text", "a method of tomorrow"])
def test_a_zip_with_an_odd_directory_is_refused(change: tuple[int, bytes], tmp_path: Path) -> None:
    place, content = change
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        archive.writestr("train/REAL/\u00e4.jpg", b"x")
    data = bytearray((tmp_path / "odd.zip").read_bytes())
    directory = data.index(b"PK\x01\x02")
    at = directory + (46 + len("train/REAL/") if place == 6 else 6)
    data[at : at + 1] = content
    (tmp_path / "odd.zip").write_bytes(data)
    with pytest.raises(InputError, match="is no complete zip archive"):
        ZipSource(str(tmp_path / "odd.zip")).files()


def test_an_interruption_in_a_destructor_is_heard(tmp_path: Path) -> None:
    """Python prints such an error and goes on."""
    code = """
import os, signal, time
import click
from data_prep.errors import run_command

class Ending:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

@click.command()
def main():
    Ending()
    time.sleep(10)

run_command(main, [])
"""
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (ENDS["SIGINT"].code, ENDS["SIGINT"].sentence)
