"""README, docs and CONTRIBUTING: their commands run, their examples work, and their tables are the code's."""

import ast
import dataclasses
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.figures.curves import CAPTION
from data_prep.errors import ENDS
from support.code import files
from support.commands import ROOT, Command, copy_of_the_code, run_python, trained
from support.searches import run_main
from support.trees import make_tree
from sweeps.engine.options import Options
from trainables import MODELS, Recipe
from trainables.__main__ import rows
from trainables.record import EPOCHS, IMAGES, SCHEMAS, SCORES, TRIALS

PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
#: Programs that the pages call beside Python.
OTHERS = ("ray", "aws", "tensorboard", "optuna-dashboard", "pip", "pytest")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> Iterator[str]:
    """The commands of a page: its indented lines, and those within a sentence, without what is said about them."""
    prose = re.sub(r"```.*?```|``.*?``", "", text, flags=re.DOTALL)  # examples, and what a refusal says
    for line in re.findall(r"^    (\S.*)$", prose, re.MULTILINE):
        yield from re.split(r"\s{3,}", line)[0].split(" && ")
    for words in re.findall(r"`(python [^`]+)`", prose):
        yield " ".join(words.split())


COMMANDS = sorted(
    {command for text in PAGES.values() for command in commands(text) if "…" not in command and command[0] not in '{"'}
)
OURS = [command for command in COMMANDS if command.startswith("python ")]
#: Commands that take hours: of these, the sweep is made that they would run.
SWEEPS = [command for command in OURS if " sweeps/" in command and "--plan" not in command]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: shards, two records and photographs."""
    folder = tmp_path_factory.mktemp("docs")
    for name, seed in (("cifake", 0), ("other", 1)):
        prepared = run_python(
            "-m", "data_prep", "--source", "sample", "--out", f"shards/{name}", "--seed", seed, cwd=folder
        )
        assert prepared.returncode == 0, prepared.stderr
    trained(folder, "--models", "age-c4-f2,age-c2-f1", "--data", "shards/cifake", "--smoke")
    manifest = folder / "results" / "zoo" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"wall_seconds": 1.0}))  # the sweep has ended
    for place in ("results/age", "other/age", "results/slow/zoo"):
        shutil.copytree(folder / "results" / "zoo", folder / place)
    for place in ("photos", "images", "contest"):
        make_tree(folder / place, images=3)
    images = [path.relative_to(folder / "contest") for path in sorted((folder / "contest").rglob("*.jpg"))]
    rows = [f"{path},{int(path.parent.name == 'FAKE')}" for path in images]
    (folder / "contest" / "train.csv").write_text("\n".join(["file_name,label", *rows]))
    return folder


def runnable(command: str) -> list[str]:
    """A command as it can run here: on the sample instead of Kaggle and S3."""
    local = command.replace("s3://BUCKET/", "").replace("--source kaggle", "--source sample")
    words = shlex.split(local)[1:]
    if words[0].startswith("tests/"):
        words += ["--help"]
    return [str(ROOT / word) if word.startswith(("sweeps/", "tests/")) else word for word in words]


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in OURS if command not in SWEEPS])
def test_every_command_of_the_pages_runs(command: str, workplace: Path) -> None:
    done = run_python(*runnable(command), cwd=workplace)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", SWEEPS)
def test_every_sweep_of_the_pages_is_one(command: str) -> None:
    _, file, *words = shlex.split(command)
    asked = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    options = next((kind for name, kind in vars(asked).items() if re.fullmatch(r"\w+Options", name)), Options)
    sweep = run_main(getattr(asked, Path(file).stem), *words, options=options)
    assert sweep.strategy.planned > 0
    assert all(recipe.network in MODELS for recipe in sweep.strategy.representatives)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in OURS])
def test_commands_of_other_programs_exist(command: str) -> None:
    program, *words = command.split()
    assert program in OTHERS
    for extra in re.findall(r"\[([\w,]+)\]", command if program == "pip" else ""):
        assert set(extra.split(",")) <= set(EXTRAS)
    if program == "ray":
        assert words[0] in ("up", "submit", "down", "get-auth-token")
        ray = Path(sys.executable).parent / "ray"
        assert subprocess.run([ray, words[0], "--help"], capture_output=True, check=False).returncode == 0


def test_the_readme_fits_on_a_screen_and_a_half() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 110


def test_links_lead_somewhere() -> None:
    for name, text in {**PAGES, "CONTRIBUTING.md": CONTRIBUTING}.items():
        folder = ROOT if name in ("README.md", "CONTRIBUTING.md") else ROOT / "docs"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
            assert (folder / target).exists(), f"{name}: {target}"


@pytest.mark.cluster
def test_the_pandas_examples_run_as_printed(tmp_path: Path) -> None:
    done = run_python(ROOT / "sweeps" / "age.py", "--smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = run_python("-c", "\n".join(blocks(PAGES["record.md"], "python")), cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    assert "age-c4-f4" in printed.stdout


@pytest.mark.cluster
@pytest.mark.parametrize("example", blocks(PAGES["python.md"], "python"), ids=["zoo", "own"])
def test_the_python_examples_run_as_printed(example: str, tmp_path: Path) -> None:
    done = run_python("-c", example, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in ("results/rates", CAPTION)


@pytest.mark.cluster
def test_the_example_network_is_a_file_and_a_line(tmp_path: Path) -> None:
    """It gets its contracts run, and sweeps; so does the example sweep."""
    network, line, sweep, _ = blocks(CONTRIBUTING, "python")
    copy = copy_of_the_code(tmp_path, {"tiny.py": network}, line)
    contracts = run_python("-m", "pytest", "tests/trainables/test_models.py", "-k", "tiny", "-v", "-n0", **copy)
    assert contracts.returncode == 0, contracts.stdout
    assert "takes_pixels_and_gives_one_logit[tiny] PASSED" in contracts.stdout
    swept = run_python("sweeps/zoo.py", "--models", "tiny,age-c2-f1", "--smoke", **copy)
    assert swept.returncode == 0, swept.stderr
    trials = pd.read_parquet(tmp_path / "results" / "zoo" / "trials.parquet").set_index("network")
    assert trials.loc["tiny", "status"] == "finished"
    assert trials.loc["tiny", "parameters"] == 3 * 3 * 3 * 16 + 16 + 15 * 15 * 16 + 1
    (tmp_path / "sweeps" / "batches.py").write_text(sweep)
    swept = run_python("sweeps/batches.py", "--smoke", **copy)
    assert swept.returncode == 0, swept.stderr
    assert sorted(pd.read_parquet(tmp_path / "results" / "batches" / "trials.parquet")["batch_size"]) == [32, 128, 512]


@pytest.mark.slow
def test_the_example_figure_and_metric_are_in_the_report(tmp_path: Path, workplace: Path) -> None:
    copy = copy_of_the_code(tmp_path, {}, "")
    (tmp_path / "analysis" / "figures" / "seconds.py").write_text(blocks(CONTRIBUTING, "python")[3])
    for diff in blocks(CONTRIBUTING, "diff"):
        subprocess.run(["git", "apply", "--unidiff-zero", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    shutil.copytree(workplace / "results" / "zoo", tmp_path / "record")
    done = run_python("-m", "analysis", "record", **copy)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "record" / "figures" / "seconds.svg").exists()
    metrics = pd.read_csv(tmp_path / "record" / "tables" / "metrics.csv")
    assert (metrics["false_alarms"] == 1 - metrics["recall_real"]).all()
    assert (metrics["false_alarms_high"].dropna() > 0).all()


@pytest.mark.parametrize(
    "words",
    [["-m", "data_prep"], ["-m", "trainables"], ["-m", "analysis"]]
    + [[str(ROOT / "sweeps" / f"{name}.py")] for name in ("age", "zoo", "search", "population", "cifake_paper")],
)
def test_every_command_has_help(words: list[str], command_here: Command) -> None:
    done = command_here(*words, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_the_table_of_networks_is_that_of_models() -> None:
    row = r"^\| *(\S+) *\| *([\d,]+) *\| *([\d,.]+) *\| *(.+?) *\| *(.+?) *\|$"
    found = re.findall(row, PAGES["networks.md"], re.MULTILINE)
    assert found == rows()


def test_the_table_of_hyperparameters_is_the_recipe() -> None:
    found = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", PAGES["networks.md"], re.MULTILINE)
    defaults = {field.name: field.default for field in dataclasses.fields(Recipe)}
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in defaults.items()}
    assert found == list((texts | {"network": ""}).items())


def test_the_tables_of_the_record_name_every_column() -> None:
    sections = re.split(r"^## ", PAGES["record.md"], flags=re.MULTILINE)
    columns = [
        [name for cell in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)]
        for section in sections[-3:]
    ]
    recipe = {field.name for field in dataclasses.fields(Recipe)}
    assert columns[0] == [name for name in SCHEMAS[TRIALS].names if name not in recipe]
    assert columns[1] == SCHEMAS[EPOCHS].names
    assert set(columns[2]) == {*SCHEMAS[IMAGES].names, *SCORES.names}


def test_the_table_of_ends_is_that_of_the_code() -> None:
    lines = [re.sub("{(.*?)}", lambda varies: varies[1].upper(), end.sentence) for end in ENDS.values()]
    ends = zip(ENDS.values(), lines, strict=True)
    rows = [f"| {end.code} | {end.when} | {end.commands} | `{line}` |" for end, line in ends]
    assert "\n".join(["|---|---|---|---|", *rows, ""]) in PAGES["trouble.md"]


def refusals() -> list[list[str]]:
    """The fixed parts of every refusal in the code."""
    found = []
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "InputError" and node.args:
                parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
                found.append([str(part.value) for part in parts if isinstance(part, ast.Constant)])
    return [parts for parts in found if parts]


def test_trouble_has_every_refusal() -> None:
    entries = [" ".join(entry.split()) for entry in re.split(r"\n- ", PAGES["trouble.md"])]
    assert len(refusals()) > 80
    for parts in refusals():
        words = [re.escape(part.strip()) for part in parts if len(part.strip()) > 3]
        assert any(re.search(".*".join(words), entry) for entry in entries), parts
