"""Full GPU memory, by the texts in which TensorFlow and JAX tell of it: what a trial does about each."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
import ray
import tensorflow as tf
from ray import tune

from data_prep.storage import Folder
from support.networks import split_of
from trainables import MODELS, Recipe
from trainables.training import loop
from trainables.training.pipeline.backend import backend
from trainables.training.selection import Data, DataSelection
from trainables.worker import actor, fork_server, trial
from trainables.worker.assignment import Assignment, Report, Shared
from trainables.worker.fork_server import LostError
from trainables.worker.memory import is_full, lacks_library


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


#: Texts of full memory. JAX's were recorded on a GPU; TensorFlow's are put together from its library's strings.
ALLOCATIONS: list[Exception] = [
    RuntimeError(
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4.00GiB with allocator GPU_0_bfc on device 0."
    ),
    RuntimeError("INTERNAL: Failed to allocate request for 2.25GiB (2415919104B) on device ordinal 0"),
    RuntimeError("INTERNAL: failed call to cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[32,64] on GPU_0_bfc"),
    tf.errors.InternalError(
        None,
        None,
        "Failed copying input tensor from CPU:0 to GPU:0 in order to run _EagerConst: Dst tensor is not initialized.",
    ),
    tf.errors.InternalError(None, None, "CUDNN failed to allocate the scratch space for the runner"),
    tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory [Op:Conv2D]"),
    caused(ValueError("Exception in Conv2D.call()"), RuntimeError("INTERNAL: CUDA error: out of memory")),
]
LIBRARIES: list[Exception] = [
    RuntimeError("FAILED_PRECONDITION: DNN library initialization failed. Look at the errors above for more details."),
    RuntimeError("INTERNAL: Could not create cudnn handle: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("INTERNAL: failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED"),
    RuntimeError("INTERNAL: CUDNN_STATUS_NOT_INITIALIZED in cuda_dnn.cc"),
    RuntimeError("failed to create cublas handle: the library was not initialized"),
    RuntimeError("INTERNAL: Failed to create cuBlas instance."),
    RuntimeError("INTERNAL: no BLAS support for stream"),
    RuntimeError("INTERNAL: failed call to cuCtxCreate: CUDA_ERROR_MPS_MAX_CLIENTS_REACHED"),
    tf.errors.InternalError(None, None, "No BLAS support in stream."),
    tf.errors.InternalError(None, None, "No DNN in stream executor."),
    tf.errors.InternalError(None, None, "Failed to create cuSolverDN instance."),
]
OTHERS: list[Exception] = [
    ValueError("Layer dense expects 1 input and got 2"),
    tf.errors.InvalidArgumentError(None, None, "indices[3] = 12 is not in [0, 12)"),
    RuntimeError("INTERNAL: CUDNN_STATUS_EXECUTION_FAILED in cuda_dnn.cc"),
    RuntimeError("RESOURCE_EXHAUSTED: Too many open files"),
    ValueError("the caption 'out of memory' is no label"),
]


def test_texts_of_full_memory_are_known() -> None:
    assert all(map(is_full, ALLOCATIONS))
    assert all(lacks_library(str(error)) for error in LIBRARIES)
    assert not any(map(is_full, LIBRARIES))
    assert not any(lacks_library(str(error)) for error in ALLOCATIONS)
    assert not any(is_full(error) or lacks_library(str(error)) for error in OTHERS)


# ── a trial ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def reports(
    error: Exception, gpus: float, folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int = 0
) -> list[Report]:
    """What a trial reports with so many GPUs, if an error comes after so many epochs, once."""
    data, errors = Data(split_of(64, 0), split_of(20, 1), split_of(20, 2), "data", is_smoke=True), [error]
    train = loop.epochs

    def failing(run: loop.Run, data: Data) -> Iterator[dict[str, Any]]:
        rows = train(run, data)
        yield from itertools.islice(rows, epochs)
        if errors:
            raise errors.pop()
        yield from rows

    monkeypatch.setattr(loop, "epochs", failing)
    monkeypatch.setattr(trial, "shared_data", lambda selection, node_folder: data)
    monkeypatch.setattr(backend, "gpus", lambda: 1)
    monkeypatch.setattr(backend, "peak_bytes", lambda: 7)
    shared = Shared("", DataSelection(Folder(str(folder))), MODELS, {}, Folder(str(folder)), "tensorflow", 1.0)
    recipe = Recipe("age-c2-f1", epochs=2, batch_size=16)
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return list(trial.run_trial(Assignment("t", recipe, threads, shared, gpus), folder))


@pytest.mark.parametrize("error", ALLOCATIONS, ids=str)
def test_a_batch_too_large_is_halved_where_nobody_shares_the_gpu(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = reports(error, 1.0, tmp_path, monkeypatch)[-1]
    assert (row["status"], row["batch_size_used"], row["peak_device_bytes"]) == ("finished", 8, 7)
    assert "trained with batch size 8 instead of 16: out of memory" in row["reason"]


def test_a_batch_is_halved_once_an_epoch_has_gone_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(ALLOCATIONS[0], 0.25, tmp_path, monkeypatch, epochs=1)[-1]["batch_size_used"] == 8


@pytest.mark.parametrize("error", ALLOCATIONS, ids=str)
def test_full_memory_before_that_means_no_room_where_others_share_the_gpu(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (report,) = reports(error, 0.25, tmp_path, monkeypatch)
    assert report["no_room"].startswith("the GPU has no room for it (")


@pytest.mark.parametrize("gpus", [0.25, 1.0])
@pytest.mark.parametrize("error", LIBRARIES, ids=str)
def test_a_library_that_cannot_start_means_no_room(
    error: Exception, gpus: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (report,) = reports(error, gpus, tmp_path, monkeypatch)
    assert "no_room" in report


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_fail_the_trial(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = reports(error, 0.25, tmp_path, monkeypatch)[-1]
    assert row["status"] == "failed"
    assert type(error).__name__ in row["reason"]


def test_a_backend_without_a_gpu_refuses_one_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "gpus", lambda: 0)
    shared = Shared("", DataSelection(Folder(str(tmp_path))), MODELS, {}, Folder(str(tmp_path)), "tensorflow", 1.0)
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    (report,) = trial.run_trial(Assignment("t", Recipe("age-c2-f1"), threads, shared, 0.5), tmp_path)
    assert report["status"] == "failed"
    assert report["refusal"] == report["reason"]
    assert '`pip install -c constraints.txt -e ".[gpu]"`' in report["reason"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.jpg"), "[Errno 2] No such file or directory: 'x.jpg'"),
        (ValueError("cannot read caf\udce9.png"), "cannot read caf\\udce9.png"),
        (ValueError("x" * 1000), "x" * 500),
        (ValueError("the first line\n[[node conv]]\n\t [[{{node x}}]] [Op:Conv2D]"), "the first line"),
    ],
    ids=["of the system", "no UTF-8", "long", "TensorFlow's"],
)
def test_the_reason_of_a_failed_trial_is_its_error(
    error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = reports(error, 0.0, tmp_path, monkeypatch)[-1]
    assert row["reason"] == f"{type(error).__name__}: {reason}"
    row["traceback"].encode()


@pytest.mark.parametrize("deterministic", [False, True])
def test_tensorflow_is_deterministic_on_a_gpu_where_a_recipe_asks_for_it(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, grows: None)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    backend.set_up(tf.config.threading.get_intra_op_parallelism_threads(), deterministic)
    assert asked == [True] * deterministic


# ── its actor ─────────────────────────────────────────────────────────────────────────────────────────────────────────


FINISHED = {"status": "finished", "reason": "all epochs are trained"}


class Server:
    """A fork server whose processes yield or raise these, one after the other; it keeps their GPUs."""

    def __init__(self, answers: list[Report | Exception]) -> None:
        self.answers, self.gpus = answers, list[float]()

    def stream(self, folder: Path, function: str, assignment: Assignment, *_: Any, **__: Any) -> Iterator[Report]:
        self.gpus.append(assignment.gpus)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield answer


def supervised(
    answers: list[Report | Exception], gpus: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[Report]]:
    """The GPUs that a trial asks for, one process after the other, and what its actor tells Tune."""
    server, told = Server(answers), list[Report]()
    monkeypatch.setattr(actor, "_SECONDS_BEFORE_RETRY", (0, 0))
    monkeypatch.setattr(actor, "_resources", lambda: {"cpus": 1.0, "gpus": gpus})
    monkeypatch.setattr(actor, "node_gpus", lambda: ["0", "1"])
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: [0])
    monkeypatch.setattr(tune, "report", told.append)
    monkeypatch.setattr(fork_server, "node_folder", lambda token: folder)
    monkeypatch.setattr(fork_server, "start", lambda folder: None)
    monkeypatch.setattr(fork_server, "stream", server.stream)
    monkeypatch.setattr(fork_server, "is_detached", False)
    for name in ("CUDA_VISIBLE_DEVICES", "KERAS_BACKEND"):
        monkeypatch.setenv(name, "tensorflow")  # and so it is as before, afterwards
    record = Folder(str(folder))
    record.write_json("manifest.json", {})
    shared = Shared("", DataSelection(record), MODELS, {}, record, "tensorflow", 1.0)
    with contextlib.suppress(LostError):
        config = {"trial": "t", "recipe": json.dumps(Recipe("age-c2-f1").hyperparameters())}
        actor.supervise_trial(config, shared=shared)
    return server.gpus, told


def test_a_trial_without_room_is_tried_again_with_more_of_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack = {"no_room": "the GPU has no room for it"}
    aborted = LostError("its process died: F0000 Could not create cudnn handle: CUDNN_STATUS_INTERNAL_ERROR")
    gpus, told = supervised([lack, aborted, FINISHED], 0.25, tmp_path, monkeypatch)
    assert gpus == [0.25, 0.5, 1.0]
    assert [(report["status"], report["gpus"]) for report in told] == [("finished", 1.0)]
    assert told[0]["versions"] == f"keras {keras.__version__}, tensorflow {tf.__version__}"


def test_a_trial_that_never_has_room_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, told = supervised([{"no_room": "no room"}] * 5, 0.25, tmp_path, monkeypatch)
    assert gpus == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert [(report["status"], report["reason"]) for report in told] == [("failed", "no room")]


def test_a_process_that_aborts_for_another_reason_is_tune_s_to_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus, told = supervised([LostError("its process died: terminate called")], 0.25, tmp_path, monkeypatch)
    assert (gpus, told) == ([0.25], [])
