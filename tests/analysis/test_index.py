"""The page at the root of the results."""

from pathlib import Path

from data_prep.storage import Folder
from support.commands import Command, refused
from support.records import analyse, twelve, write


def test_the_root_lists_all_records_with_their_answers(tmp_path: Path, command_here: Command) -> None:
    analyse(write(tmp_path, twelve()))
    write(tmp_path / "other", twelve(), sweep="later", started="2026-11-24T08:30:00+00:00", wall_seconds=None)
    (tmp_path / "other" / "age").rename(tmp_path / "later")
    (tmp_path / "notes").mkdir()
    done = command_here("-m", "analysis", ".")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "./index.html\n"
    page = (tmp_path / "index.html").read_text()
    assert page.index("later") < page.index("age/report.html")  # the latest first
    assert "age-c4-f4 is first of 11 by validation accuracy" in page
    assert "It has no report yet: python -m analysis ./later makes it." in page
    assert "not over: the same command goes on" in page
    assert "&lt;twelve&gt;" in page
    assert "notes" not in page


def test_a_folder_without_records_is_refused(tmp_path: Path, command_here: Command) -> None:
    assert "holds no record of a sweep" in refused(command_here("-m", "analysis", str(tmp_path)))
    assert not Folder(str(tmp_path)).exists("index.html")
