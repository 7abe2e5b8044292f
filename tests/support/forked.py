"""What the tests of the fork server have it run."""

import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def cleaning(path: str) -> Iterator[int]:
    """Numbers without end; once closed, a file that says so."""
    try:
        yield from itertools.count()
    finally:
        Path(path).write_text("clean")


def endless() -> Iterator[int]:
    """This process's number, and then nothing for an hour."""
    yield os.getpid()
    time.sleep(3600)


def aborting(words: str) -> Iterator[int]:
    """This process's number, and then its end as C++ ends one, with words on standard error."""
    yield os.getpid()
    print(f"a line before\n{words}", file=sys.stderr)
    os.abort()
