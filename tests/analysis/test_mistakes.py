"""The mistakes that at least half of the networks make, by construction: in tables, in figures and on a sheet."""

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from analysis import __main__ as command
from analysis.detector.pictures import PICTURES, keep_pictures, kept_pictures
from analysis.figures import classes, mistakes
from analysis.pages.tables import files
from analysis.results.decisions import calibrated, calibration
from analysis.results.judged import findings
from analysis.results.trials import read
from data_prep import InputError, shards
from data_prep.copies import SHEET
from data_prep.job import prepare
from data_prep.storage import Folder
from support.records import AGE, LABELS, TEST, VALIDATION, manifest
from support.trees import make_tree
from sweeps.record.writer import Record
from sweeps.stats.intervals import wilson
from trainables import Recipe
from trainables.record import SCORES

A, B, C = AGE[:3]
Wrong = dict[tuple[str, int], list[int]]
#: Network and seed → the test images that it gets wrong. Even rows are REAL.
THREE: Wrong = {(A, 0): [0, 1, 2], (B, 0): [0, 1, 3], (C, 0): [1, 8]}


@pytest.fixture
def wrong_about(make: Callable[..., Folder]) -> Callable[..., Folder]:
    """Make a record of networks that are wrong about these test images, and the less sure the higher the row."""

    def record_of(wrong: Wrong, **changes: object) -> Folder:
        folder = make([(Recipe(name, seed=seed), "finished", {}) for name, seed in wrong], **changes)
        record = Record(folder, "data")
        for (name, seed), rows in wrong.items():
            file = f"scores/{record.identity(Recipe(name, seed=seed))}.parquet"
            table = folder.read_table(file, SCORES).to_pandas()
            table["score"] = (2.0 * table["label"] - 1) * np.linspace(3, 1, len(table))
            places = np.flatnonzero((table["split"] == "test") & table["row"].isin(rows))
            table.loc[places, "score"] *= -1
            table = table.astype({"score": np.float32, "row": np.int32})
            folder.write_table(file, pa.Table.from_pandas(table, preserve_index=False))
        return folder

    return record_of


def with_images(folder: Folder, **columns: list[str | None]) -> Folder:
    """Say of each test image what it shows, or who made it."""
    split, rows = ["validation"] * VALIDATION + ["test"] * TEST, [*range(VALIDATION), *range(TEST)]
    known = {"split": split, "row": rows, "path": [f"{row}.jpg" for row in rows]}
    said = {name: [None] * VALIDATION + values for name, values in columns.items()}
    folder.write_table("images.parquet", pa.table({**known, **said, "label": np.resize(LABELS, VALIDATION + TEST)}))
    return folder


def test_the_table_has_what_at_least_half_get_wrong_most_first(wrong_about: Callable[..., Folder]) -> None:
    folder = wrong_about(THREE)
    with_images(folder, duplicate=["near", "exact", *[None] * (TEST - 2)], generator=[None, "sd", *[None] * (TEST - 2)])
    results = read(folder)
    written = files(results, findings(results))
    table = pd.read_csv(io.BytesIO(written["mistakes.csv"]), keep_default_na=False)
    assert table["row"].tolist() == [1, 0]
    assert table["networks_wrong"].tolist() == [3, 2]
    assert set(table["networks"]) == {3}
    assert table[["path", "label", "generator", "duplicate"]].to_numpy().tolist() == [
        ["1.jpg", 1, "sd", "exact"],
        ["0.jpg", 0, "", "near"],
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(written["mistakes.parquet"])), findings(results).mistakes)


def test_two_networks_that_disagree_are_half_wrong(wrong_about: Callable[..., Folder]) -> None:
    found = findings(read(wrong_about({(A, 0): [4], (B, 0): [5, 6]})))
    assert sorted(found.mistakes["row"]) == [4, 5, 6]
    assert found.mistakes["networks_wrong"].tolist() == [1, 1, 1]


def test_seeds_of_a_network_count_once_and_by_their_majority(wrong_about: Callable[..., Folder]) -> None:
    wrong = {(A, 0): [0, 1], (A, 1): [0], (A, 2): [], (B, 0): [7], (B, 1): []}
    table = findings(read(wrong_about(wrong))).mistakes
    assert table["row"].tolist() == [0]  # two of three seeds; not one of three, nor one of two
    assert table[["networks_wrong", "networks"]].to_numpy().tolist() == [[1, 2]]


