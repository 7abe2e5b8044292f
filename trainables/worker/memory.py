"""What TensorFlow and JAX say when a GPU's memory is full, and what that means for a trial.

Either the batch is too large, and a smaller one helps; or other processes leave no room for this one, and only more of
the GPU helps.
"""

import contextlib
import re
from collections.abc import Callable, Iterator

from trainables.training.outcome import gist

# TensorFlow 2.21 and XLA, by the strings of their libraries. A copy to a GPU without memory for it gives the first.
_FULL = re.compile(
    "Dst tensor is not initialized|out of memory|OOM when allocating|failed to allocate (memory|request|the scratch)",
    re.IGNORECASE,
)
# cuDNN and cuBLAS take memory of their own, before the first step and whatever the batch size; MPS has so many clients.
_LIBRARY = re.compile(
    r"DNN library initialization failed|(cudnn|cublas) handle|cu(Blas|SolverDN) instance"
    r"|(CUDNN|CUBLAS)_STATUS_(NOT_INITIALIZED|ALLOC_FAILED)|No (DNN|BLAS) (in|support)|MPS_MAX_CLIENTS",
    re.IGNORECASE,
)
_BACKENDS = ("tensorflow", "jax")  # their modules


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
        is_lack = any(map(lacks_library, _texts(error))) or (gpus < 1 and is_full(error) and not has_trained())
        if gpus and is_lack and not isinstance(error, NoRoomError):
            raise NoRoomError(f"the GPU has no room for it ({gist(error)})")
        raise


def is_full(error: BaseException) -> bool:
    """Whether a device's memory is full, by the text of an error of the backend, or of one that caused it."""
    return any(map(_FULL.search, _texts(error)))


def _texts(error: BaseException | None) -> Iterator[str]:
    """The texts of an error and of those that caused it, where a library raised them: other words mean other things."""
    while error:
        if isinstance(error, RuntimeError) or type(error).__module__.startswith(_BACKENDS):
            yield str(error)
        error = error.__cause__


def lacks_library(text: str) -> bool:
    """Whether cuDNN or cuBLAS could not be initialised on the GPU, which happens for want of memory."""
    return bool(_LIBRARY.search(text))
