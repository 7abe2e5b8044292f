"""Training on one GPU, in under nine minutes, by the code that trials run; each part has a limit.

    KERAS_BACKEND=jax python tests/benchmarks/gpu.py FOLDER [--only probe study] [--tiny]

It needs JAX and Keras, h5py, NumPy, SciPy, scikit-learn, Arrow, click and tenacity: neither Ray nor TensorFlow. A part
whose packages are missing says which.
FOLDER/gpu.json holds what each part says, saved as it ends. `--tiny` is a small form for a machine without a GPU, which
trains in the same ways; its numbers mean nothing.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.training.selection import Data

TWELVE = [f"age-{trunk}-{head}" for trunk in ("c2", "c3", "c4") for head in ("f1", "f2", "f3", "f4")]
PATH = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])  # of Python
BASE = {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "2", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
CACHE = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_COMPILATION_CACHE_DIR": "jax-cache"}

#: Part → what its process runs in a scratch folder that all parts share, its limit in seconds, and its environment. The
#: first ones matter most.
PARTS: dict[str, tuple[str, int, dict[str, str]]] = {
    "probe": ("probe", 30, {}),
    "fit": ("trial --fit --epochs 2", 60, {}),
    "program": ("trial --keep a --memory", 40, CACHE),
    "program, compiled before": ("trial --keep b", 30, CACHE),
    "study, MPS": ("study --mps", 100, CACHE),
    "deterministic": ("trial --deterministic --keep c", 40, {}),
    "deterministic, killed": ("trial --deterministic --keep d --kill 2", 40, {}),
    "deterministic, resumed": ("trial --deterministic --keep d", 40, {}),
    "agreement": ("agreement", 20, {}),
    "no room for a process": ("no_room", 60, {}),
    "4 at once": ("several 4", 40, CACHE),
    "4 at once, MPS": ("several 4 --mps", 40, CACHE),
    "12 at once": ("several 12", 50, CACHE),
    "12 at once, MPS": ("several 12 --mps", 40, CACHE),
    "128 pixels": ("trial --side 128 --share 0.1 --epochs 2", 40, {}),
    "128 pixels, streamed": ("trial --side 128 --share 0.1 --epochs 2 --fit", 40, {}),
    "study": ("study", 130, CACHE),
    "densenet121": ("trial --network densenet121 --share 0.1 --epochs 2", 200, {}),
    "vgg16": ("trial --network vgg16 --share 0.1 --epochs 2 --memory", 40, CACHE),
    "vgg16, bfloat16": ("trial --network vgg16 --share 0.1 --epochs 2 --precision mixed_bfloat16", 40, CACHE),
    "resnet50": ("trial --network resnet50 --share 0.1 --epochs 2 --memory", 60, CACHE),
}
SIZES = {"train": 100_000, "validation": 10_000, "test": 20_000}
SHIFT = 20  # of 255
TINY = {"train": 72, "validation": 40, "test": 40}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--seconds", type=int, default=530, help="for all parts together")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    end, results = time.monotonic() + arguments.seconds, {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only:
            words, limit, environment = PARTS[name]
            limit = min(3 * limit if arguments.tiny else limit, int(end - time.monotonic()))
            if limit < 10:
                print(f"{name}: no time left")
                continue
            command = [*words.split(), *["--tiny"] * arguments.tiny]
            results[name] = run_part(command, limit, environment, scratch)
            (arguments.folder / "gpu.json").write_text(json.dumps(results, indent=1))
            print(name, json.dumps(results[name])[:2000], flush=True)


def run_part(words: list[str], limit: int, environment: dict[str, str], scratch: str) -> dict[str, Any]:
    """Run one part in a process group of its own, and end all of it at its limit."""
    started = time.monotonic()
    process = start_part(words, environment, scratch)
    try:
        out, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
    return {
        "seconds": round(time.monotonic() - started, 1),
        "code": process.returncode,
        "said": said(out),
        **({"error": errors[-1200:]} if process.returncode else {}),
    }


def start_part(
    words: list[str], environment: dict[str, str] | None = None, scratch: str | None = None
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "--part", *words],
        env=BASE | os.environ | (environment or {}) | {"STARTED": str(time.time()), "PYTHONPATH": PATH},
        cwd=scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=scratch is not None,
    )


def said(out: str) -> list[dict[str, Any]]:
    return [json.loads(line[2:]) for line in out.splitlines() if line.startswith("> ")]


def say(**what: Any) -> None:
    rounded = {name: round(value, 9) if isinstance(value, float) else value for name, value in what.items()}
    print(">", json.dumps(rounded), flush=True)


def since_start() -> float:
    return time.time() - float(os.environ["STARTED"])


def noise(words: argparse.Namespace) -> "Data":
    """Images of noise, brighter where they are FAKE; one label in five is wrong, so a network is right in 80 %."""
    import numpy as np

    from trainables.training.selection import Data, Split

    generator, splits = np.random.default_rng(0), []
    for count in (TINY if words.tiny else SIZES).values():
        count = count if words.tiny else int(count * words.share)
        labels = (np.arange(count) % 2).astype(np.int8)
        images = generator.integers(0, 256 - SHIFT, (count, words.side, words.side, 3), np.uint8)
        images += SHIFT * labels[:, None, None, None].astype(np.uint8)
        labels ^= generator.random(count) < 0.2
        splits.append(Split(images, labels, np.arange(count, dtype=np.int32), np.zeros(count, bool)))
    return Data(*splits, fingerprint="noise", is_smoke=True)


# ── the parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def probe(words: argparse.Namespace) -> None:
    import jax
    import keras

    query = ["--query-gpu=name,memory.total,driver_version,pcie.link.gen.current,compute_mode", "--format=csv,noheader"]
    smi = shutil.which("nvidia-smi")
    card = subprocess.run([smi, *query], capture_output=True, text=True, check=False).stdout if smi else None
    say(card=card, mps=shutil.which("nvidia-cuda-mps-control"), cores=os.cpu_count(), python=sys.version.split()[0])
    say(jax=jax.__version__, keras=keras.__version__, devices=str(jax.devices()), ready=since_start())


def trial(words: argparse.Namespace) -> None:
    """One trial by the product's loop: epochs with validation and snapshots, and test at the end.

    With `--keep` it leaves checkpoints, and resumes from one that is there. `--kill` kills it after so many epochs.
    """
    from data_prep import Folder
    from trainables import Recipe
    from trainables.training import checkpoint, loop, pipeline

    recipe = Recipe(words.network, epochs=words.epochs, precision=words.precision, deterministic=words.deterministic)
    pipeline.set_up(1, recipe.deterministic, has_gpu=True)
    choose_the_way(words)
    data = noise(words)
    say(imported=since_start())
    run, folder = loop.start(recipe, data), Folder(words.keep or tempfile.mkdtemp())
    checkpoint.restore(run, folder)
    seconds = time_training(run)
    began = time.time()
    for row in loop.epochs(run, data):
        ended = time.time()
        snapshot = checkpoint.snapshot(run)
        say(
            **{name: row[name] for name in ("epoch", "train_loss", "train_accuracy", "validation_loss")},
            images_per_second=len(data.train) / seconds[-1],
            train=seconds[-1],
            validation=row["wall_seconds"] - seconds[-1],
            snapshot=time.time() - ended,
            began=began,
            ended=ended,
        )
        if words.keep:
            checkpoint.save(snapshot, folder.folder(f"epoch-{row['epoch']}"))
            checkpoint.save(snapshot, folder)
        if row["epoch"] == words.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if row["epoch"] == 1:
            wait_for_others(words.barrier)
        began = time.time()
    loop.score_best(run, data)
    say(test=run.seconds_per_image * len(data.test), is_resident=run.trainer.is_resident, peak_MiB=peak())
    if words.memory:
        say(**memory(run, data))


def choose_the_way(words: argparse.Namespace) -> None:
    """Let images lie on a CPU as they do on a GPU in the small form, and let `--fit` stream them on a GPU."""
    from trainables.training.pipeline import Trainer
    from trainables.training.pipeline.backend import backend

    if words.tiny:
        backend.gpu_bytes = lambda: 2**40
    if words.fit:
        Trainer.is_resident = property(lambda trainer: False)  # type: ignore[method-assign, assignment]


def time_training(run: Any) -> list[float]:
    """The seconds that each epoch's training will have taken, without validation."""
    seconds, train_epoch = [], run.trainer.train_epoch

    def timed(*arguments: int) -> Any:
        started = time.perf_counter()
        means = train_epoch(*arguments)
        seconds.append(time.perf_counter() - started)
        return means

    run.trainer.train_epoch = timed
    return seconds


