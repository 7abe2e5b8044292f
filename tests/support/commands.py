"""Commands as a user runs them, and what they say."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: PYTHONPATH of a process that is to find the packages, and `support` behind them: tests/ has folders of their names.
PATH_TO_SUPPORT = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]


def run_python(*arguments: object, cwd: Path, **options: object) -> Done:
    words = [sys.executable, *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=600, check=False, **options)  # type: ignore[call-overload,no-any-return]


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of that size, as `mount` takes it, at a new folder; the test is skipped where root may not mount one."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def memory_of(size: int) -> Iterator[Callable[[], None] | None]:
    """Yield what a process calls to have so many bytes of memory with all it starts; None without control groups."""
    version_1 = Path("/sys/fs/cgroup/memory")
    group = (version_1 if version_1.exists() else version_1.parent) / f"cifake-sweeps-{os.getpid()}"
    processes = group / "cgroup.procs"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if version_1.exists() else "memory.max")).write_text(str(size))
    except OSError:
        yield None
    else:
        yield lambda: processes.write_text(str(os.getpid())) and None
        wait_until(lambda: not processes.read_text(), 60, processes.read_text)
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def trained(folder: Path, *options: object) -> Path:
    """The folder, in which the zoo with these options has left a record in results/zoo, without Ray."""
    done = run_python("-m", "support.trained", *options, cwd=folder, env=os.environ | {"PYTHONPATH": PATH_TO_SUPPORT})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def copy_of_the_code(folder: Path, files: dict[str, str], lines: str) -> dict[str, Any]:
    """A copy of the packages in `folder`, with more files in trainables and more lines of MODELS: options for a run."""
    for package in ("data_prep", "trainables", "sweeps", "analysis", "tests"):
        shutil.copytree(ROOT / package, folder / package)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, content in files.items():
        (folder / "trainables" / name).write_text(content)
    with (folder / "trainables" / "__init__.py").open("a") as table:
        table.write(lines)
    return {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(folder)}}


def refused(done: Done) -> str:
    """The one sentence of a command that was given wrong input."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stdout + done.stderr
    return lines[0].removeprefix("error: ")


def wait_until(condition: Callable[[], bool], seconds: float = 120, state: Callable[[], object] = str) -> None:
    """Wait until a condition holds, for so many seconds at most. `state` is asked what to say if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {state()}"
        time.sleep(0.1)
