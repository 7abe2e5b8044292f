"""Scores of many images by several networks, under one corruption after the other, on Ray.

A worker loads a network once and keeps it. It corrupts some images at a time, and every network scores them, so that
memory does not grow with the number of images.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from analysis.detector.corruptions import Setting, corrupted
from analysis.detector.scored_images import ScoredImages
from analysis.detector.stored import Stored
from data_prep import InputError

_IMAGES_AT_ONCE = 1_000
_BATCHES = 4  # training batches that fit into memory without gradients, as in `trainables.training.loop.Run.scores`
_MOST_LOSSES = 3  # of workers, by one task
_GPU_SHARE = 0.5  # one corrupts images while the other scores

#: Trial → the logits (n,) float32 of the images.
Logits = dict[str, np.ndarray]
#: How the images are corrupted, and the trials that score them.
Job = tuple[Setting, list[str]]

#: Trial → its network's compiled scoring, in this worker.
_loaded: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {}


def scores(networks: Sequence[Stored], images: ScoredImages, jobs: Sequence[Job]) -> Iterator[tuple[Setting, Logits]]:
    """The logits of every job, as they come. Joins the Ray cluster of this machine, or starts one.

    Raises InputError for networks that cannot be loaded, and where workers die again and again.
    """
    import ray

    from sweeps.engine import cluster
    from trainables.record import MANIFEST

    print(cluster.connect(), flush=True)
    try:
        cluster.check_shared(networks[0].folder, MANIFEST)
        gpus = {"num_gpus": _GPU_SHARE} if cluster.resources()["gpus"] else {}
        # Without a limit of calls, a worker takes the next task with the networks that it has loaded.
        task = ray.remote(num_cpus=1, max_retries=_MOST_LOSSES, max_calls=0, **gpus)(_score)
        shared = ray.put(images)
        pending = [task.remote([one for one in networks if one.trial in trials], shared, way) for way, trials in jobs]
        while pending:
            (done, *_), pending = ray.wait(pending)
            yield ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, InputError) else error
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The workers died ({reason}); take fewer --trials, or free some memory.")
    finally:
        cluster.disconnect()


def _score(networks: Sequence[Stored], images: ScoredImages, setting: Setting) -> tuple[Setting, Logits]:
    """The logits of all images, by every one of the networks. Runs in a worker."""
    from trainables.training.pipeline import scorer, set_up

    if not _loaded:
        set_up(threads=1)
    _loaded.update({one.trial: scorer(one.network) for one in networks if one.trial not in _loaded})
    logits: dict[str, list[np.ndarray]] = {one.trial: [] for one in networks}
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        part = slice(start, start + _IMAGES_AT_ONCE)
        changed = corrupted(images.images[part], setting, images.rows[part])
        for one in networks:
            used = one.row["batch_size_used"]
            batch = int(used if used == used and used else one.row["batch_size"])
            logits[one.trial].append(_loaded[one.trial](changed, _BATCHES * batch))
    return setting, {trial: np.concatenate(parts) for trial, parts in logits.items()}
