"""The last word of a process that Ray's C++ ends at once, as where a raylet dies while its driver gets to know it."""

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data_prep.errors import ENDS

# Run beside the process, whose end it notices by the end of its standard input, with nothing said.
_CODE = """
import os, sys
if not sys.stdin.read():
    with open(sys.argv[1], errors="replace") as file:
        said = file.read()
    sys.stderr.write(sys.argv[2] + "\\n" if "raylet" in said and " is dead" in said else said)
    os.unlink(sys.argv[1])
"""


@contextlib.contextmanager
def witnessed() -> Iterator[None]:
    """In this block, have another process say it if Ray's C++ ends this one for a raylet that has died.

    What is written to standard error meanwhile appears at the end of the block, or of this process.
    """
    descriptor, name = tempfile.mkstemp(prefix="cifake-sweeps-")
    sentence = ENDS["lost"].sentence.format(host=platform.node())
    words = [sys.executable, "-I", "-S", "-c", _CODE, name, sentence]
    witness = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)  # which Ctrl-C does not reach
    before = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(descriptor)
        with contextlib.suppress(BrokenPipeError):
            witness.communicate(b"over")
        os.write(2, Path(name).read_bytes())
        os.unlink(name)
