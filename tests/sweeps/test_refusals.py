"""Wrong input to a sweep is one sentence, and leaves nothing behind."""

import json
import shutil
from pathlib import Path

import pytest

from support.commands import Command, refused
from support.sweeps import AGE, TINY, ZOO
from trainables.record import TRIALS, part_file


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--epoch", "3"), "Did you mean '--epochs'?"),
        (("--epochs", "many"), "'--epochs'"),
        (("--gpus-per-trial", "some"), "give `auto` or a number"),
        (("--data", "nowhere"), "is empty or does not exist"),
        (("--limit", "100000", "--epochs", "3"), "more than the 3,010 balanced training images"),
        (("--fresh", "--limit", "100000"), "more than the 3,010 balanced training images"),
        (("--results", "output.txt"), "a part of that path is a file"),
        (("--set", "learning_rat=1"), "no hyperparameter 'learning_rat'; the nearest is 'learning_rate'"),
        (("--set", "learning_rate"), "give it as NAME=VALUE"),
        (("--set", "dropout=0.5"), "that is an argument of a network; give it as age-c2-f1.dropout"),
        (("--set", "age-c2-f1.trunks=c2"), "age-c2-f1 has no argument 'trunks'; the nearest is 'trunk'"),
        (("--set", "nonsense=1"), "no hyperparameter 'nonsense'; there are network, arguments, epochs"),
        (("--set", "learning_rate=fast"), "learning_rate is 'fast'; it must be of type float"),
        (("--set", "vgg16.batch_norm=true"), "this sweep does not train 'vgg16'"),
        (("--set", "seed=7"), "give --seeds"),
        (("--results", "nosuch://bucket"), "names no file system"),
        (("--resample-train", "3", "--seeds", "2"), "give --limit N and --seeds 2"),
        (("--resample-train", "3", "--limit", "100"), "give --limit N and --seeds 2"),
        (("--resample-train", "2"), "2 is not in the range 3<=x<=1000"),
        (
            ("--resample-train", "3", "--seeds", "2", "--limit", "2000"),
            "--resample-train 3 of --limit 2000 asks for more",
        ),
        (("--set", "training_subset=2"), "give --resample-train"),
        (("--set", "age-c2-f1.training_subset=2"), "give --resample-train"),
        (("--set", "age-c2-f1.seed=7"), "give --seeds"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: tuple[str, ...], told: str, small_record: Path, command_here: Command
) -> None:
    before = sorted(str(path) for path in small_record.rglob("*"))
    assert told in refused(command_here(AGE, *arguments, cwd=small_record))
    assert sorted(str(path) for path in small_record.rglob("*")) == before


def test_results_of_other_settings_do_not_join_a_record(small_record: Path, command_here: Command) -> None:
    before = sorted(str(path) for path in small_record.rglob("*"))
    done = command_here(ZOO, "--models", "age-c2-f1", "--epochs", "5", "--limit", "400", cwd=small_record)
    assert "was made with --epochs 3, and now it is 5" in refused(done)
    assert sorted(str(path) for path in small_record.rglob("*")) == before


def test_a_record_of_another_version_or_in_pieces_is_refused(
    small_record: Path, tmp_path: Path, command_here: Command
) -> None:
    record = tmp_path / "broken" / "zoo"
    shutil.copytree(small_record / "results" / "zoo", record)
    words = (ZOO, "--models", "age-c2-f1", *TINY, "--results", record.parent)
    content = json.loads((record / "manifest.json").read_text())
    for text, told in (
        (json.dumps(content | {"format_version": 99}), "format version 99"),
        (json.dumps(content | {"format_version": 1}), "format version 1"),
        ("{", "cannot be read"),
    ):
        (record / "manifest.json").write_text(text)
        assert told in refused(command_here(*words, cwd=small_record))
    (record / "manifest.json").write_text(json.dumps(content))
    (record / part_file(TRIALS, 0)).write_bytes(b"PAR1")
    assert "is corrupt" in refused(command_here(*words, cwd=small_record))
