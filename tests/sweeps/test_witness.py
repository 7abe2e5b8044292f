"""The last word of a process that ends within `witnessed`, whichever way."""

import platform
from pathlib import Path

import pytest

from data_prep.errors import ENDS
from support.commands import run_python

CODE = """
import os, sys
from sweeps.engine.witness import witnessed
os.environ["TMPDIR"] = os.getcwd()
print("before", file=sys.stderr)
with witnessed():
    os.write(2, b"[2026-01-01 E 1 2] core_worker_process.cc:1: no system config from raylet because it is dead.\\n" if {dead} else b"within\\n")
    {end}
print("after", file=sys.stderr)
"""  # noqa: E501
LOST = ENDS["lost"].sentence.format(host=platform.node())


@pytest.mark.parametrize(
    ("dead", "end", "code", "said"),
    [
        (True, "os._exit(1)", ENDS["lost"].code, ["before", LOST]),
        (False, "os._exit(3)", 3, ["before", "within"]),
        (False, "os.kill(os.getpid(), 9)", -9, ["before", "within"]),
        (False, "pass", 0, ["before", "within", "after"]),
        (False, "raise SystemExit(2)", 2, ["before", "within"]),
    ],
)
def test_how_a_process_ends_is_said(dead: bool, end: str, code: int, said: list[str], tmp_path: Path) -> None:
    done = run_python("-c", CODE.format(dead=dead, end=end), cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()) == (code, said)
    assert not list(tmp_path.iterdir())