def test_the_probability_is_the_mean_over_networks_of_the_mean_over_seeds(wrong_about: Callable[..., Folder]) -> None:
    results = read(wrong_about({(A, 0): [0], (A, 1): [0], (B, 0): [0]}))
    networks = results.trials.set_index("trial")["network"]
    of_trials = pd.Series(
        {
            trial: calibrated(
                results.scores.of(trial, "test")[1][:1], *calibration(*results.scores.of(trial, "validation"))
            )[0]
            for trial in results.scores.trials
        }
    )
    expected = of_trials.groupby(networks).mean().mean()
    assert findings(results).mistakes["probability"].tolist() == [pytest.approx(expected)]
    assert expected > 0.5  # a REAL image


def test_of_images_that_as_many_get_wrong_the_surest_come_first(wrong_about: Callable[..., Folder]) -> None:
    rows = [11, 10, 300, 41, 20]
    table = findings(read(wrong_about({(A, 0): rows, (B, 0): rows}))).mistakes
    assert table["row"].tolist() == sorted(rows)
    distance = (table["probability"] - table["label"]).abs()
    assert distance.is_monotonic_decreasing


def test_by_class_and_generator_the_majority_stands_beside_the_first(wrong_about: Callable[..., Folder]) -> None:
    folder = wrong_about(THREE)
    with_images(
        folder,
        object_class=["cat"] * 40 + ["dog"] * (TEST - 40),
        generator=[None if row % 2 == 0 else "sd" if row < 10 else "gan" for row in range(TEST)],
    )
    results = read(folder)
    found = findings(results)
    majority = found.classes[found.classes["configuration"] == "majority of 3 networks"]
    cat, dog = (majority.set_index("object_class").loc[name] for name in ("cat", "dog"))
    assert (cat["recall_real"], cat["recall_fake"]) == (19 / 20, 19 / 20)  # rows 0 and 1
    assert (cat["recall_real_low"], cat["recall_real_high"]) == wilson(19 / 20, 20)
    assert (dog["images"], dog["accuracy"]) == (TEST - 40, 1)
    made = majority[majority["generator"] != ""].set_index("generator")
    assert made["images"].to_dict() == {"gan": TEST / 2 - 5, "sd": 5}
    assert made.loc["sd", "recall_fake"] == 4 / 5
    assert made["recall_real"].isna().all()
    drawing = classes.draw(results, found)
    assert drawing
    assert drawing.title == "Mistakes by object class and generator"
    axes = drawing.figure.axes
    assert [panel.get_title(loc="left") for panel in axes] == [C, "majority of 3 networks"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["cat", "dog", "sd", "gan"]
    of_fake = np.asarray(axes[1].lines[1].get_xdata())
    assert of_fake == pytest.approx([1 / 20, 0, 1 / 5, 0])


def test_generators_without_classes_stand_alone(wrong_about: Callable[..., Folder]) -> None:
    folder = with_images(wrong_about(THREE), generator=[None, "sd"] * (TEST // 2))
    results = read(folder)
    drawing = classes.draw(results, findings(results))
    assert drawing
    assert drawing.title == "Mistakes by generator"
    assert f"n = {TEST // 2} FAKE images a row" in drawing.figure.get_supxlabel().replace("\n", " ").replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_one_trial_has_mistakes_of_its_own_and_no_majority(wrong_about: Callable[..., Folder]) -> None:
    folder = with_images(wrong_about({(A, 0): [2, 3]}), object_class=["cat"] * TEST)
    results = read(folder)
    found = findings(results)
    assert sorted(found.mistakes["row"]) == [2, 3]
    assert set(found.classes["configuration"]) == {A}
    words = mistakes.words(results, found)
    assert words.startswith("The network is wrong on 2 of 400 test images, 1 of 200 REAL and 1 of 200 FAKE ones.")


def test_without_mistakes_or_ranked_trials_nothing_is_said(
    wrong_about: Callable[..., Folder], make: Callable[..., Folder]
) -> None:
    for folder in (wrong_about({(A, 0): [], (B, 0): []}), make([(Recipe(C), "failed", {"reason": "no"})])):
        results = read(folder)
        found = findings(results)
        assert mistakes.words(results, found) == ""
        assert files(results, found)["mistakes.csv"] is None


# ── the sheet ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Shards of 400 test images."""
    place = tmp_path_factory.mktemp("prepared")
    prepare(str(make_tree(place / "tree", images=200)), str(place / "shards"), near_copies=False)
    return Folder(str(place / "shards"))


@pytest.fixture
def of_shards(wrong_about: Callable[..., Folder], prepared: Folder) -> Folder:
    """A record of three networks that was made with the shards, which stand where it says."""
    fingerprint = shards.read_manifest(prepared).fingerprint
    data = manifest()["data"] | {"shards": str(prepared), "fingerprint": fingerprint}
    return wrong_about(THREE, data=data)


def report(folder: Folder, *options: str) -> str:
    command.main.main([str(folder), *options], standalone_mode=False)
    return folder.read_bytes("report.html").decode().replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.slow
def test_without_being_told_where_the_shards_are_a_report_says_how_to_see_them(
    of_shards: Folder, prepared: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "read_manifest", None)  # which would be called before any shard is read
    html = report(of_shards)
    assert "At least half of the 3 networks are wrong on 2 of 400 test images, 1 of 200 REAL and 1 of 200 FAKE" in html
    assert "all 3 are on 1. Of the 2, 0 have copies" in html
    assert f"--data {prepared}" in re.sub("<.*?>", "", html)
    assert not of_shards.folder("figures").exists("mistakes.png")


@pytest.mark.slow
def test_the_sheet_has_the_images_of_the_shards_and_stays(of_shards: Folder, prepared: Folder) -> None:
    html = report(of_shards, "--data", str(prepared))
    assert "Contact sheet of 2 test images: #0, REAL called FAKE, 2 of 3 wrong, P(FAKE) " in html
    assert "into which a report looks only where it is told to" not in html
    results = read(of_shards)
    images = np.concatenate([shards.images_of(table) for table in shards.read_tables(prepared, "test")])
    kept = kept_pictures(of_shards, results)
    assert set(kept) == {0, 1}
    assert all((kept[row] == images[row]).all() for row in kept)
    drawing = mistakes.draw(results, findings(results), kept)
    assert drawing
    drawn = [axes.images[0].get_array() for axes in drawing.figure.subfigs[0].axes if axes.images]
    assert len(drawn) == 1
    assert (np.asarray(drawn[0]) == images[0]).all()
    assert [of_label.get_suptitle() for of_label in drawing.figure.subfigs] == [
        "REAL called FAKE by most networks: 1 of 1",
        "FAKE called REAL by most networks: 1 of 1",
    ]
    moved = Folder(str(shutil.move(of_shards.local_path(), of_shards.local_path("../elsewhere"))))
    again = mistakes.draw(read(moved), findings(read(moved)), kept_pictures(moved, read(moved)))
    assert again
    assert again.alt.startswith("Contact sheet of 2 test images")


def test_other_shards_are_refused_and_a_damaged_file_counts_as_none(
    of_shards: Folder, prepared: Folder, tmp_path: Path
) -> None:
    prepare(str(make_tree(tmp_path / "tree", seed=1)), str(tmp_path / "other"))
    with pytest.raises(InputError, match="has other images than those of this record"):
        report(of_shards, "--data", str(tmp_path / "other"))
    results = read(of_shards)
    assert kept_pictures(of_shards, results) == {}
    keep_pictures(of_shards, results, [0, 1], prepared)
    kept = kept_pictures(of_shards, results)
    assert mistakes.draw(results, findings(results), kept)
    assert mistakes.draw(results, findings(results), {0: kept[0]}) is None  # for a sheet shows what it says it shows
    of_shards.write_table(PICTURES, pa.table({"image": ["a", "b"], "row": [0, 1]}))
    assert kept_pictures(of_shards, results) == {}
    of_shards.write_bytes(PICTURES, b"no Parquet")
    assert kept_pictures(of_shards, results) == {}


def test_without_mistakes_the_shards_have_nothing_to_show(wrong_about: Callable[..., Folder], prepared: Folder) -> None:
    data = manifest()["data"] | {"fingerprint": shards.read_manifest(prepared).fingerprint}
    folder = wrong_about({(A, 0): []}, data=data)
    assert "Mistakes of most networks" not in report(folder, "--data", str(prepared))
    assert not folder.exists("figures/mistakes.png")
    before = folder.local_path("report.html").stat().st_mtime_ns
    report(folder, "--data", str(prepared))
    assert folder.local_path("report.html").stat().st_mtime_ns == before, "nothing has changed"


def test_many_mistakes_are_twelve_of_each_label(wrong_about: Callable[..., Folder]) -> None:
    found = findings(read(wrong_about({(A, 0): [*range(0, 100, 2), 1, 3]})))
    assert mistakes.shown(found)["row"].tolist() == [*range(0, 24, 2), 1, 3]


@pytest.mark.slow
def test_the_sheet_of_near_copies_stands_by_the_audit(
    make: Callable[..., Folder], analysed: tuple[Folder, str]
) -> None:
    assert "Near-copies" not in analysed[1]
    folder = make([(Recipe(A), "finished", {})])
    folder.write_bytes(SHEET, b"a PNG")
    html = report(folder)
    assert html.index("Audit of the data") < html.index("<h2>Near-copies</h2>") < html.index("YSBQTkc=")
