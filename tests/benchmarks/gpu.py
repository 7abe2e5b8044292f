"""The GPU path of one machine, in under nine minutes; each part has a limit of its own and is saved as it ends.

    KERAS_BACKEND=jax python tests/benchmarks/gpu.py FOLDER [--only fit study] [--tiny]

It needs JAX, Keras and what reads this package's data, not Ray and not TensorFlow. FOLDER/gpu.json holds what each part
says. `--tiny` is a small form for a machine without a GPU, whose numbers mean nothing; there, name the parts.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TWELVE = [f"age-{trunk}-{head}" for trunk in ("c2", "c3", "c4") for head in ("f1", "f2", "f3", "f4")]
BASE = {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "2", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
DETERMINISTIC = {"XLA_FLAGS": "--xla_gpu_deterministic_ops=true"}
_GRAPHED = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,WHILE,CONDITIONAL,DYNAMIC_SLICE_FUSION"
GRAPHS = {"XLA_FLAGS": f"--xla_gpu_enable_command_buffer={_GRAPHED}"}
CACHE = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_COMPILATION_CACHE_DIR": ""}  # its folder is filled in
PRODUCTS = {"MATRIX_PRODUCTS": "1"}  # for convolutions

#: Part → what its process runs, its limit in seconds, and its environment. The first ones matter most.
PARTS: dict[str, tuple[str, int, dict[str, str]]] = {
    "probe": ("probe", 30, {}),
    "fit": ("fit", 70, {}),
    "program": ("program age-c4-f2", 45, CACHE),
    "program, compiled before": ("program age-c4-f2", 30, CACHE),
    "study": ("study", 110, {}),
    "study, MPS": ("study --mps", 70, {}),
    "4 at once": ("several 4", 50, CACHE),
    "4 at once, MPS": ("several 4 --mps", 40, CACHE),
    "12 at once": ("several 12", 60, CACHE),
    "12 at once, MPS": ("several 12 --mps", 40, CACHE),
    "12 at once, MPS, matrix products": ("several 12 --mps", 60, CACHE | PRODUCTS),
    "deterministic": ("program age-c4-f2", 30, DETERMINISTIC),
    "deterministic, again": ("program age-c4-f2", 30, DETERMINISTIC),
    "matrix products": ("program age-c4-f2", 30, PRODUCTS),
    "matrix products, deterministic": ("program age-c4-f2", 30, DETERMINISTIC | PRODUCTS),
    "memory is full": ("full_memory", 40, {}),
    "no room for a process": ("no_room", 40, {}),
    "8 steps unrolled": ("program age-c4-f2 --unroll 8", 40, {}),
    "as CUDA graphs": ("program age-c4-f2", 30, GRAPHS),
    "3 seeds, grouped convolutions": ("program age-c4-f2 --seeds 3", 40, {}),
    "3 seeds, matrix products": ("program age-c4-f2 --seeds 3", 40, PRODUCTS),
    "16 seeds, matrix products": ("program age-c4-f2 --seeds 16", 50, PRODUCTS),
    "vgg16": ("program vgg16", 40, {}),
    "vgg16, bfloat16": ("program vgg16 --precision mixed_bfloat16", 50, {}),
    "resnet50": ("program resnet50", 60, {}),
    "densenet121": ("program densenet121", 120, {}),
}
SIZES = {"train": 100_000, "validation": 10_000, "test": 20_000, "batch": 32, "epochs": 10}
TINY = {"train": 64, "validation": 64, "test": 64, "batch": 32, "epochs": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--seconds", type=int, default=530, help="for all parts together")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    end, found = time.monotonic() + arguments.seconds, {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only:
            words, limit, environment = PARTS[name]
            limit = min(limit, int(end - time.monotonic()))
            if limit < 10:
                print(f"{name}: no time left")
                continue
            if "JAX_COMPILATION_CACHE_DIR" in environment:
                environment = environment | {"JAX_COMPILATION_CACHE_DIR": scratch}
            found[name] = _run([*words.split(), *(["--tiny"] if arguments.tiny else [])], limit, environment)
            (arguments.folder / "gpu.json").write_text(json.dumps(found, indent=1))
            print(name, json.dumps(found[name])[:1500], flush=True)


def _run(words: list[str], limit: int, environment: dict[str, str]) -> dict[str, Any]:
    """Run one part in a process group of its own, and end all of it at its limit."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, __file__, "--part", *words],
        env=os.environ | BASE | environment | {"STARTED": str(time.time())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
    return {
        "seconds": round(time.monotonic() - started, 1),
        "code": process.returncode,
        "said": _said(out),
        **({"error": errors[-1200:]} if process.returncode else {}),
    }


def _said(out: str) -> list[dict[str, Any]]:
    return [json.loads(line[2:]) for line in out.splitlines() if line.startswith("> ")]


def say(**what: Any) -> None:
    what = {name: round(value, 4) if isinstance(value, float) else value for name, value in what.items()}
    print(">", json.dumps(what), flush=True)


def since_start() -> float:
    return time.time() - float(os.environ["STARTED"])


def noise(count: int) -> Any:
    import numpy as np

    from trainables.training.selection import Split

    generator = np.random.default_rng(0)
    labels = (np.arange(count) % 2).astype(np.int8)
    images = (
        generator.integers(0, 226, (count, 32, 32, 3), np.uint8) + labels[:, None, None, None].astype(np.uint8) * 30
    )
    return Split(images, labels, np.arange(count, dtype=np.int32), np.zeros(count, bool))


def memory() -> dict[str, float]:
    import jax

    found = jax.local_devices()[0].memory_stats() or {}
    return {name: found[name] / 2**20 for name in ("peak_bytes_in_use", "bytes_limit") if name in found}


def probe(sizes: dict[str, int], words: argparse.Namespace) -> None:
    import jax
    import keras

    query = "name,memory.total,driver_version,pcie.link.gen.current,compute_mode"
    smi = (
        shutil.which("nvidia-smi")
        and subprocess.run(
            ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, check=False
        ).stdout
    )
    say(card=smi, mps=shutil.which("nvidia-cuda-mps-control"), cores=os.cpu_count(), python=sys.version.split()[0])
    say(jax=jax.__version__, keras=keras.__version__, devices=str(jax.devices()), ready=since_start())


def fit(sizes: dict[str, int], words: argparse.Namespace) -> None:
    """The product's own loop, as it stands: Keras's fit on images that lie in the device's memory."""
    from trainables import Recipe
    from trainables.training import loop
    from trainables.training.selection import Data

    data = Data(*(noise(sizes[split]) for split in ("train", "validation", "test")), fingerprint="", is_smoke=True)
    say(imported=since_start())
    run = loop.start(Recipe("age-c4-f2", epochs=2, batch_size=sizes["batch"]), data)
    for row in loop.epochs(run, data):
        started = time.perf_counter()
        loop.score(run.model, data.validation, run.batch_size)
        validation = time.perf_counter() - started
        seconds = row["wall_seconds"]
        say(
            epoch=row["epoch"],
            seconds=seconds,
            validation=validation,
            images_per_second=sizes["train"] / (seconds - validation),
        )
    loop.score_best(run, data)
    say(test=run.seconds_per_image * sizes["test"], **memory())


def program(sizes: dict[str, int], words: argparse.Namespace) -> None:
    """Three epochs, each one program; a network that is not one of the twelve trains on a tenth of the images."""
    import jax.numpy as jnp
    import numpy as np
    from one_program import Program, orders

    from trainables import Recipe
    from trainables.training import cost

    count = sizes["train"] if words.what in TWELVE else max(sizes["train"] // 10, 64)
    recipe = Recipe(words.what, batch_size=sizes["batch"], precision=words.precision)
    split, seeds = noise(count), list(range(words.seeds))
    imported = since_start()
    made = Program(recipe, 32, seeds)
    images, labels = jnp.asarray(split.images), jnp.asarray(split.labels, jnp.float32)
    started = time.perf_counter()
    epoch = (
        made.epoch(words.unroll).lower(made.state, images, labels, orders(count, recipe.batch_size, seeds, 1)).compile()
    )
    stated = epoch.memory_analysis()
    say(
        imported=imported,
        compile=time.perf_counter() - started,
        stated_MiB=(stated.temp_size_in_bytes + stated.argument_size_in_bytes) / 2**20,
        images_MiB=split.images.nbytes / 2**20,
        estimate_MiB=cost.training_bytes(cost.cost(made.model), recipe) / 2**20,
    )
    state = made.state
    _wait(words.barrier)
    for number in range(1, 4):
        order, started = orders(count, recipe.batch_size, seeds, number), time.time()
        state, losses = epoch(state, images, labels, order)
        last = np.asarray(losses)[-20:].mean(axis=0)
        ended = time.time()
        say(
            epoch=number,
            started=started,
            ended=ended,
            images_per_second=len(seeds) * order.shape[0] * order.shape[2] / (ended - started),
            loss=float(last[0]),
        )
    bits = b"".join(np.asarray(value).tobytes() for value in state[0])
    say(weights=hashlib.sha256(bits).hexdigest()[:12], **memory())


def _wait(barrier: str) -> None:
    """Wait for the other processes of `several`, so that their epochs overlap."""
    if barrier:
        folder, count = Path(barrier).parent, int(Path(barrier).name)
        (folder / f"ready-{os.getpid()}").touch()
        while len(list(folder.glob("ready-*"))) < count:
            time.sleep(0.01)


def several(sizes: dict[str, int], words: argparse.Namespace) -> None:
    count = int(words.what)
    with tempfile.TemporaryDirectory() as folder, multi_process_service(words.mps):
        more = ["--barrier", f"{folder}/{count}"]
        ends = _side_by_side([["program", "age-c4-f2", *more]] * count, sizes is TINY)
    rows = [row for said, _ in ends for row in said if "epoch" in row]
    if not rows:
        raise SystemExit(str([error for _, error in ends]))
    span = max(row["ended"] for row in rows) - min(row["started"] for row in rows)
    done = sum(row["images_per_second"] * (row["ended"] - row["started"]) for row in rows)
    say(
        processes=count,
        ended_well=sum(not error for _, error in ends),
        images_per_second=done / span,
        ready=min(row["started"] for row in rows) - float(os.environ["STARTED"]),
    )
    say(
        errors=[error[-300:] for _, error in ends if error][:2],
        weights=sorted({said[-1].get("weights", "") for said, _ in ends if said}),
    )


def study(sizes: dict[str, int], words: argparse.Namespace) -> None:
    """The twelve networks side by side, each trained, validated after each epoch, and tested: the whole command."""
    with multi_process_service(words.mps):
        names = TWELVE[:2] if sizes is TINY else TWELVE
        ends = _side_by_side([["train", name] for name in names], sizes is TINY)
    for name, (said, error) in zip(names, ends, strict=True):
        say(network=name, **(said[-1] if said else {}), **({"error": error[-300:]} if error else {}))
    say(seconds=since_start())


def train(sizes: dict[str, int], words: argparse.Namespace) -> None:
    """One trial of the study."""
    import jax.numpy as jnp
    import numpy as np
    from one_program import Program, orders

    from trainables import Recipe

    recipe = Recipe(words.what, batch_size=sizes["batch"], epochs=sizes["epochs"])
    train, validation, test = (noise(sizes[split]) for split in ("train", "validation", "test"))
    made = Program(recipe, 32)
    images, labels = jnp.asarray(train.images), jnp.asarray(train.labels, jnp.float32)
    scored = [jnp.asarray(part.images.reshape(-1, min(1_000, len(part)), 32, 32, 3)) for part in (validation, test)]
    epoch, score, state, best, seconds = made.epoch(), made.score(), made.state, None, []
    for number in range(1, recipe.epochs + 1):
        started = time.perf_counter()
        state, losses = epoch(state, images, labels, orders(len(train), recipe.batch_size, [0], number))
        logits = np.asarray(score(state, scored[0]))[0]
        accuracy = float(((logits > 0) == (validation.labels == 1)).mean())
        if best is None or accuracy > best[0]:
            best = accuracy, [np.asarray(value) for value in state[0]]
        seconds.append(time.perf_counter() - started)
        if number == 1:
            first = since_start()
    started = time.perf_counter()
    score(state, scored[1]).block_until_ready()
    say(
        first_epoch_ended=first,
        ended=since_start(),
        epoch=float(np.median(seconds[1:])),
        test=time.perf_counter() - started,
        loss=float(np.asarray(losses)[-20:].mean()),
        accuracy=best[0],
        **memory(),
    )


def _side_by_side(commands: list[list[str]], tiny: bool) -> list[tuple[list[dict[str, Any]], str]]:
    """What each command said, and its error, empty if it ended well."""
    started = [
        subprocess.Popen(
            [sys.executable, __file__, "--part", *words, *(["--tiny"] if tiny else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in commands
    ]
    ends = [process.communicate() for process in started]
    return [
        (_said(out), error[-2000:] if process.returncode else "")
        for process, (out, error) in zip(started, ends, strict=True)
    ]


@contextlib.contextmanager
def multi_process_service(is_wanted: bool) -> Iterator[None]:
    """CUDA's multi-process service, for the processes that are started meanwhile."""
    if not is_wanted:
        yield
        return
    if not shutil.which("nvidia-cuda-mps-control"):
        raise SystemExit("This machine has no nvidia-cuda-mps-control.")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True)
        try:
            yield
        finally:
            subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True, check=False)


def full_memory(sizes: dict[str, int], words: argparse.Namespace) -> None:
    """The texts of memory that is full: of an allocation, of a transfer, and of a program's result."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    if not (limit := (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")):
        say(skipped="this device has no memory of its own")
        return
    attempt("an allocation", lambda: jnp.ones(2 * limit, jnp.uint8))
    held = jnp.ones(limit - 2**31, jnp.uint8).block_until_ready()
    attempt("a transfer", lambda: jax.device_put(np.zeros(2**32, np.uint8)))
    attempt("a product", lambda: jnp.ones((2**15, 2**15)) @ jnp.ones((2**15, 2**15)))
    del held


def no_room(sizes: dict[str, int], words: argparse.Namespace) -> None:
    """The texts of a process that begins while another holds nearly all of the card's memory."""
    holding = "import jax.numpy as j, time; j.ones(9).block_until_ready(); print(1, flush=True); time.sleep(60)"
    own = {"XLA_PYTHON_CLIENT_PREALLOCATE": "true"}
    holder = subprocess.Popen(
        [sys.executable, "-c", holding],
        env=os.environ | own | {"XLA_PYTHON_CLIENT_MEM_FRACTION": ".97"},
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    holder.stdout.readline()  # it holds the memory now, or has ended without
    try:
        for name, environment in {"as it needs": {}, "preallocating": own}.items():
            done = subprocess.run(
                [sys.executable, __file__, "--part", "program", "age-c4-f2", "--tiny"],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
            )
            say(memory=name, code=done.returncode, error=done.stderr[-700:])
    finally:
        holder.kill()


def attempt(what: str, do: Callable[[], Any]) -> None:
    import jax

    try:
        jax.block_until_ready(do())
        say(what=what, error=None)
    except Exception as error:  # what kind it is, is the question
        say(what=what, kind=[kind.__name__ for kind in type(error).__mro__[:4]], error=str(error)[:400])


def part() -> None:
    """Run one part in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", required=True)
    parser.add_argument("what", nargs="?", help="a network, or a number of processes")
    parser.add_argument("--mps", action="store_true")
    parser.add_argument("--unroll", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--barrier", default="")
    parser.add_argument("--tiny", action="store_true")
    words = parser.parse_args()
    if "MATRIX_PRODUCTS" in os.environ and words.part in ("program", "train"):
        from one_program import use_matrix_products

        use_matrix_products()
    globals()[words.part](TINY if words.tiny else SIZES, words)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    part() if "--part" in sys.argv else main()
