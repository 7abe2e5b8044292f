"""Wrong input to a sweep is one sentence, and leaves nothing behind."""

from pathlib import Path

import pytest

from support.commands import refused, run_python
from support.sweeps import (
    AGE,
)


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