def peak() -> float:
    """The most GPU memory that this process has taken so far, in MiB."""
    import jax

    return float((jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20)


def memory(run: Any, data: "Data") -> dict[str, float]:
    """What XLA states that an epoch takes, its images apart, and what `auto` takes where it cannot ask, in MiB."""
    from trainables.training import cost

    started, images = time.perf_counter(), data.train.images.nbytes
    return {
        "stated_MiB": (run.trainer.stated_bytes(run.batch_size) - images) / 2**20,
        "compile_again": time.perf_counter() - started,
        "images_MiB": images / 2**20,
        "reckoned_MiB": cost.training_bytes(cost.cost(run.model), run.recipe) / 2**20,
    }


def agreement(words: argparse.Namespace) -> None:
    """How far apart two trials of one recipe are after an epoch and at the end: plain ones, and deterministic ones."""
    import numpy as np

    for one, other in (("a", "b"), ("c", "d")):
        for epoch in ("epoch-1", "."):
            files = [np.load(Path(name, epoch, "last.npz")) for name in (one, other)]
            histories = [json.loads(file["state"].tobytes())["history"] for file in files]
            curves = [[row | {"wall_seconds": None} for row in history] for history in histories]
            first, second = (
                np.concatenate([file[name].ravel() for name in file.files if name.startswith("variable-")])
                for file in files
            )
            say(
                trials=[one, other],
                epochs=len(curves[0]),
                same_bits=bool(np.array_equal(first, second)),
                same_curve=curves[0] == curves[1],
                furthest_weight=float(np.abs(first - second).max()),
                train_loss=[curve[-1]["train_loss"] for curve in curves],
                validation_accuracy=[curve[-1]["validation_accuracy"] for curve in curves],
            )


def several(words: argparse.Namespace) -> None:
    """So many processes, each a trial: the images of all over the time from the first start to the last end."""
    with tempfile.TemporaryDirectory() as folder, multi_process_service(words.mps):
        more = ["--barrier", f"{folder}/{words.what}", "--share", "0.5", *["--tiny"] * words.tiny]
        processes = [start_part(["trial", *more]) for _ in range(int(words.what))]
        ends = [process.communicate() for process in processes]
    failures = [error[-600:] for process, (_, error) in zip(processes, ends, strict=True) if process.returncode]
    rows = [row for out, _ in ends for row in said(out) if row.get("epoch", 0) > 1]
    if rows:
        span = max(row["ended"] for row in rows) - min(row["began"] for row in rows)
        say(images_per_second=sum(row["images_per_second"] * row["train"] for row in rows) / span, seconds=span)
    say(processes=len(processes), failed=len(failures), errors=failures[:2])


def wait_for_others(barrier: str) -> None:
    """Wait for the other processes of `several` to have compiled, so that their epochs overlap."""
    if barrier:
        folder, count = Path(barrier).parent, int(Path(barrier).name)
        (folder / f"ready-{os.getpid()}").touch()
        while len(list(folder.glob("ready-*"))) < count:
            time.sleep(0.01)


def study(words: argparse.Namespace) -> None:
    """The twelve networks side by side, 10 epochs each, as a sweep runs them on a node, but for Ray."""
    from data_prep import Folder
    from trainables import MODELS, Recipe
    from trainables.training.arrays import assembled, mapped, pieces
    from trainables.training.selection import DataSelection
    from trainables.worker import fork_server
    from trainables.worker.assignment import Assignment, Shared

    names, epochs = (TWELVE[:2], 2) if words.tiny else (TWELVE, 10)
    node_folder, record = Path(tempfile.mkdtemp()), Folder(tempfile.mkdtemp())
    selection = DataSelection(record, smoke=True)  # which nobody judges
    mapped(node_folder, lambda new: assembled(pieces(noise(words)), selection, "noise", new))
    prepared = since_start()
    shared = Shared("gpu", selection, MODELS, {}, record, "jax", hang_minutes=10)

    def run(name: str) -> dict[str, Any]:
        assignment = Assignment(name, Recipe(name, epochs=epochs), 1, shared)
        trial = (node_folder, "trainables.worker.trial:run_trial", assignment, node_folder)
        reports = [(report, since_start() - prepared) for report in fork_server.stream(*trial, seconds=120)]
        return reports[-1][0] | {"first_epoch_ended": reports[0][1], "ended": reports[-1][1]}

    with multi_process_service(words.mps), ThreadPoolExecutor(len(names)) as pool:
        fork_server.start(node_folder)
        rows = list(pool.map(run, names))
        fork_server.stop()
    columns = ["status", "reason", "validation_accuracy", "epochs_done", "first_epoch_ended", "ended", "wall_seconds"]
    for name, row in zip(names, rows, strict=True):
        say(network=name, **{column: row.get(column) for column in columns})
    say(images=prepared, seconds=max(row["ended"] for row in rows))


@contextlib.contextmanager
def multi_process_service(is_wanted: bool) -> Iterator[None]:
    """CUDA's multi-process service, for the processes that are started meanwhile."""
    if not is_wanted:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True)
        try:
            yield
        finally:
            subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True, check=False)


