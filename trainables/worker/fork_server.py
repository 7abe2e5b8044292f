"""Fork server: one process a node imports TensorFlow, and is forked for every trial.

Importing TensorFlow takes 4–10 s and 400 MB. A node pays for it once, while the driver still prepares; a trial starts
in milliseconds, shares that memory, and leaves nothing behind when it ends. The server computes nothing itself, so it
has one thread, which makes forking safe.

The node folder holds the server's socket and the arrays that trials share (`training.arrays`). The server lives as long
as the process that started it, and deletes the folder when it ends.
"""

import _thread
import contextlib
import gc
import importlib.abc
import math
import os
import pickle
import pkgutil
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Generator, Iterator
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from filelock import FileLock

from trainables.worker import mps

_SOCKET, _STOP = "socket", b"stop"
# OpenBLAS and Arrow's jemalloc would start threads as soon as they are imported. By default malloc returns every large
# array of a training step to the system, and faults in fresh pages for the next one: a tenth of the time. JAX would
# take three quarters of a GPU's memory for each process. GPUs have the numbers that Ray and nvidia-smi give them. What
# a fork costs is one entry a page: with Python's objects in malloc's heap, and that in huge pages, 7 ms instead of 26.
_ENVIRONMENT = {
    "GLIBC_TUNABLES": ":".join(filter(None, [os.environ.get("GLIBC_TUNABLES"), "glibc.malloc.hugetlb=1"])),
    "PYTHONMALLOC": "malloc",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
_PYTHON = [sys.executable, "-P", "-m", "trainables.worker.fork_server"]  # -P: nothing from the working folder
# Ray kills the children of a worker that ends, before they could clean up. A grandchild sees its standard input end.
_DETACHED = ["sh", "-c", 'exec 3<&0; "$@" <&3 3<&- &', "sh"]
_STANDARD_ERROR, _MOST_WORDS = 2, 500  # letters
_STACK = re.compile(r"\s*(\*\*\* |(PC: )?@ |$)")  # of a failed check in TensorFlow or JAX
_CAN_FORK = sys.platform == "linux"  # elsewhere system libraries do not survive it

#: Whether the servers that this process starts are detached, as within Ray's workers.
is_detached = False

_servers: list[tuple["subprocess.Popen[bytes]", Path]] = []  # their standard input keeps them alive
_stopped: set[Path] = set()  # folders of servers that this process has stopped


class LostError(RuntimeError):
    """The process died before it answered; the message ends in what it last wrote to standard error."""


class HungError(Exception):
    """The process gave no sign of life, and was killed."""


class RemoteError(Exception):
    """The function raised an error; the message is its traceback."""


class _NoTensorFlow(importlib.abc.MetaPathFinder):
    """Hides TensorFlow: Keras imports it where it finds it, to seed it, which takes 2 s and 460 MB a trial."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Find nothing, and let others find what is not TensorFlow."""
        if name == "tensorflow":
            raise ModuleNotFoundError("Trials on JAX do without TensorFlow.")


def node_folder(token: str) -> Path:
    """The folder of this node's server, in the sweep that has this token."""
    return Path(tempfile.gettempdir(), f"cifake-sweeps-{token}")


def start(folder: Path) -> None:
    """Start this node's server in its folder, unless it runs. Returns at once, while the server imports TensorFlow."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _stopped.discard(folder)
    with FileLock(folder / "lock"):
        folder.chmod(0o700)  # the lock makes it, open to all, where the last server has just deleted it
        if running := _connected(folder):
            return running.close()
        (folder / _SOCKET).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener, _address(folder) as address:
            listener.bind(address)
            listener.listen(128)
            command = [*_PYTHON, "serve", str(listener.fileno()), str(folder)]
            server = subprocess.Popen(
                [*_DETACHED, *command] if is_detached else command,
                env={"JAX_COMPILATION_CACHE_DIR": str(folder / "jax")} | os.environ | _ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the process that started the server
            )
        _servers.append((server, folder))


def stop() -> None:
    """Kill the servers that this process has started, and delete their folders."""
    while _servers:
        server, folder = _servers.pop()
        _stopped.add(folder)
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def is_stopped(folder: Path) -> bool:
    """Whether this process has stopped the server of a folder, and needs no result from it."""
    return folder in _stopped


def stream(
    folder: Path, function: str, *arguments: Any, seconds: float = math.inf, stop: threading.Event | None = None
) -> Generator[Any]:
    """Yield what `function(*arguments)` yields, in a forked process that has TensorFlow and this one's environment.

    `function` is `module:name`, because importing its module here could import TensorFlow. The process ends with this
    generator, whichever way that ends. Once `stop` is set, the process is interrupted, its clean-up runs, and this
    generator ends. Raises RemoteError for an error of the function, LostError if the process dies, and HungError if it
    yields nothing for so many seconds: then it is killed.
    """
    with _connect(folder) as connection:
        process = 0
        try:
            connection.send_bytes(pickle.dumps((function, arguments, dict(os.environ))))
            for kind, content in _messages(connection, seconds, stop):
                if kind == "process":
                    process = content
                elif kind == "error":
                    raise RemoteError(content)
                elif kind == "end":
                    return
                else:
                    yield content
        except (EOFError, ConnectionError):
            raise LostError(f"its process died{_last_words(_errors(folder, process))}")
        except HungError:
            if process:
                os.kill(process, signal.SIGKILL)
            raise
        finally:
            _errors(folder, process).unlink(missing_ok=True)


def _errors(folder: Path, process: int) -> Path:
    """The file that is a forked process's standard error."""
    return folder / f"errors-{process}"


def _last_words(errors: Path) -> str:
    """The last line of a process's standard error but for its stack, after a colon; or that it wrote nothing."""
    with contextlib.suppress(FileNotFoundError, IndexError):
        lines = errors.read_text(errors="replace").strip().splitlines()
        if not lines:
            return " without a word, as one that the system kills where memory is short"
        return f": {[line for line in lines if not _STACK.match(line)][-1][:_MOST_WORDS]}"
    return ""


def _messages(connection: Connection, seconds: float, stop: threading.Event | None) -> Iterator[tuple[str, Any]]:
    """Receive kind and content of messages, and ask the other side to stop as soon as `stop` is set."""
    silent = 0  # seconds counted one by one: a machine that slept meanwhile was silent for one
    while True:
        if stop and stop.is_set():
            connection.send_bytes(_STOP)
            stop = None
        if connection.poll(1):
            yield connection.recv()
            silent = 0
        elif (silent := silent + 1) > seconds:
            raise HungError(f"nothing came for {seconds:g} s")


def _connect(folder: Path) -> Connection:
    """Connect to the node's server. Starts one where there is none, as when the server's starter has just ended."""
    for _ in range(3 * (not is_stopped(folder))):
        if connected := _connected(folder):
            return connected
        with contextlib.suppress(FileNotFoundError):  # the last server deletes the folder meanwhile
            start(folder)
    raise LostError(f"no server answers at {folder}")


def _connected(folder: Path) -> Connection | None:
    """A connection to the server; None where no server listens."""
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), _address(folder) as address:
        return Client(address)
    return None


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """A path of the server's socket that is short enough for one, wherever the folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}" if sys.platform == "linux" else str(folder / _SOCKET)
    finally:
        os.close(descriptor)


def _serve(listener: socket.socket, folder: Path) -> None:
    """Fork for every connection, until standard input ends. Then wait for the children, and delete the folder."""
    daemon = mps.serve(folder)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    tempfile.tempdir = str(folder)  # TensorFlow leaves a temporary file for each traced function
    if os.environ.get("KERAS_BACKEND") == "jax":
        sys.meta_path.insert(0, _NoTensorFlow())
    for module in ("trainables.worker.trial", "sklearn.metrics"):  # else each trial imports scikit-learn: 0.8 s
        importlib.import_module(module)
    gc.freeze()  # no child's collector visits, and so copies, what is imported
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        client, _ = listener.accept()
        if not _CAN_FORK:
            subprocess.Popen([*_PYTHON, "answer", str(client.fileno())], pass_fds=[client.fileno()])
        elif os.fork() == 0:
            listener.close()
            _answer(Connection(client.detach()), _errors(folder, os.getpid()))
        client.close()
    listener.close()
    (folder / _SOCKET).unlink(missing_ok=True)
    if daemon and daemon.stdin:
        daemon.stdin.close()  # the children hold it open, too
    # The children may serve other processes than the server's starter. Those may start a server anew, to which the
    # folder then belongs.
    with contextlib.suppress(ChildProcessError):
        os.wait()  # returns only when there are no children left, because SIGCHLD is ignored
    with FileLock(folder / "lock"):
        if not (folder / _SOCKET).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _answer(connection: Connection, errors: Path = Path(os.devnull)) -> None:
    """Run one function, send what it yields, and exit. Exit at once if the other side goes away.

    Standard error goes to the file `errors`.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(OSError):  # where memory is short, the system kills the largest trial, not Ray's workers
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        function, arguments, environment = pickle.loads(connection.recv_bytes())
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), _STANDARD_ERROR)
        connection.send(("process", os.getpid()))
        threading.Thread(target=_listen, args=[connection], daemon=True).start()
        os.environ.update(environment | _ENVIRONMENT)
        values = pkgutil.resolve_name(function)(*arguments)
        # A generator is closed in any case, so that it cleans up.
        with contextlib.closing(values) if isinstance(values, Generator) else contextlib.nullcontext():
            for value in values:
                connection.send(("value", value))
        connection.send(("end", None))
    except EOFError:  # a connection that only asked whether a server listens
        pass
    except KeyboardInterrupt:  # asked to stop
        connection.send(("end", None))
    except Exception:
        connection.send(("error", traceback.format_exc()))
    os._exit(0)


def _listen(connection: Connection) -> None:
    """Interrupt this process when it is asked to stop; exit when the other side goes away."""
    with contextlib.suppress(OSError, EOFError):
        while connection.recv_bytes() == _STOP:
            _thread.interrupt_main()
    os._exit(1)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        _answer(Connection(int(sys.argv[2])))
    _serve(socket.socket(fileno=int(sys.argv[2])), Path(sys.argv[3]))
