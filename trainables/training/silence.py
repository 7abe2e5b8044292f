"""Silence while TensorFlow is imported and first computes."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

_STANDARD_ERROR = 2


@contextlib.contextmanager
def silent_tensorflow() -> Iterator[None]:
    """Send standard error nowhere: TensorFlow writes to it from C++ before it reads its own log level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(_STANDARD_ERROR)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), _STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
