"""Command lines, right ones and wrong ones: each option of each command with what it cannot be, and curated ones.

What is to become of each was written down before any was tried.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from support.commands import ROOT
from support.options import click_commands

SWEEPS = ("age", "zoo", "search", "population", "cifake_paper")
#: Words with which a command has work to do, by its first ones.
_BEGINNINGS = {
    "python -m data_prep": ("data_prep", "--source", "tree", "--out", "made"),
    "python -m trainables": ("trainables",),
    "python -m analysis compare": ("analysis", "compare", "results/zoo", "other/zoo"),
    "python -m analysis predict": ("analysis", "predict", "results/zoo", "tree/test/REAL"),
    **{f"python -m analysis {name}": ("analysis", name, "results/zoo") for name in ("explain", "export", "report")},
    "python -m analysis robustness": ("analysis", "robustness", "results/zoo", "--limit", "20"),
    **{
        f"python sweeps/{name}.py": (f"sweeps/{name}.py", "--data", "shards", "--smoke", "--results", "made")
        for name in SWEEPS
    },
}
_PLACES = ("", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?endpoint_override=127.0.0.1:9", "nosuch://bucket")
#: Options that take the place of a folder or a file, and that are not compared with what is there.
_FOLDERS = ("--data", "--results", "--out", "--source")


@dataclass(frozen=True)
class Line:
    """The words of a command, and whether they are to be refused."""

    words: tuple[str, ...]
    is_refused: bool

    def __str__(self) -> str:
        return " ".join(self.words)


def odd_files(place: Path) -> None:
    """Put into a folder what some of the lines name: a pipe, and a link that leads in a circle."""
    os.mkfifo(place / "pipe")
    (place / "circle").symlink_to("circle")


def lines() -> Iterator[Line]:
    """All of them, always the same."""
    for name, command in click_commands(ROOT).items():
        beginning = next((words for first, words in _BEGINNINGS.items() if name == first), None)
        if beginning:
            takes_many = any(parameter.nargs == -1 for parameter in command.params)
            more = () if takes_many else (("one", "argument", "too", "many"),)
            yield from (Line((*beginning, *words), True) for words in (*_wrong(command), *more))
    yield from _sweeps()
    yield from _others()


def _wrong(command: click.Command) -> Iterator[tuple[str, ...]]:
    """What no option of a command can be."""
    yield ("--no-such-option",)
    for option in (each for each in command.params if isinstance(each, click.Option)):
        name, kind = option.opts[0], option.type
        if name == "--help":
            continue
        if option.is_flag:
            yield (f"{name}=perhaps",)
            continue
        yield (name,)
        if isinstance(kind, click.IntRange | click.FloatRange):
            below = str((kind.min or 0) - 1)
            yield from (
                (name, text) for text in ("nan", "inf", "-inf", "1e400", str(10**30), below, "many", "", "0x10", "١٢x")
            )
        elif isinstance(kind, click.Choice):
            yield from ((name, text) for text in ("", "nothing of that kind", "\x1b[2J"))
        elif name in _FOLDERS:
            yield from ((f"{name}={place}",) for place in _PLACES)
        elif name in ("--cpus-per-trial", "--gpus-per-trial", "--time-budget"):
            yield from ((name, text) for text in ("nan", "-1", "many", str(10**30), ""))


#: What --set cannot be.
_NOT_SET = """
learning_rate = =1 learning_rate= learning_rate=fast learning_rate=nan learning_rate=inf learning_rate=-1
learning_rate=11 learning_rate=1e400 learning_rat=1 nonsense=1 batch_size=0 batch_size=1.5 batch_size=65537
batch_size=true epochs=0 epochs=10001 optimizer=adams optimizer=1 schedule=cosin precision=float8 deterministic=7
weight_decay=2 momentum=-0.1 label_smoothing=1 seed=7 age-c2-f1.seed=7 training_subset=2 age-c2-f1.training_subset=2
parent=0123456789ab age-c2-f1.parent=x pause_epoch=1 age-c2-f1.pause_epoch=1 arguments={} age-c2-f1.arguments={}
network=vgg16 age-c2-f1.network=vgg16 dropout=0.5 age-c2-f1.dropout=2 age-c2-f1.dropout=much age-c2-f1.trunks=c2
vgg16.batch_norm=true age-c9-f9.dropout=0.1 ../x.dropout=0.1 head_epochs=-1 early_stopping_epochs=10001
plateau_epochs=0 age-c2-f1.batch_norm=perhaps
"""
_SET = """
learning_rate=0.01 learning_rate=1 batch_size=64 optimizer=sgd optimizer=adamw schedule=cosine schedule=plateau
weight_decay=0.1 momentum=0.9 label_smoothing=0.1 deterministic=true early_stopping_epochs=2 plateau_epochs=1
precision=mixed_bfloat16 age-c2-f1.dropout=0.5 age-c2-f1.batch_norm=true age-c2-f1.learning_rate=0.01
age-c4-f4.batch_size=16
"""
#: What else a sweep takes, and what it does not.
_RIGHT = """
--seeds 2; --epochs 1; --fresh; --batch-size 64; --cpus-per-trial 2; --gpus-per-trial 0; --limit 100; --results ä/ö;
--results =x; --margin 2; --hang-minutes 5; --cpus-per-trial auto; --data ./shards/; --seeds 1000; --limit 20;
--limit 1000000
"""
_REFUSED = f"""
--data nowhere; --data tree; --data results/zoo; --data secret; --data /dev/zero; --data pipe; --data circle;
--data {"x" * 300}; --results secret; --results {"x" * 300}; --results pipe; --weights /nowhere;
--resample-train 3 --limit 10; --seeds 0; --track nothing; --time-budget soon; --gpus-per-trial some; --seeds 1001
"""


def _split(texts: str) -> list[list[str]]:
    return [text.split() for text in texts.split(";")]


def _sweeps() -> Iterator[Line]:
    beginning = _BEGINNINGS["python sweeps/age.py"]
    for text in _NOT_SET.split():
        yield Line((*beginning, "--set", text), True)
    for text in _SET.split():
        yield Line((*beginning, "--set", text), False)
    for words in _split(_RIGHT):
        yield Line((*beginning, *words), False)
    for words in _split(_REFUSED):
        yield Line((*beginning, *words), True)
    for name in SWEEPS:
        yield Line(_BEGINNINGS[f"python sweeps/{name}.py"], False)
    zoo = _BEGINNINGS["python sweeps/zoo.py"]
    for models in ("", ",", "vgg", "../x", "\x1b[2J", "age-c2-f1;custom-1"):
        yield Line((*zoo, "--models", models), True)
    for models in ("age-c2-f1", "age-c2-f1,", "age-c2-f1,age-c2-f1", "age-c2-f1,custom-1"):
        yield Line((*zoo, "--models", models), False)
    search = _BEGINNINGS["python sweeps/search.py"]
    for words in (("--tune", "nothing"), ("--tune", ""), ("--networks", "x"), ("--trials", "0"), ("--method", "best")):
        yield Line((*search, *words), True)
    right = (
        "--tune learning_rate",
        "--networks age-c2-f1",
        "--trials 5",
        "--method random",
        "--seed 7",
        "--time-budget 60s",
    )
    for words in map(str.split, (*right, "--max-concurrent 1", "--stopping none")):
        yield Line((*search, *words), False)


_ANALYSIS_REFUSED = f"""
nowhere; tree; secret; shards; circle; pipe; /dev/zero; {"x" * 300}; s3://; nosuch://b/x; s3:/b; predict nowhere tree;
predict results/zoo tree --trial 0123456789ab; compare results/zoo; compare results/zoo nowhere;
compare results/zoo shards; export results/zoo --trial vgg16; explain results/zoo --data nowhere;
robustness results/zoo --data tree; robustness results/zoo --trials nothing; explain results/zoo --images 0;
explain results/zoo --layer nothing; predict results/zoo tree --format xml; predict results/zoo tree --prior 2
"""
_ANALYSIS_RIGHT = """
results/zoo; results/zoo/; ./results/../results/zoo; results/zoo --margin 2; results; export results/zoo --out made;
predict results/zoo tree/test/FAKE; compare results/zoo results/zoo; predict results/zoo secret;
predict results/zoo nowhere; predict results/zoo pipe; predict results/zoo circle; predict results/zoo tree --prior 0.1
"""
_DATA_PREP_REFUSED = """
nowhere made; secret made; pipe made; circle made; /dev/zero made; shards made; tree secret; tree results/zoo;
tree tree; tree pipe; tree /dev/null
"""
#: Of a tree with the folders train and test, which have REAL and FAKE.
_NAMES_REFUSED = """
--real nobody; --fake nobody; --real REAL --fake real; --split test; --split test=maybe; --split =test;
--split tset=test; --class-level 9; --class-level 1; --generator-level -1; --generator-level 0; --cluster-level -3;
--ignore *; --ignore FAKE; --fake REAL; --ignore nothing*; --ignore *.png; --split train=ignore; --split train=none
"""
_NAMES_RIGHT = """
--plan; --real real; --split test=validation; --fake FAKE; --split test=test; --split test=none --split train=none;
--split test=ignore; --ignore 0001.JPG; --split TEST=test
"""


def _others() -> Iterator[Line]:
    yield Line(("analysis", ""), True)
    for words in _split(_ANALYSIS_REFUSED):
        yield Line(("analysis", *words), True)
    for words in _split(_ANALYSIS_RIGHT):
        yield Line(("analysis", *words), False)
    for source, out in _split(_DATA_PREP_REFUSED):
        yield Line(("data_prep", "--source", source, "--out", out), True)
    for more in ((), ("--limit", "20"), ("--image-size", "16"), ("--validation", "0.2"), ("--seed", "3")):
        yield Line((*_BEGINNINGS["python -m data_prep"], *more), False)
    for words in _split(_NAMES_REFUSED):
        yield Line((*_BEGINNINGS["python -m data_prep"], *words), True)
    for words in _split(_NAMES_RIGHT):
        yield Line((*_BEGINNINGS["python -m data_prep"], *words), False)
    for name in ("vgg", "", "../x", "\x1b[2J"):
        yield Line(("trainables", name), True)
    for name in ("age-c2-f1", "custom-1"):
        yield Line(("trainables", name), False)
