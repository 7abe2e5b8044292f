"""What TensorFlow and JAX say when a GPU's memory is full, and what that means for a trial.

Either the batch is too large, and a smaller one helps; or other processes leave no room for this one, and only more of
the GPU helps.
"""

import contextlib
import re
from collections.abc import Callable, Iterator

# TensorFlow 2.21 and XLA, by the strings of their libraries. A copy to a GPU without memory for it gives the second.
_FULL = re.compile(
    r"RESOURCE_?EXHAUSTED|Dst tensor is not initialized|out of memory|CUDA_ERROR_OUT_OF_MEMORY"
    r"|memory while trying to allocate|failed to allocate (the scratch|scratch|request)",
    re.IGNORECASE,
)
# cuDNN and cuBLAS take memory of their own, before the first step and whatever the batch size.
_LIBRARY = re.compile(
    r"DNN library initialization failed|(cudnn|cublas) handle|cu(Blas|SolverDN) instance"
    r"|(CUDNN|CUBLAS)_STATUS_(NOT_INITIALIZED|ALLOC_FAILED)"
    r"|No (DNN|BLAS) (for|found|in|support)|(get|initialize) ?BLAS support",
    re.IGNORECASE,
)


class NoRoomError(Exception):
    """The GPU has no room for this process, whatever its batch size."""


@contextlib.contextmanager
def room(gpus: float, has_trained: Callable[[], bool]) -> Iterator[None]:
    """Raise NoRoomError instead of an error that says so, of a process with so many GPUs.

    Full memory says so before the first epoch has ended, if others share the GPU; a library that cannot be initialised
    always does.
    """
    try:
        yield
    except Exception as error:
        is_lack = lacks_library(str(error)) or (gpus < 1 and is_full(error) and not has_trained())
        if gpus and is_lack and not isinstance(error, NoRoomError):
            raise NoRoomError(f"the GPU has no room for it ({gist(error)})")
        raise


def is_full(error: Exception) -> bool:
    """Whether a device's memory is full, by the name or the text of an error."""
    return bool(_FULL.search(f"{type(error).__name__}: {error}"))


def lacks_library(text: str) -> bool:
    """Whether cuDNN or cuBLAS could not be initialised on the GPU, which happens for want of memory."""
    return bool(_LIBRARY.search(text))


def gist(error: Exception) -> str:
    """First and last line of an error's message: TensorFlow puts a screenful of layers between them."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line and not line.startswith(("[", "Hint:"))]
    return " ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))
