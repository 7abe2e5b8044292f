"""`python -m analysis robustness`: a real record's networks on spoilt images, killed and gone on."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.detector import corruptions
from analysis.detector.corruptions import CORRUPTIONS, settings, settings_in_order
from analysis.detector.robustness_table import SCHEMA, add, data_sets, robustness_table
from analysis.figures.drawings import figures
from analysis.figures.robustness import draw
from analysis.figures.robustness_summary import paragraphs
from analysis.results.judged import findings
from analysis.results.trials import read
from data_prep.storage import Folder
from support.commands import ROOT, Command, refused, run_python, wait_until
from support.sweeps import is_alive, processes_below
from support.trees import make_tree
from sweeps.stats.intervals import wilson
from trainables.training.metrics import best_threshold

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("devices")]

NETWORKS = ["age-c2-f1", "age-c3-f1"]
LESS = ("--limit", "40")


# ── a real record ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards of a tree of JPEGs, a record of two networks, and the robustness of the better one."""
    folder = tmp_path_factory.mktemp("robustness")
    make_tree(folder / "tree", images=200)
    for copied in range(5):  # test images that also stand in train
        shutil.copy(folder / f"tree/train/FAKE/{copied:04d}.jpg", folder / f"tree/test/FAKE/copy-{copied}.jpg")
    for words in (
        ("-m", "data_prep", "--source", "tree", "--out", "shards/tree"),
        (ROOT / "sweeps/zoo.py", "--data", "shards/tree", "--models", ",".join(NETWORKS), "--epochs", "2"),
    ):
        done = run_python(*words, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    (folder / "first.txt").write_text(robust(run_python, folder))
    return folder


def robust(command: Command, folder: Path, *words: str) -> str:
    done = command("-m", "analysis", "robustness", "results/zoo", *words, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def copy_of(place: Path, folder: Path) -> Path:
    """The record and its shards without any robustness, in a folder of its own."""
    for name in ("results", "shards"):
        shutil.copytree(place / name, folder / name)
    (folder / "results/zoo/robustness.parquet").unlink(missing_ok=True)
    return folder / "results/zoo"


def best(record: Path) -> str:
    return str(read(Folder(str(record))).ranked.iloc[0]["trial"])


def test_the_best_network_meets_every_setting_on_both_parts(place: Path) -> None:
    table = pd.read_parquet(place / "results/zoo/robustness.parquet")
    assert list(table.columns) == SCHEMA.names
    assert set(table["trial"]) == {best(place / "results/zoo")}
    for part, count in (("test", 405), ("test_clean", 400)):
        rows = table[table["part"] == part]
        assert set(zip(rows["corruption"], rows["severity"], strict=True)) == set(settings(32))
        assert len(rows) == 28
        assert (rows["images"] == count).all()
    assert (table["data"] == "own").all()
    assert table["auc"].between(table["auc_low"], table["auc_high"]).all()


def test_the_clean_row_is_what_the_record_says(place: Path) -> None:
    record = place / "results/zoo"
    row = pd.read_parquet(record / "robustness.parquet").query("corruption == 'clean' and part == 'test'").iloc[0]
    scores = pd.read_parquet(record / f"scores/{row['trial']}.parquet").groupby("split")
    validation, test = (scores.get_group(split) for split in ("validation", "test"))
    threshold = best_threshold(validation["label"].to_numpy(), validation["score"].to_numpy())
    assert row["threshold"] == threshold
    assert row["accuracy"] == ((test["score"] > threshold) == (test["label"] == 1)).mean()
    assert (row["accuracy_low"], row["accuracy_high"]) == wilson(row["accuracy"], 405)
    trials = pd.read_parquet(record / "trials.parquet").set_index("trial")
    assert row["auc"] == pytest.approx(trials.loc[row["trial"], "test_auc"], abs=1e-12)


def test_a_spoilt_row_is_what_the_network_says_of_spoilt_images(place: Path) -> None:
    from analysis.detector.scored_images import images_to_score
    from analysis.detector.stored import stored
    from trainables.training.pipeline import scorer

    record = place / "results/zoo"
    one = stored(str(record))
    images = images_to_score(one.results, Folder(str(place / "shards/tree")))
    spoilt = corruptions.noise(images.images, 32, images.rows)
    logits = scorer(one.network)(spoilt, 128)
    table = pd.read_parquet(record / "robustness.parquet").query("corruption == 'noise' and severity == 32")
    row = table[table["part"] == "test"].iloc[0]
    right = (logits > row["threshold"]) == (images.labels == 1)
    assert abs(row["accuracy"] - right.mean()) <= 1 / 405
    assert abs(row["recall_fake"] - right[images.labels == 1].mean()) <= 1 / 205
    assert row["chance"] == max(images.labels.mean(), 1 - images.labels.mean())


def test_jpeg_is_named_a_second_compression_everywhere(place: Path) -> None:
    told = "second compression: the images were JPEG quality 75 4:2:0 before"
    results, table = read(Folder(str(place / "results/zoo"))), robustness_table(Folder(str(place / "results/zoo")))
    assert set(table.loc[table["corruption"] == "jpeg", "note"]) == {told}
    assert set(table.loc[table["corruption"] != "jpeg", "note"]) == {""}
    assert told in " ".join(paragraphs(results, table))
    drawing = draw(results, table)
    assert drawing
    figure = drawing.figure
    assert told in " ".join(figure.get_supxlabel().split())
    assert [axes.get_title("right") for axes in figure.axes].count("second compression") == 1


def test_it_tells_how_it_gets_on_and_where_things_are(place: Path) -> None:
    output = (place / "first.txt").read_text()
    assert "28/28" in output
    assert "AUC" in output
    for name in ("robustness.parquet", "figures/robustness.png", "figures/robustness.svg"):
        assert name in output
        assert (place / "results/zoo" / name).stat().st_size > 1_000


def test_the_same_again_scores_nothing_and_another_trial_is_added(
    place: Path, tmp_path: Path, command_here: Command
) -> None:
    record = copy_of(place, tmp_path)
    shutil.copy(place / "results/zoo/robustness.parquet", record)
    before = pd.read_parquet(record / "robustness.parquet")
    assert "scored already" in robust(command_here, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(record / "robustness.parquet"), before)
    assert "28 settings x 1 networks" in robust(command_here, tmp_path, "--trials", ",".join(NETWORKS))
    after = pd.read_parquet(record / "robustness.parquet")
    assert set(after["network"]) == set(NETWORKS)
    kept = after[after["trial"] == before["trial"].iloc[0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before, check_exact=True)


def test_what_was_killed_goes_on(place: Path, tmp_path: Path, command_here: Command) -> None:
    record = copy_of(place, tmp_path)
    words = [sys.executable, "-m", "analysis", "robustness", "results/zoo"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.strip().startswith("4/28"):
            break
    children = processes_below(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = len(pd.read_parquet(record / "robustness.parquet")) // 2
    assert 4 <= done < 28
    wait_until(lambda: not any(map(is_alive, children)), 30)  # Ray's own notice that their driver is gone
    assert f"{28 - done} settings x 1 networks" in robust(command_here, tmp_path)
    expected = pd.read_parquet(place / "results/zoo/robustness.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(record / "robustness.parquet"), expected, check_exact=True)


def test_where_nothing_costs_accuracy_nothing_is_said_to(place: Path) -> None:
    """As with a network that is no better than chance."""
    results, table = read(Folder(str(place / "results/zoo"))), robustness_table(Folder(str(place / "results/zoo")))
    is_clean = table["corruption"] == "clean"
    told = paragraphs(results, table.assign(accuracy=np.where(is_clean, 0.48, 0.5), auc=0.5))[0]
    assert "is right on 48.00" in told.replace("\N{NO-BREAK SPACE}", " ")
    assert "costs most" not in told
    assert "falls to" not in told


@pytest.mark.parametrize(("scored", "is_drawn"), [("corruption == 'clean'", False), ("severity in (0, 10)", True)])
def test_what_was_stopped_early_is_told_as_far_as_it_goes(scored: str, is_drawn: bool, place: Path) -> None:
    results, table = read(Folder(str(place / "results/zoo"))), robustness_table(Folder(str(place / "results/zoo")))
    part = table.query(scored)
    assert "is right on" in paragraphs(results, part)[0]
    assert "mildest" not in paragraphs(results, part)[0]
    assert bool(figures(results, findings(results), part)["robustness"]) == is_drawn


def test_other_shards_stand_beside_the_records_own_with_a_warning(
    place: Path, tmp_path: Path, command_here: Command
) -> None:
    record = copy_of(place, tmp_path)
    shutil.copy(place / "results/zoo/robustness.parquet", record)
    make_tree(tmp_path / "other", images=30, seed=1)
    for path in sorted((tmp_path / "other").rglob("*.jpg")):
        Image.open(path).resize((64, 64)).save(path.with_suffix(".png"))
        path.unlink()
    seen = place / "tree/train/REAL/0000.jpg"  # which the network was trained on, or chosen by
    shutil.copy(seen, tmp_path / "other/test/REAL/seen.jpg")
    mirrored = Image.open(seen).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(tmp_path / "other/test/REAL/mirrored.png")
    words = ("--source", "other", "--out", "shards/other", "--image-size", "64")
    assert run_python("-m", "data_prep", *words, cwd=tmp_path).returncode == 0
    output = robust(command_here, tmp_path, "--data", "shards/other")
    assert "64 x 64 pixels, and are resampled to 32 x 32" in output
    assert "those of training JPEG quality 75 4:2:0" in output
    table = pd.read_parquet(record / "robustness.parquet")
    assert set(table["data"]) == {"own", str(tmp_path / "shards/other")}
    other = table[table["data"] != "own"]
    assert set(other.loc[other["part"] == "test", "images"]) == {62}
    assert set(other.loc[other["part"] == "test_clean", "images"]) == {60}
    assert other["note"].str.contains("resampled to 32 x 32").all()
    first, second = paragraphs(read(Folder(str(record))), table)
    assert "the record's test images" in first
    assert str(tmp_path / "shards/other") in second
    assert "Beware" in second


def test_few_images_are_as_many_of_each_label_and_no_part_of_the_whole(
    place: Path, tmp_path: Path, command_here: Command
) -> None:
    record = copy_of(place, tmp_path)
    shutil.copy(place / "results/zoo/robustness.parquet", record)
    robust(command_here, tmp_path, *LESS)
    table = robustness_table(Folder(str(record)))
    few = table[table["limit"] == 40]
    assert set(few.loc[few["part"] == "test", "images"]) == {40}
    clean = few[(few["corruption"] == "clean") & (few["part"] == "test")].iloc[0]
    assert clean["accuracy"] == pytest.approx((clean["recall_real"] + clean["recall_fake"]) / 2)
    assert len(table) == len(few) + 56
    (shown,) = data_sets(table)
    assert set(shown["limit"]) == {0}


# ── what is drawn and told ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_lines_are_the_table(place: Path) -> None:
    results, table = read(Folder(str(place / "results/zoo"))), robustness_table(Folder(str(place / "results/zoo")))
    drawing = draw(results, table)
    assert drawing
    lines = {line.get_gid(): line for axes in drawing.figure.axes for line in axes.lines if line.get_gid()}
    trial = best(place / "results/zoo")
    assert set(lines) == {f"{trial}:{name}:{metric}" for name in CORRUPTIONS for metric in ("accuracy", "auc")}
    of_test = table[table["part"] == "test"].set_index(["corruption", "severity"])
    for name in CORRUPTIONS:
        drawn = list(lines[f"{trial}:{name}:auc"].get_ydata())
        assert drawn == [of_test.loc[setting, "auc"] for setting in settings_in_order(name, 32)]


def made(study_of: Path, accuracies: dict[tuple[str, float], tuple[float, float]]) -> pd.DataFrame:
    """A table of the best trial, of a thousand images, by setting: accuracy and AUC."""
    table = robustness_table(Folder(str(study_of)))
    rows = [
        table.query(f"corruption == '{name}' and severity == {severity} and part == 'test'").iloc[0].to_dict()
        | {"accuracy": accuracy, "auc": auc, "accuracy_low": accuracy - 0.02, "recall_real": 0.99, "recall_fake": 0.4}
        for (name, severity), (accuracy, auc) in accuracies.items()
    ]
    return pd.DataFrame(rows)


def test_the_words_say_what_falls_first_and_what_blur_does(place: Path) -> None:
    record = place / "results/zoo"
    table = made(
        record,
        {
            ("clean", 0): (0.9, 0.95),
            ("jpeg", 90): (0.89, 0.95),
            ("blur", 0.3): (0.7, 0.94),
            ("blur", 0.5): (0.6, 0.86),
            ("noise", 2): (0.8, 0.9),
            ("noise", 32): (0.55, 0.6),
        },
    )
    (told,) = paragraphs(read(Folder(str(record))), table.assign(chance=0.5))
    assert "Gaussian blur of σ 0.3 pixels costs most (20.0 points)" in told
    assert "the worst of all is Gaussian noise of σ 32 (of 255), which leaves 55.0 % (35.0 points less)" in told
    assert "No worse than the interval of the clean images: JPEG of quality 90." in told
    assert (
        "Under Gaussian blur of σ 0.5 pixels accuracy falls to 60.0 % and AUC to 0.860: they keep 25 % and 80 %" in told
    )
    assert "60 % of the FAKE are called REAL" in told
    (told,) = paragraphs(read(Folder(str(record))), table.assign(chance=0.8))
    assert "they keep 0 % and 80 % of their lead over chance" in told
    for chance in (0.95, np.nan):  # more than the network reaches, and in a table of an earlier version
        (told,) = paragraphs(read(Folder(str(record))), table.assign(chance=chance))
        assert "over chance" not in told


def test_a_record_without_robustness_has_nothing_to_tell(place: Path, tmp_path: Path) -> None:
    record = Folder(str(copy_of(place, tmp_path)))
    table = robustness_table(record)
    assert len(table) == 0
    assert list(table.columns) == SCHEMA.names
    assert paragraphs(read(record), table) == []


def test_twelve_trials_have_five_colours(place: Path) -> None:
    results, table = read(Folder(str(place / "results/zoo"))), robustness_table(Folder(str(place / "results/zoo")))
    trials = [f"trial-{number}" for number in range(12)]
    many = pd.concat(
        [results.ranked.head(1).assign(trial=trial, rank=number + 1) for number, trial in enumerate(trials)]
    )
    object.__setattr__(results, "trials", many.reset_index(drop=True))
    drawing = draw(results, pd.concat([table.assign(trial=trial) for trial in trials]))
    assert drawing
    figure = drawing.figure
    lines = [line for line in figure.axes[0].lines if line.get_gid()]
    assert len(lines) == 12
    assert len({line.get_color() for line in lines}) == 6
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "7 others, worse on validation"


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def refusal(command: Command, folder: Path, *words: str) -> str:
    return refused(command("-m", "analysis", "robustness", "results/zoo", *words, cwd=folder))


def test_shards_that_are_gone_are_asked_for(place: Path, tmp_path: Path, command_here: Command) -> None:
    copy_of(place, tmp_path)
    (tmp_path / "results/zoo/manifest.json").write_text(
        (tmp_path / "results/zoo/manifest.json").read_text().replace(str(place), str(tmp_path))
    )
    (tmp_path / "shards/tree").rename(tmp_path / "shards/moved")
    assert "--data" in refusal(command_here, tmp_path)
    assert "28 settings" in robust(command_here, tmp_path, "--data", "shards/moved", *LESS)
    assert set(robustness_table(Folder(str(tmp_path / "results/zoo")))["data"]) == {"own"}


def test_bad_input_is_refused_in_one_sentence(place: Path, tmp_path: Path, command_here: Command) -> None:
    record = copy_of(place, tmp_path)
    assert "the nearest is 'age-c2-f1'" in refusal(command_here, tmp_path, "--trials", "age-c2-f2")
    assert "is empty or does not exist" in refusal(command_here, tmp_path, "--data", "nowhere")
    (record / "robustness.parquet").write_bytes(b"no table")
    assert "delete it" in refusal(command_here, tmp_path)
    (record / "robustness.parquet").unlink()
    for path in record.glob("checkpoints/*/best.keras"):
        path.write_bytes(b"no network")
    assert "best.keras" in refusal(command_here, tmp_path, *LESS)
    assert not (record / "robustness.parquet").exists()


def test_a_network_that_is_not_the_one_that_was_judged_is_refused(
    place: Path, tmp_path: Path, command_here: Command
) -> None:
    record = copy_of(place, tmp_path)
    trial = best(record)
    scores = pd.read_parquet(record / f"scores/{trial}.parquet")
    scores["score"] = scores["score"].to_numpy() * np.where(np.arange(len(scores)) % 10, 1, -1).astype(np.float32)
    scores.to_parquet(record / f"scores/{trial}.parquet")
    assert "disagrees with the record on 10% of the test images" in refusal(command_here, tmp_path)


def test_rows_are_replaced_and_not_doubled(place: Path, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    rows = robustness_table(Folder(str(place / "results/zoo"))).head(3).to_dict("records")
    add(folder, rows)
    add(folder, [rows[0] | {"accuracy": 0.25}])
    assert robustness_table(folder)["accuracy"].tolist() == [0.25, *[row["accuracy"] for row in rows[1:]]]
