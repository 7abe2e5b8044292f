"""Two records beside each other: what changed between them, and whether their results differ."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from analysis import compare
from analysis.__main__ import main
from analysis.results.trials import Results, read
from data_prep.storage import Folder
from support.records import AGE, manifest, run, write
from sweeps.record.writer import Record
from trainables import Recipe
from trainables.record import SCHEMAS, SCORES

IMAGES = 2_000


def record(place: Path, right: dict[str, float], seeds: int = 1, draw: int = 0, **hyperparameters: Any) -> Folder:
    """A record of networks that are each right about that share of the test images, drawn anew for every `draw`."""
    changes = hyperparameters.pop("manifest", {})
    found = Record(Folder(str(place)), "data")
    found.folder.write_json("manifest.json", manifest(**changes))
    labels = np.resize(np.array([0, 1], np.int8), IMAGES)
    for seed in range(seeds):
        for number, (network, share) in enumerate(right.items()):
            recipe = Recipe(network, seed=seed, **hyperparameters)
            trial = found.add(recipe)
            is_right = np.random.default_rng([draw, seed, number]).random(IMAGES) < share
            logits = np.where(is_right, 1, -1) * (2 * labels - 1)
            accuracy = {f"{split}_accuracy": float(is_right.mean()) for split in ("validation", "test")}
            images = {"validation_images": IMAGES, "test_images": IMAGES}
            found.update(trial, {"status": "finished", **accuracy, **images})
            parts = {"split": ["test"] * IMAGES, "row": np.arange(IMAGES), "label": labels}
            found.folder.write_table(f"scores/{trial}.parquet", pa.table(parts | {"score": logits.astype(np.float32)}))
    found.write()
    return found.folder


def both(tmp_path: Path, **other: Any) -> tuple[Results, Results]:
    right = {AGE[0]: 0.8, AGE[1]: 0.85}
    return read(record(tmp_path / "a", right)), read(record(tmp_path / "b", **{"right": right, **other}))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"learning_rate": 3e-4}, ("learning_rate", "0.001", "0.0003")),
        ({"epochs": 3}, ("epochs", "10", "3")),
        ({"arguments": '{"batch_norm": true}'}, ("batch_norm", "False", "True")),
    ],
)
def test_one_hyperparameter_that_differs_is_named_and_no_other(
    tmp_path: Path, changed: dict[str, Any], told: tuple[str, str, str]
) -> None:
    one, other = both(tmp_path, **changed)
    assert compare.hyperparameters(one, other) == [told]
    assert compare.trials(one, other) == compare.data(one, other) == compare.code(one, other) == []


def test_nothing_that_differs_is_nothing(tmp_path: Path) -> None:
    one, other = both(tmp_path)
    for find in (compare.hyperparameters, compare.trials, compare.data, compare.code):
        assert find(one, other) == []
    found = compare.differences(one, other)
    assert found["difference"].tolist() == [0, 0]
    assert found["verdict"].tolist() == ["", ""]
    assert "No verdict on networks" in compare.verdict(found)


def test_a_hyperparameter_of_one_network_is_told_with_its_network(tmp_path: Path) -> None:
    one = read(record(tmp_path / "a", {AGE[0]: 0.8, AGE[1]: 0.8}))
    folder = record(tmp_path / "b", {AGE[0]: 0.8})
    record(tmp_path / "b", {AGE[1]: 0.8}, batch_size=64)
    assert compare.hyperparameters(one, read(folder)) == [("batch_size", "32", f"{AGE[0]} 32; {AGE[1]} 64")]


def test_data_versions_networks_and_seeds_are_told_apart_from_hyperparameters(tmp_path: Path) -> None:
    data = manifest()["data"] | {"fingerprint": "another", "used": {"train": 400}}
    changes = {"data": data, "versions": {"ray": "3.0"}, "commit": "123456"}
    one, other = both(tmp_path, right={AGE[0]: 0.8, AGE[2]: 0.8}, seeds=2, manifest=changes)
    assert compare.hyperparameters(one, other) == []
    assert compare.trials(one, other) == [
        ("networks that the other lacks", AGE[1], AGE[2]),
        ("seeds that the other lacks", "–", "1"),
    ]
    assert ("fingerprint", "0123456789abcdef", "another") in compare.data(one, other)
    assert ("train images", "800", "400") in compare.data(one, other)
    assert compare.code(one, other) == [("commit", "abcdef", "123456"), ("ray", "2.60.0", "3.0")]


def test_a_difference_beyond_noise_is_told_with_its_direction(tmp_path: Path) -> None:
    right = {AGE[0]: 0.8, AGE[1]: 0.85}
    one = read(record(tmp_path / "a", right, seeds=3))
    other = read(record(tmp_path / "b", right | {AGE[1]: 0.90}, seeds=3, draw=1))
    found = compare.differences(one, other).set_index("network")
    assert found["paired"].all()
    low, high = found.loc[AGE[1], ["low", "high"]]
    assert 0 < low < 0.05 < high
    assert found["verdict"].to_dict() == {AGE[0]: "undecided", AGE[1]: "B ahead"}
    told = compare.verdict(found.reset_index())
    assert told.startswith(f"B ahead: {AGE[1]}; undecided: {AGE[0]}. Ahead or behind: the interval leaves out 0.")
    assert "they are paired over the same test images, over seeds" in told


def test_one_seed_gives_no_verdict(tmp_path: Path) -> None:
    one, other = both(tmp_path, right={AGE[0]: 0.8, AGE[1]: 0.90}, draw=1)
    found = compare.differences(one, other).set_index("network")
    assert found.loc[AGE[1], "low"] > 0
    assert found["verdict"].tolist() == ["", ""]
    assert "say nothing of other seeds" in compare.verdict(found.reset_index())
    several = read(record(tmp_path / "c", {AGE[0]: 0.5}, seeds=4))
    row = compare.differences(one, several).iloc[0]  # one seed beside several
    assert (row["verdict"], row["n_a"], row["n_b"]) == ("", 1, 1)
    of_seed = several.trials.set_index("seed")["test_accuracy"][0]
    assert row["b"] == of_seed != several.trials["test_accuracy"].max()
    assert row["difference"] == pytest.approx(row["b"] - row["a"])


def test_other_test_images_are_compared_unpaired(tmp_path: Path) -> None:
    changes = {"data": manifest()["data"] | {"source": "another.zip"}}
    one, other = both(tmp_path, right={AGE[0]: 0.9}, manifest=changes)
    found = compare.differences(one, other)
    assert not found["paired"].any()
    assert found["low"].item() > 0
    assert "over different test images" in compare.verdict(found)


def name_images(folder: Folder, order: np.ndarray) -> None:
    """Put the test images of a record in this order, and write down their paths."""
    images = {"split": ["test"] * IMAGES, "row": np.arange(IMAGES), "path": [f"test/{place}.jpg" for place in order]}
    nothing = {"object_class": [None] * IMAGES, "duplicate": pa.nulls(IMAGES, pa.string())}
    folder.write_table("images.parquet", pa.table(images | nothing))
    for name in folder.folder("scores").names():
        scores = folder.read_table(f"scores/{name}", SCORES).to_pandas()
        moved = scores.assign(**{column: scores[column].to_numpy()[order] for column in ("label", "score")})
        folder.write_table(f"scores/{name}", pa.Table.from_pandas(moved, preserve_index=False))


def test_the_same_images_in_another_order_are_paired_by_their_paths(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        name_images(record(tmp_path / name, {AGE[0]: 0.8}), np.random.default_rng(seed).permutation(IMAGES))
    found = compare.differences(*(read(Folder(str(tmp_path / name))) for name in ("a", "b"))).iloc[0]
    assert found["paired"]
    assert found["difference"] == 0


def test_other_images_of_the_same_source_are_compared_unpaired(tmp_path: Path) -> None:
    for start, name in enumerate(("a", "b")):
        folder = record(tmp_path / name, {AGE[0]: 0.8})
        name_images(folder, np.arange(IMAGES))
        images = folder.read_table("images.parquet", SCHEMAS["images.parquet"]).to_pandas()
        images["path"] = [f"test/{start + place}.jpg" for place in range(IMAGES)]
        folder.write_table("images.parquet", pa.Table.from_pandas(images))
    found = compare.differences(*(read(Folder(str(tmp_path / name))) for name in ("a", "b")))
    assert not found["paired"].any()


def test_the_command_prints_what_changed_and_what_differs(tmp_path: Path) -> None:
    right = {AGE[0]: 0.8, AGE[1]: 0.85}
    for name, rate in (("a", 1e-3), ("b", 1e-2)):
        record(tmp_path / name, right, learning_rate=rate)
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert done.exit_code == 0, done.output
    assert re.search(r"learning_rate\s+0.001\s+0.01", done.output)
    assert "Data: the same in both." in done.output
    assert "batch_size" not in done.output


def test_records_without_a_common_network_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for name, network in (("a", AGE[0]), ("b", AGE[1])):
        write(tmp_path / name, [(Recipe(network), "finished", {})])
    done = run("compare", str(tmp_path / "a" / "age"), str(tmp_path / "b" / "age"))
    assert done.returncode == 2
    assert "no network in common" in done.stderr
