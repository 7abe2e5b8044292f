"""The shape of the house: imports go one way and in no circle, files are plain nouns, and nothing grows without notice.

What counts as a walk: the files that a value passes through, by the names that carry it there. Identifiers, attributes,
arguments and words in strings count (docstrings too: a rename touches them); tests never count, and sweep files, which
stand directly in sweeps/, only where the walk says so. The numbers at commit 5f58b5b stand beside each limit.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.code import (
    PACKAGES,
    carries,
    circle,
    files,
    functions,
    hands_on,
    import_graph,
    imported,
    imported_packages,
    lines_of,
    reached,
    statements,
    walk,
)
from support.commands import ROOT

FILES = files()
SWEEP_FILES = set((ROOT / "sweeps").glob("*.py"))
PIPELINES = sorted((ROOT / "trainables" / "training" / "pipeline").glob("*.py"))
#: What each room of analysis may import from the other rooms; commands, which stand at the top, may import all.
ROOMS = {
    "results": set(),
    "detector": {"results"},
    "figures": {"results", "detector"},
    "pages": {"results", "detector", "figures"},
}
#: What an image can pass on its way to a contact sheet of the report.
ON_THE_WAY = reached("data_prep/__main__.py", "analysis/explain.py")

# 7,737 were 10 % fewer than the 8,658 of 5f58b5b, without the 61 of the simulator of searches. Instant answers, sweeps
# from Python, reports that begin with their answer and the page of all sweeps took 460 more; verdicts over images and
# seeds, looks, and the luck of the winner 380; training sets crossed with seeds 165, and what readers of the report
# misread 65; near-copies 135, collapse by tests 55, measured probabilities, a forest plot, mean curves 140; each figure
# at a journal's two widths, with its data, names at its lines and bands 130; the mistakes that most networks make 190,
# near-copies of other shards 25; an epoch as one program, on both backends, 95; GPUs made right 240,
# and trials on them by what JAX states 65; images that go to their places as they are read 40, and everything else that
# grows with images and trials 126; what a stranger found on the way to a GPU 55; tables, names and places that nobody
# vouches for 493, and more that a stranger found in them 73; backends, and a user's settings of Keras, 20; how commands
# end, and what outlives helpers, Ray, readers, disks, memory and forked processes that go, 347; what the names in other
# data sets mean 398, archives of images 168, and lists of them 319.
MOST_STATEMENTS = 11_944
LONGEST_FUNCTION, SHORTEST_MEAN = 40, 8.37  # lines; the mean was 8.37 too: nothing is cut up to be short


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ── imports ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    place = PACKAGES.index(path.relative_to(ROOT).parts[0])
    assert not imported_packages(path) & set(PACKAGES[place + 1 :])


@pytest.mark.parametrize("room", ROOMS)
def test_in_analysis_imports_go_from_results_to_commands(room: str) -> None:
    paths = list((ROOT / "analysis" / room).rglob("*.py"))
    assert paths
    for path in paths:
        inner = {tuple(name.split(".")) for name in imported(path) if name.startswith("analysis.")}
        assert {words[1] for words in inner} <= ROOMS[room] | {room}, name_of(path)


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert [name_of(path) for path in circle(import_graph())] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_pipelines_import_tensorflow_or_jax(path: Path) -> None:
    assert path in PIPELINES or not imported_packages(path) & {"tensorflow", "jax"}


def test_the_pipelines_do_import_tensorflow() -> None:
    assert any("tensorflow" in imported_packages(path) for path in PIPELINES)


def modules(*folders: str, without: tuple[str, ...] = ()) -> list[str]:
    """The dotted names of all modules in these folders of the repository, but of commands and of some files."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    names = {name_of(path.parent if path.stem == "__init__" else path.with_suffix("")): path for path in paths}
    return [name.replace("/", ".") for name, path in names.items() if path.stem != "__main__" and name not in without]