def no_room(words: argparse.Namespace) -> None:
    """The texts of a process that begins while another holds nearly all of the card's memory."""
    if not shutil.which("nvidia-smi"):
        say(skipped="this machine has no GPU of NVIDIA's")
        return
    holding = "import jax.numpy as j, time; j.ones(9).block_until_ready(); print(1, flush=True); time.sleep(60)"
    own = {"XLA_PYTHON_CLIENT_PREALLOCATE": "true"}
    holder = subprocess.Popen(
        [sys.executable, "-c", holding],
        env=os.environ | own | {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.98"},
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    holder.stdout.readline()  # it holds the memory now, or has ended without
    try:
        for name, environment in {"as it needs": {}, "preallocating": own}.items():
            process = start_part(["trial", "--epochs", "1", *["--tiny"] * words.tiny], environment)
            out, errors = process.communicate()
            say(memory=name, code=process.returncode, said=said(out)[-1:], error=errors[-1500:])
    finally:
        holder.kill()


def part() -> None:
    """Run one part in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", required=True)
    parser.add_argument("what", nargs="?", help="a number of processes")
    parser.add_argument("--network", default="age-c4-f2")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--share", type=float, default=1, help="of the images")
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--keep", default="", help="a folder for checkpoints")
    parser.add_argument("--kill", type=int, default=0, help="after that many epochs")
    parser.add_argument("--barrier", default="")
    for flag in ("--deterministic", "--fit", "--memory", "--mps", "--tiny"):
        parser.add_argument(flag, action="store_true")
    words = parser.parse_args()
    if words.tiny:
        words.network, words.side, words.epochs = "age-c2-f1", 32, min(words.epochs, 3)
        words.what = words.what and "2"
    if words.mps and not shutil.which("nvidia-cuda-mps-control"):
        say(skipped="this machine has no nvidia-cuda-mps-control")
    else:
        try:
            globals()[words.part](words)
        except ModuleNotFoundError as error:
            say(skipped=f"needs the package {error.name}")


if __name__ == "__main__":
    part() if "--part" in sys.argv else main()
