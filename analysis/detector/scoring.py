"""Scores of many images by several networks, one way of spoiling the images after the other, on Ray.

A worker loads a network once and keeps it. It spoils some images at a time, and every network scores them, so that
memory does not grow with the number of images.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from analysis.detector.corruptions import Setting, corrupted
from analysis.detector.scored_images import ScoredImages
from analysis.detector.stored import Stored
from data_prep.errors import InputError

_IMAGES_AT_ONCE = 1_000
_BATCHES = 4  # training batches that fit into memory without gradients, as in `trainables.training.loop.score`
_MOST_LOSSES = 3  # of workers, by one task
_GPU_SHARE = 0.5  # one spoils images while the other scores

#: Trial → the logits (n,) float32 of the images.
Logits = dict[str, np.ndarray]
#: How the images are to be spoilt, and the trials that are to score them.
Job = tuple[Setting, list[str]]


#: Of this worker: trial → its compiled network, and how many images it takes at once.
_loaded: dict[str, tuple[Callable[[np.ndarray], Any], int]] = {}


def _score(networks: Sequence[Stored], images: ScoredImages, setting: Setting) -> tuple[Setting, Logits]:
    """The logits of all images, by every one of the networks. Runs in a worker."""
    found: dict[str, list[np.ndarray]] = {one.trial: [] for one in networks}
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        part = slice(start, start + _IMAGES_AT_ONCE)
        spoilt = corrupted(images.images[part], setting, images.rows[part])
        for one in networks:
            found[one.trial].append(_logits(*_pass(one), spoilt))
    return setting, {trial: np.concatenate(parts) for trial, parts in found.items()}


def _pass(one: Stored) -> tuple[Callable[[np.ndarray], Any], int]:
    """A network's forward pass, compiled once a worker, and its batch."""
    from trainables.training.pipeline import forward, set_up

    if not _loaded:
        set_up(threads=1)
    if one.trial not in _loaded:
        _loaded[one.trial] = forward(one.network), _batch(one)
    return _loaded[one.trial]


def _batch(one: Stored) -> int:
    used = one.row["batch_size_used"]
    return _BATCHES * int(used if used == used and used else one.row["batch_size"])


def _logits(passed: Callable[[np.ndarray], Any], batch: int, images: np.ndarray) -> np.ndarray:
    parts = [np.asarray(passed(images[at : at + batch])) for at in range(0, len(images), batch)]
    return np.concatenate(parts)[:, 0].astype(np.float32)


def scores(networks: Sequence[Stored], images: ScoredImages, jobs: Sequence[Job]) -> Iterator[tuple[Setting, Logits]]:
    """The logits of every job, as they come. Joins the Ray cluster of this machine, or starts one.

    Raises InputError for networks that cannot be loaded, and where workers die again and again.
    """
    import ray

    with _cluster(networks):
        task, given = _task(), ray.put(images)
        left = [
            task.remote([one for one in networks if one.trial in trials], given, setting) for setting, trials in jobs
        ]
        try:
            while left:
                (done, *_), left = ray.wait(left)
                yield ray.get(done)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause
            raise
        except ray.exceptions.RayError as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"The workers died ({reason}); take fewer --trials, or free some memory.")


@contextlib.contextmanager
def _cluster(networks: Sequence[Stored]) -> Iterator[None]:
    from sweeps.engine import cluster
    from trainables.record import MANIFEST

    print(cluster.connect(), flush=True)
    try:
        cluster.check_shared(networks[0].folder, MANIFEST)
        yield
    finally:
        cluster.disconnect()


def _task() -> Any:
    """`_score` as a task of Ray's, whose workers go on to the next one with what they have loaded."""
    import ray

    from sweeps.engine.cluster import resources

    gpus = {"num_gpus": _GPU_SHARE} if resources()["gpus"] else {}
    return ray.remote(num_cpus=1, max_retries=_MOST_LOSSES, max_calls=0, **gpus)(_score)
