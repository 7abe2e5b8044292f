"""The README's own examples run as they are printed."""

import re
from pathlib import Path

import pandas as pd
import pytest

from support.commands import ROOT, Command, copy_of_the_code, run_python
from trainables.__main__ import rows

README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.cluster
def test_the_pandas_example_runs_as_printed(tmp_path: Path) -> None:
    done = run_python(ROOT / "sweeps" / "age.py", "--smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = run_python("-c", EXAMPLES[0], cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    assert "age-c4-f4" in printed.stdout


@pytest.mark.cluster
def test_the_example_network_is_a_file_and_a_line(tmp_path: Path) -> None:
    """It gets its contracts run, and sweeps."""
    copy = copy_of_the_code(tmp_path, {"tiny.py": EXAMPLES[1]}, EXAMPLES[2])
    contracts = run_python("-m", "pytest", "tests/trainables/test_models.py", "-k", "tiny", "-v", "-n0", **copy)
    assert contracts.returncode == 0, contracts.stdout
    assert "takes_pixels_and_gives_one_logit[tiny] PASSED" in contracts.stdout
    swept = run_python("sweeps/zoo.py", "--models", "tiny,age-c2-f1", "--smoke", **copy)
    assert swept.returncode == 0, swept.stderr
    rows = pd.read_parquet(tmp_path / "results" / "zoo" / "trials.parquet").set_index("network")
    assert rows.loc["tiny", "status"] == "finished"
    assert rows.loc["tiny", "parameters"] == 3 * 3 * 3 * 16 + 16 + 15 * 15 * 16 + 1


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
    found = re.findall(r"^\| (\S+) \| ([\d,]+) \| ([\d,.]+) \| (.+?) \| (.+?) \|$", README, re.MULTILINE)
    assert found == rows()
