"""Work on all cores, by forked processes, which know what this one knows.

By hand: with joblib's forked processes one of five reports hung at its end, and with its fresh ones, which import
everything anew, a report took 13 and 16 s instead of 7 and 9 s on a busy machine.
"""

import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from threadpoolctl import threadpool_limits

from data_prep.parts import work_for_parent

_calls: list[Callable[[], Any]] = []  # of a forked process


def side_by_side(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of the functions, in their order. Where this process cannot fork, they run one after another.

    Nor can one that has threads, as a notebook's: a fork may hold a lock of theirs. The functions also run one after
    another where a forked process is killed, as by a system that lacks memory.
    """
    can_fork = sys.platform == "linux" and threading.active_count() == 1
    processes = min(len(os.sched_getaffinity(0)) if can_fork else 1, len(calls))
    if processes < 2:
        return [call() for call in calls]
    gc.freeze()  # garbage of TensorFlow's, which a notebook may have, cannot be collected in a fork: it crashes
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _begin, (calls,)) as pool:
            return list(pool.map(_call, range(len(calls))))
    except BrokenProcessPool:
        return [call() for call in calls]
    finally:
        gc.unfreeze()


def _begin(calls: Sequence[Callable[[], Any]]) -> None:
    work_for_parent()
    threadpool_limits(1)  # of the BLAS library, whose threads would wait for each other's cores
    _calls.extend(calls)


def _call(place: int) -> Any:
    return _calls[place]()