def import_them(names: list[str], unwanted: set[str]) -> None:
    """Import modules in a fresh process, which afterwards has none of the unwanted packages."""
    code = f"import sys, {', '.join(names)}; found = {unwanted} & set(sys.modules); assert not found, found"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_runs_in_the_fork_server_needs_no_ray() -> None:
    """Each trial would import it anew."""
    import_them(modules("trainables", without=("trainables/worker/actor",)), {"ray"})


def test_the_driver_imports_no_tensorflow() -> None:
    """Nor Keras, which takes seconds: nothing in sweeps does, nor what it uses of trainables.

    Nor W&B, which leaves folders behind where the process is killed.
    """
    used = ["trainables.record", "trainables.training.metrics", "trainables.training.recipe", "trainables.worker.actor"]
    tunes = "ray.air.integrations.wandb"  # which Tune imports to see whether it is used
    import_them(["ray.tune", *modules("sweeps"), *used, tunes], {"tensorflow", "keras", "wandb"})


def test_what_reads_the_records_format_imports_neither_keras_nor_ray() -> None:
    import_them(["trainables.record", "trainables.training.metrics"], {"tensorflow", "keras", "ray", "sklearn"})


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_modules_are_plain_nouns() -> None:
    names = {path.stem for path in FILES} | {path.parent.name for path in FILES}
    assert [name for name in sorted(names - {"__init__", "__main__"}) if name.startswith("_")] == []


def test_no_folder_has_the_name_of_a_module_beside_it() -> None:
    assert [name_of(path) for path in FILES if path.with_suffix("").is_dir()] == []


def test_no_file_of_sweeps_hides_one_of_the_standard_library() -> None:
    """`python sweeps/age.py` puts sweeps/ first on the path."""
    assert {path.stem for path in (ROOT / "sweeps").iterdir()} & set(sys.stdlib_module_names) == set()


# ── size ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {(name_of(path), found.name): lines_of(found) for path in FILES for found in functions(path)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_functions_are_not_cut_up_to_be_short() -> None:
    lines = [lines_of(function) for path in FILES for function in functions(path)]
    assert sum(lines) / len(lines) >= SHORTEST_MEAN


def test_the_house_is_a_tenth_smaller_than_it_was() -> None:
    assert statements() <= MOST_STATEMENTS


# ── walks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_a_metric(path: Path) -> bool:
    """From the epoch that reports it to the table that ranks by it."""
    return path not in SWEEP_FILES and carries(path, {"validation_accuracy"})


def of_a_hyperparameter(path: Path) -> bool:
    """From its definition to the record; the sweep files that turn it count."""
    return carries(path, {"learning_rate"})


def of_the_limit(path: Path) -> bool:
    """`--limit` of a sweep, from the shell to the selection of images; data_prep's is another."""
    return path not in SWEEP_FILES and carries(path, {"limit"})


def of_an_image(path: Path) -> bool:
    """From the source to a contact sheet: what takes or holds pixels, of what data_prep and explain import."""
    is_handed_on = hands_on(path, {"image", "images", "pixels"}, r"ndarray|Image\b|Images\b|Pixels|bytes")
    return is_handed_on and path in ON_THE_WAY


@pytest.mark.parametrize(
    ("carrier", "packages", "most"),
    [
        (of_a_metric, PACKAGES, 8),  # 14 at 5f58b5b; 13 without docstrings
        (of_a_hyperparameter, PACKAGES, 6),  # 8
        (of_the_limit, ("trainables", "sweeps"), 4),  # 4, and 3 that carried another limit
        (of_an_image, PACKAGES, 13),  # 9, in larger files; of all files 18
    ],
    ids=["validation_accuracy", "learning_rate", "limit", "image"],
)
def test_a_walk_is_short(carrier: Callable[[Path], bool], packages: tuple[str, ...], most: int) -> None:
    passed = walk(carrier, packages)
    assert 0 < len(passed) <= most, passed  # none, if what carries it has another name now


# ── tests ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_test_file_imports_another() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        others = [name for name in imported(path) if name.startswith(("test_", "tests.", "conftest"))]
        assert others == [], name_of(path)
