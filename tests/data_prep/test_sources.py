"""Sources of images: the same images give the same shards however they are packed, and no archive does harm."""

import bz2
import gzip
import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from data_prep.errors import InputError
from data_prep.job import prepare
from data_prep.sources import open_source
from data_prep.sources.tar import TarSource
from support.trees import make_tree, zip_tree


def tar_tree(tree: Path, archive: Path, mode: str = "w") -> Path:
    """The files of a tree in a tar, as `tar -c .` has them."""
    with tarfile.open(archive, mode) as file:
        file.add(tree, ".")
    return archive


def backslashed(tree: Path, archive: Path) -> Path:
    """The files of a tree in a zip, as some programs of Windows write them."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in tree.rglob("*.jpg"):
            file.writestr(str(path.relative_to(tree)).replace("/", "\\"), path.read_bytes())
    return archive


def archives_of(tree: Path, folder: Path) -> Path:
    """A folder with an archive of each label: zips in train, tars in test."""
    for label in ("REAL", "FAKE"):
        (folder / "train").mkdir(parents=True, exist_ok=True)
        (folder / "test").mkdir(exist_ok=True)
        zip_tree(tree / "train" / label, folder / "train" / f"{label}.zip")
        tar_tree(tree / "test" / label, folder / "test" / f"{label}.tar.gz", "w:gz")
    return folder


def test_however_images_are_packed_their_shards_are_the_same(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    packed = [
        zip_tree(tree, tmp_path / "a.zip"),
        backslashed(tree, tmp_path / "b.zip"),
        tar_tree(tree, tmp_path / "a.tar"),
        tar_tree(tree, tmp_path / "a.tar.gz", "w:gz"),
        tar_tree(tree, tmp_path / "a.tar.bz2", "w:bz2"),
        archives_of(tree, tmp_path / "many"),
    ]
    whole = prepare(str(tree), str(tmp_path / "of tree")).fingerprint
    for number, path in enumerate(packed):
        assert prepare(str(path), str(tmp_path / f"of {number}")).fingerprint == whole
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_no_file_in_a_tar_is_unreadable(tmp_path: Path) -> None:
    archive = tar_tree(make_tree(tmp_path / "tree"), tmp_path / "a.tar")
    with tarfile.open(archive, "a") as file:
        for name, kind in (("link", tarfile.SYMTYPE), ("pipe", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(f"./train/REAL/{name}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            file.addfile(member)
    reason = "cannot be read: it is a link or a device in the archive"
    unreadable = prepare(str(archive), str(tmp_path / "out")).audit["unreadable"]
    assert unreadable == {f"train/REAL/{name}.jpg": reason for name in ("link", "pipe")}


def damaged(archive: Path) -> bytes:
    """The content of an archive, one header of which is changed."""
    content = bytearray(archive.read_bytes())
    with tarfile.open(archive) as file:
        place = file.getmembers()[len(file.getmembers()) // 2].offset
    content[place : place + 8] = b"\xff" * 8
    return bytes(content)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_part_of_a_tar_is_refused(share: float, kind: str, tmp_path: Path) -> None:
    archive = tar_tree(make_tree(tmp_path / "tree"), tmp_path / f"a.{kind}", "w:gz" if kind == "tar.gz" else "w")
    end = len(archive.read_bytes()) if kind == "tar.gz" else len(archive.read_bytes().rstrip(b"\0"))
    archive.write_bytes(archive.read_bytes()[: int(end * share)])
    with pytest.raises(InputError, match="is no complete tar archive"):
        list(TarSource(str(archive)).files())


def test_a_tar_that_ends_between_two_files_is_refused(tmp_path: Path) -> None:
    archive = tar_tree(make_tree(tmp_path / "tree"), tmp_path / "a.tar")
    with tarfile.open(archive) as file:
        end = file.getmembers()[40].offset
    archive.write_bytes(archive.read_bytes()[:end])
    with pytest.raises(InputError, match="is no complete tar archive"):
        list(TarSource(str(archive)).files())


def test_a_tar_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    archive = tar_tree(make_tree(tmp_path / "tree"), tmp_path / "a.tar")
    archive.write_bytes(damaged(archive))
    with pytest.raises(InputError, match="is no complete tar archive"):
        list(TarSource(str(archive)).files())


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
def test_a_tar_that_unpacks_to_far_more_than_its_size_is_refused(pack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for number in range(3):
            member = tarfile.TarInfo(f"train/REAL/{number}.bmp")
            member.size = 100 * 2**20
            file.addfile(member, io.BytesIO(bytes(member.size)))
    (tmp_path / "a.tgz").write_bytes(pack(buffer.getvalue()))
    with pytest.raises(InputError, match="would unpack to more than 100 times its size"):
        list(TarSource(str(tmp_path / "a.tgz")).files())


def test_a_long_header_of_a_tar_is_not_read(tmp_path: Path) -> None:
    """tarfile would take as much memory as the header claims to have."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as file:
        member = tarfile.TarInfo("train/REAL/0.jpg")
        member.pax_headers = {"comment": "x" * 2**21}
        file.addfile(member)
    with pytest.raises(InputError, match="is no complete tar archive"):
        list(TarSource(str(tmp_path / "a.tar")).files())


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "train/REAL/../../../evil.jpg"])
def test_a_path_that_leaves_a_tar_is_refused(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.addfile(tarfile.TarInfo(name))
    with pytest.raises(InputError, match="a path that leaves it"):
        list(TarSource(str(tmp_path / "a.tar")).files())


def test_parts_of_an_archive_are_refused_with_the_command_that_joins_them(tmp_path: Path) -> None:
    whole = zip_tree(make_tree(tmp_path / "tree"), tmp_path / "a b.zip").read_bytes()
    for number in range(2):
        (tmp_path / f"part.zip.{number:03d}").write_bytes(
            whole[number * 9_000 :][:9_000] if number == 0 else whole[9_000:]
        )
    with pytest.raises(
        InputError, match=r"is one part of an archive; join the parts with `cat (.*)\.\* > (.*)`"
    ) as refusal:
        open_source(str(tmp_path / "part.zip.000"))
    subprocess.run(refusal.value.message.split("`")[1], shell=True, check=True)
    assert (tmp_path / "part.zip").read_bytes() == whole
    (tmp_path / "a b.z01").touch()
    with pytest.raises(InputError, match=r"join the parts with `zip -s 0 '.*a b\.zip' --out '.*a b'-joined\.zip`"):
        open_source(str(tmp_path / "a b.zip"))
    with pytest.raises(InputError, match="is one part of an archive"):
        list(open_source(str(tmp_path)).files())


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
def test_a_pipe_that_is_named_like_an_archive_is_not_opened(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    os.mkfifo(tree / "train" / "REAL" / "pipe.zip")
    assert prepare(str(tree), str(tmp_path / "out")).audit["outside_label_folders"] == ["train/REAL/pipe.zip"]
