"""Images of which lists say what they are: each row's image has the split, label, generator and class of its row."""

import json
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import data_prep.__main__ as command
from data_prep.errors import InputError
from data_prep.job import listing_of, prepare
from data_prep.layout.choices import Choices

#: Name → split and label, of images in a folder without names that say anything.
IMAGES = {
    f"images/{split}-{label}-{number}.jpg": (split, label)
    for split in ("train", "test")
    for label in (0, 1)
    for number in range(6)
}
SPLITS = {"train": "train", "test": "test"}
NAMES = ("real", "fake")


class Case(NamedTuple):
    """Where a list is described, its name and text, options, and a part of the refusal without them."""

    where: str
    name: str
    text: Callable[[], str]
    options: str = ""
    refusal: str = ""
    splits: bool = True


def csv(header: str, row: Callable[[int, str, str, int], str]) -> Callable[[], str]:
    """The text of a table with a row for each number, name, split and label."""
    rows = [row(number, name, *IMAGES[name]) for number, name in enumerate(IMAGES)]
    return lambda: "\n".join([header, *rows] if header else rows)


CASES = {
    "numbers": Case(
        "Kaggle, alessandrasala79/ai-vs-human-generated-dataset",
        "train.csv",
        csv(",file_name,label", lambda number, name, split, label: f"{number},{name},{label}"),
        "--real 0 --fake 1",
        "--real 0 --fake 1",
        splits=False,
    ),
    "numbers the other way round": Case(
        "Kaggle, xhlulu/140k-real-and-fake-faces: 1 is real",
        "all.csv",
        csv(
            ",original_path,label,label_str,path,split",
            lambda number, name, split, label: f"{number},/a/b.jpg,{1 - label},{NAMES[label]},{name},{split}",
        ),
    ),
    "lines of JSON": Case(
        "Hugging Face's imagefolder: paths relative to the list",
        "images/metadata.jsonl",
        lambda: "\n".join(
            json.dumps({"file_name": name.removeprefix("images/"), "label": NAMES[label].upper(), "split": split})
            for name, (split, label) in IMAGES.items()
        ),
    ),
    "JSON by video": Case(
        "Kaggle's DFDC: a video for each name, whose frames are images",
        "metadata.json",
        lambda: json.dumps(
            {
                Path(name).stem + ".mp4": {"label": NAMES[label].upper(), "split": split, "original": None}
                for name, (split, label) in IMAGES.items()
            }
        ),
    ),
    "text without a header": Case(
        "AI-Challenge2020: name and number",
        "labels.txt",
        csv("", lambda number, name, split, label: f"{Path(name).name} {label}"),
        "--image-column 1 --label-column 2 --real 0 --fake 1",
        "no column that is known to have images; its columns are '1', '2': name one with --image-column NAME",
        splits=False,
    ),
    "names without endings": Case(
        "NTIRE 2026: `image_name` without its folder and ending",
        "val_labels.csv",
        csv("image_name;label", lambda number, name, split, label: f"{Path(name).stem};{label}"),
        "--real 0 --fake 1",
        "--real 0 --fake 1",
        splits=False,
    ),
    "splits of other names": Case(
        "Community Forensics: a column for each",
        "all.tsv",
        csv("image\tis_fake\tsubset", lambda number, name, split, label: f"{name}\t{bool(label)}\t{split}_a"),
        "--label-column is_fake --split-column subset --real False --fake True "
        "--split train_a=train --split test_a=test",
        "no column that is known to have labels; its columns are 'image', 'is_fake', 'subset'",
    ),
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the images, all different, and something else."""
    generator = np.random.default_rng(0)
    for name in IMAGES:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "source" / name)
    (tmp_path / "source" / "read me.md").touch()
    return tmp_path / "source"


def plan(source: Path, words: str) -> str:
    """What the command says of a source."""
    done = CliRunner().invoke(command.main, ["--source", str(source), "--plan", *shlex.split(words)])
    return done.output + str(getattr(done.exception, "message", ""))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("is_zipped", [False, True], ids=["folder", "zip"])
def test_each_row_of_a_list(case: Case, is_zipped: bool, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / case.name).write_text(case.text())
    if is_zipped:
        with zipfile.ZipFile(source.parent / "made.zip", "w") as file:
            for path in source.rglob("*.*"):
                file.write(path, path.relative_to(source))
        source = source.parent / "made.zip"
    listings = []
    monkeypatch.setattr("data_prep.__main__.outline", lambda source, listing: listings.append(listing) or "")
    if case.refusal:
        assert case.refusal in plan(source, f"--list {case.name}")
    plan(source, f"--list {case.name} {case.options}")
    said = {item.file.name: (item.split, item.label) for item in listings[-1].items}
    assert said == {name: (split if case.splits else "train", label) for name, (split, label) in IMAGES.items()}
    assert listings[-1].strays == ["read me.md"]


def test_lists_of_several_folders_give_generators_and_classes(tmp_path: Path) -> None:
    """As in ArtiFact: a metadata.csv a folder, of a generator or of photographs, with many-valued targets."""
    for folder, target in {"coco": 0, "big_gan": 6, "glide": 2}.items():
        (tmp_path / folder / "x").mkdir(parents=True)
        names = [f"img{number:06d}" for number in range(4)]
        for name in names:
            (tmp_path / folder / "x" / f"{name}.jpg").touch()
        rows = [f"{name},x/{name}.jpg,{target},cat" for name in names]
        (tmp_path / folder / "metadata.csv").write_text("\n".join(["filename,image_path,target,category", *rows]))
    labels = {"0": 0, "2": 1, "6": 1}
    columns = {"image": "image_path", "class": "category"}
    choices = Choices(labels=labels, lists=("*/metadata.csv",), columns=columns, generator_level=1)
    items = listing_of(str(tmp_path), choices).items
    assert {(item.file.name.split("/")[0], item.label, item.generator, item.object_class) for item in items} == {
        ("coco", 0, None, "cat"),
        ("big_gan", 1, "big_gan", "cat"),
        ("glide", 1, "glide", "cat"),
    }
    assert len(items) == 12


def test_rows_without_a_file_are_listed(source: Path) -> None:
    text = csv("file_name,label", lambda number, name, split, label: f"{name},{NAMES[label]}")()
    (source / "a.csv").write_text(text + "\nimages/gone.jpg,real\nimages/../../secret.jpg,fake\n")
    (source.parent / "secret.jpg").touch()
    choices = Choices(lists=("a.csv",))
    manifest = prepare(str(source), str(source.parent / "out"), image_size=8, validation=0.3, choices=choices)
    reason = "cannot be read: it is listed, and not there"
    assert manifest.audit["unreadable"] == {
        "train/REAL/images/gone.jpg": reason,
        "train/FAKE/images/../../secret.jpg": reason,
    }
    assert manifest.audit["images"] == len(IMAGES)


@pytest.mark.parametrize(
    ("name", "text", "options", "told"),
    [
        ("a.csv", "file_name,label\nimages/train-0-0.jpg,real\nimages/train-0-0.jpg,fake\n", "", "says two things of"),
        ("a.csv", "", "", "cannot be read as a list"),
        ("a.json", "[1, 2]", "", "cannot be read as a list"),
        ("a.json", json.dumps([{str(number): 1} for number in range(2000)]), "", "more than 1,000 columns"),
        ("a.csv", "," * 2000, "", "more than 1,000 columns"),
        ("a.json", '{"a": 1}', "", "cannot be read as a list"),
        ("a.json", "[" * 10**5, "", "cannot be read as a list"),
        ("a.jsonl", "{}\nnothing", "", "cannot be read as a list"),
        ("a.csv", "file_name,label\na,real\nb,fake,more,more\n", "", "cannot be read as a list"),
        ("a.csv", "file_name,label\nimages/train-0-0.jpg,\n", "", "say neither REAL nor FAKE, ''"),
        ("a.csv", "file_name,label,split\nimages/train-0-0.jpg,real,part one\n", "", "--split 'part one'=train"),
        ("a.csv", "file_name,label,split\nimages/train-0-0.jpg,real,test\n", "", "has no training split"),
        (
            "a.csv",
            "file_name,label,split\na,real,train\nb,fake,val\n",
            "",
            "--split val=test or --split val=validation",
        ),
        (
            "a.csv",
            "file_name,label\nimages/train-0-0.jpg,real\n",
            "",
            "has no FAKE images, and folders without a label",
        ),
        ("a.csv", "file_name,label\na,real\n", "--real 7", "no folder or label named '7'"),
        ("a.csv", "file_name,label\na,real\n", "--label-column kind", "no column 'kind'"),
        ("b.csv", "file_name,label\na,real\n", "", "has no file a.csv or a.json"),
    ],
)
def test_a_wrong_list_is_one_sentence(name: str, text: str, options: str, told: str, source: Path) -> None:
    (source / name).write_text(text)
    assert told in plan(source, f"--list a.csv --list a.json --list a.jsonl {options}")


def test_a_column_without_a_list_is_refused(source: Path) -> None:
    assert "name that with --list" in plan(source, "--label-column label")
    with pytest.raises(InputError, match=r"has no file a\.csv"):
        listing_of("sample", Choices(lists=("a.csv",)))


def test_pandas_reads_what_shards_say_of_a_list(source: Path) -> None:
    rows = [
        f"{name},{NAMES[label]},{split},sd{number % 2},s{number}"
        for number, (name, (split, label)) in enumerate(IMAGES.items())
    ]
    (source / "a.csv").write_text("\n".join(["path,label,split,generator,scene", *rows]))
    choices = Choices(lists=("a.csv",), columns={"cluster": "scene"})
    prepare(str(source), str(source.parent / "out"), image_size=8, validation=0.3, choices=choices)
    columns = ["label", "generator", "cluster"]
    shards = pd.concat(pd.read_parquet(path, columns=columns) for path in (source.parent / "out").glob("*.parquet"))
    assert len(shards) == len(IMAGES)
    assert set(shards["generator"]) == {"sd0", "sd1"}
    assert shards["cluster"].nunique() == len(IMAGES)
