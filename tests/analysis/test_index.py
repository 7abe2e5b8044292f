"""The page at the root of the results."""

import os
from pathlib import Path

from data_prep.storage import Folder
from support.commands import ROOT, Command, refused, run_python
from support.records import twelve, write


def test_the_root_lists_all_records_with_their_answers(again: Folder, tmp_path: Path, command_here: Command) -> None:
    write(tmp_path / "other", twelve(), sweep="later", started="2026-11-24T08:30:00+00:00", wall_seconds=None)
    (tmp_path / "other" / "age").rename(tmp_path / "later")
    (tmp_path / "notes").mkdir()
    (tmp_path / "nested").mkdir()
    (tmp_path / "age").rename(tmp_path / "nested" / "age")
    for _ in range(2):  # the page is no record
        done = command_here("-m", "analysis", ".")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "./index.html\n"
    page = (tmp_path / "index.html").read_text()
    assert page.index("later") < page.index("nested/age/report.html")  # the latest first
    assert "Of 11 networks, 10 trained to the end, age-c4-f4 is first by validation accuracy" in page
    assert "It has no report yet: python -m analysis ./later makes it." in page
    assert "not over: the same command goes on" in page
    assert "&lt;twelve&gt;" in page
    assert "notes" not in page


def test_a_folder_without_records_is_refused(tmp_path: Path, command_here: Command) -> None:
    assert "is empty or does not exist" in refused(command_here("-m", "analysis", str(tmp_path)))
    (tmp_path / "notes.txt").touch()
    assert "holds no record of a sweep" in refused(command_here("-m", "analysis", str(tmp_path)))
    assert not Folder(str(tmp_path)).exists("index.html")


def test_open_shows_the_page(again: Folder, tmp_path: Path) -> None:
    """In the browser that the environment names."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    browser.chmod(0o755)
    environment = os.environ | {"BROWSER": f"{browser} %s"}
    for page in ("age", "."):
        done = run_python("-m", "analysis", page, "--open", cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)})
        assert done.returncode == 0, done.stderr
    opened = (tmp_path / "opened").read_text().split()
    assert opened == [(tmp_path / "age" / "report.html").as_uri(), (tmp_path / "index.html").as_uri()]
