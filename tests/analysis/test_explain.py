"""`python -m analysis explain`: the surest mistakes and the doubts of a real record."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.explain import SCHEMA, sheets
from analysis.figures.sheets import KINDS
from analysis.results.trials import read
from data_prep.job import prepare
from data_prep.storage import Folder
from support.commands import Command, refused, run_python, trained
from support.trees import make_tree
from trainables.training.metrics import best_threshold

pytestmark = pytest.mark.slow


def as_users_have_it() -> dict[str, str]:
    """The environment without what JAX, imported by a test, has put there: TensorFlow's errors would be shown again."""
    return {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a record of two networks that have learnt a little, and the best one explained."""
    folder = tmp_path_factory.mktemp("explain")
    make_tree(folder / "tree", images=60)
    for path in sorted((folder / "tree/test/REAL").glob("*.jpg"))[:10]:  # so that there are mistakes
        Image.fromarray(np.full((32, 32, 3), 250, np.uint8)).save(path, quality=75)
    prepare(str(folder / "tree"), str(folder / "shards/tree"))
    trained(folder, "--data", "shards/tree", "--models", "age-c2-f1,age-c3-f1", "--epochs", "4")
    words = ("-m", "analysis", "explain", "results/zoo", "--images", "6")
    done = run_python(*words, cwd=folder, env=as_users_have_it())
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout)
    assert done.stderr == ""
    return folder


def explanations(place: Path) -> pd.DataFrame:
    return pd.read_parquet(place / "results/zoo/explanations.parquet")


def test_the_best_network_shows_its_surest_mistakes_and_its_doubts(place: Path) -> None:
    record, table = place / "results/zoo", explanations(place)
    assert list(table.columns) == SCHEMA.names
    best = read(Folder(str(record))).ranked.iloc[0]["trial"]
    assert set(table["trial"]) == {best}
    scores = pd.read_parquet(record / f"scores/{best}.parquet")
    validation, test = (scores[scores["split"] == split] for split in ("validation", "test"))
    threshold = best_threshold(validation["label"].to_numpy(), validation["score"].to_numpy())
    distance = (test.set_index("row")["score"] - threshold).abs()
    called, label = test.set_index("row")["score"] > threshold, test.set_index("row")["label"]
    among = {"real_called_fake": called & (label == 0), "fake_called_real": ~called & (label == 1)}
    for kind, mask in among.items():
        expected = distance[mask].sort_values(ascending=False, kind="stable").head(6)
        assert table.loc[table["kind"] == kind, "row"].tolist() == expected.index.tolist()
    assert (table["kind"] == "real_called_fake").sum() == 6
    doubts = distance.sort_values(kind="stable").head(6)
    assert table.loc[table["kind"] == "uncertain", "row"].tolist() == doubts.index.tolist()
    assert np.allclose(table["probability"], 1 / (1 + np.exp(-table["score"])))


def test_rows_are_the_images_that_they_name(place: Path) -> None:
    images = pd.read_parquet(place / "results/zoo/images.parquet").query("split == 'test'")
    joined = explanations(place).merge(images, on="row")
    assert len(joined) == len(explanations(place))
    assert (joined["path_x"] == joined["path_y"]).all()
    assert (joined["label_x"] == joined["label_y"]).all()
    assert joined.loc[joined["kind"] == "real_called_fake", "path_x"].str.contains(r"REAL/000\d.jpg").all()


def test_every_sheet_is_there_and_told_in_words(place: Path) -> None:
    table, found = explanations(place), sheets(Folder(str(place / "results/zoo")))
    assert len(found) == table["kind"].nunique() >= 2
    assert {path.name for path in (place / "results/zoo/explanations").iterdir()} == {name for name, *_ in found}
    for name, title, alt, caption in found:
        with Image.open(place / "results/zoo/explanations" / name) as image:
            assert image.format == "PNG"
            assert image.width == 1440
        kind = next(kind for kind in KINDS if kind in name)
        assert title.startswith(KINDS[kind])
        for row in table.loc[table["kind"] == kind, "row"]:
            assert f"#{row}" in alt
        assert "n = 120 test images" in caption
        assert caption.replace("\n", " ") in (place / "output.txt").read_text()


def test_another_layer_and_another_network_replace_only_their_own(place: Path, analysis: Command) -> None:
    before = explanations(place)
    other = "age-c3-f1" if before["name"].iloc[0].startswith("age-c2") else "age-c2-f1"
    words = ("explain", f"results/zoo:{other}", "--images", "2")
    assert analysis(*words).returncode == 0
    layer = "max_pooling2d"
    assert analysis(*words, "--layer", layer).returncode == 0
    table = explanations(place)
    own = table[table["trial"] == before["trial"].iloc[0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, before)
    others = table[table["trial"] != before["trial"].iloc[0]]
    assert set(others["layer"]) == {layer}
    assert (others.groupby("kind").size() <= 2).all()


def test_bad_input_is_refused_in_one_sentence(place: Path, tmp_path: Path, analysis: Command) -> None:
    def refusal(*words: str) -> str:
        return refused(analysis("explain", *words))

    assert "it has " in refusal("results/zoo", "--layer", "conv99")
    assert "age-c2-f1" in refusal("results/zoo:vgg16")
    assert "is empty or does not exist" in refusal("results/zoo", "--data", str(tmp_path))
    make_tree(tmp_path / "tree", images=20, seed=5)
    prepare(str(tmp_path / "tree"), str(tmp_path / "shards"))
    assert "--data" in refusal("results/zoo", "--data", str(tmp_path / "shards"))
