"""One process a node imports TensorFlow, and is forked for every trial.

Importing TensorFlow takes 4–10 s and 400 MB. Here it is paid once a node, while the driver still prepares; a trial
starts in milliseconds, shares that memory, and takes everything that it leaves behind with it when it ends. The server
computes nothing itself, so it has one thread, which is what makes forking safe.

A node's server and its trials meet in a folder, `place`: there are its socket, and the arrays that trials share
(`_data.shared_data`). The server lives as long as the process that started it; the folder goes with it.
"""

import _thread
import contextlib
import errno
import fcntl
import gc
import importlib
import math
import os
import pickle
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SOCKET, _STOP = "socket", b"stop"
# OpenBLAS and Arrow's jemalloc would start threads as soon as they are imported. Left to itself, malloc hands every
# large array of a training step back to the system, and is given fresh pages for the next: a tenth of the time.
_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_PYTHON = [
    sys.executable,
    "-P",
    "-m",
    "trainables.worker.fork_server",
]  # -P: what lies in the working folder is not ours
# Ray kills the children of a worker that ends, and they could not clean up. A grandchild sees its standard input end.
_DETACHED = ["sh", "-c", 'exec 3<&0; "$@" <&3 3<&- &', "sh"]
_CAN_FORK = sys.platform == "linux"  # elsewhere system libraries do not survive it

#: Whether the servers that this process starts are to be no children of it.
is_detached = False

_servers: list[tuple["subprocess.Popen[bytes]", Path]] = []  # their standard input is what keeps them alive


class LostError(Exception):
    """The process that was to answer has died."""


class HungError(Exception):
    """The process that was to answer gave no sign of life, and was killed."""


class RemoteError(Exception):
    """The function raised an error; `__str__` is its traceback."""


def place(token: str) -> Path:
    """Where the server of this node is found, in a sweep that has this token."""
    return Path(tempfile.gettempdir(), f"cifake-sweeps-{token}")


def start(place: Path) -> None:
    """Start this node's server, unless it runs. It imports TensorFlow in its own time; this returns at once."""
    place.mkdir(mode=0o700, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _connected(place)
        if found:
            return found.close()
        with contextlib.suppress(FileNotFoundError):
            (place / _SOCKET).unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place / _SOCKET))
            listener.listen(128)
            words = [*_PYTHON, "serve", str(listener.fileno()), str(place)]
            server = subprocess.Popen(
                [*_DETACHED, *words] if is_detached else words,
                env=os.environ | _ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the process that started it
            )
        _servers.append((server, place))
        return None


def stop() -> None:
    """End the servers that this process has started, and clean up behind them."""
    while _servers:
        server, place = _servers.pop()
        server.kill()
        server.wait()
        shutil.rmtree(place, ignore_errors=True)


def stream(
    place: Path,
    function: Callable[..., Iterable[Any]],
    *arguments: Any,
    limit: float = math.inf,
    stop: threading.Event | None = None,
) -> Generator[Any]:
    """What `function(*arguments)` yields, in a fresh process that has TensorFlow imported and this one's environment.

    The process ends with this generator, whichever way that ends. Once `stop` is set it is interrupted, a generator's
    clean-up runs, and so this one ends. Raises RemoteError for an error of the function's, LostError if the process
    dies, and HungError if nothing comes of it for `limit` seconds: then it is killed.
    """
    with _connect(place) as connection:
        messages, process = _messages(connection, limit, stop), 0
        try:
            connection.send_bytes(pickle.dumps((function, arguments, dict(os.environ))))
            for kind, content in messages:
                if kind == "process":
                    process = content
                elif kind == "error":
                    raise RemoteError(content)
                elif kind == "end":
                    return
                else:
                    yield content
        except (EOFError, ConnectionError):
            raise LostError("its process died")
        except HungError:
            if process:
                os.kill(process, signal.SIGKILL)
            raise


def _messages(connection: Connection, limit: float, stop: threading.Event | None) -> Iterator[tuple[str, Any]]:
    """What comes from the other side, a kind and its content. It is asked to stop as soon as `stop` is set."""
    last = time.monotonic()
    while True:
        if stop and stop.is_set():
            connection.send_bytes(_STOP)
            stop = None
        if connection.poll(1):
            yield connection.recv()
            last = time.monotonic()
        elif time.monotonic() - last > limit:
            raise HungError(f"nothing came for {limit:g} s")


def _connect(place: Path) -> Connection:
    for _ in range(3):  # a server may be about to end: its starter is no more
        found = _connected(place)
        if found:
            return Connection(found.detach())
        start(place)
    raise LostError(f"no server answers at {place}")


def _connected(place: Path) -> socket.socket | None:
    """A socket that is connected to the server, if there is one."""
    found = socket.socket(socket.AF_UNIX)
    try:
        found.connect(str(place / _SOCKET))
    except OSError as error:
        found.close()
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            return None
        raise
    return found


def _serve(listener: socket.socket, place: Path) -> None:
    """Fork for every connection, until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    tempfile.tempdir = str(place)  # TensorFlow leaves files behind there, one a traced function
    importlib.import_module("trainables.worker.trial")
    gc.freeze()  # what is imported is not looked at, and so not copied, by any child's collector
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        found, _ = listener.accept()
        if not _CAN_FORK:
            subprocess.Popen([*_PYTHON, "answer", str(found.fileno())], pass_fds=[found.fileno()])
        elif os.fork() == 0:
            listener.close()
            _answer(Connection(found.detach()))
        found.close()
    listener.close()
    _leave(place)


def _leave(place: Path) -> None:
    """Clean up, once the children have ended: they may serve others than the process that started this server.

    Those may start a server anew, to which the folder then belongs.
    """
    with contextlib.suppress(FileNotFoundError):
        (place / _SOCKET).unlink()
    with contextlib.suppress(ChildProcessError):
        os.wait()  # returns only when there are no more, for their ends are ignored
    with contextlib.suppress(FileNotFoundError), (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _SOCKET).exists():
            shutil.rmtree(place, ignore_errors=True)


def _answer(connection: Connection) -> None:
    """Run one function, send what it yields, and exit. Exit at once if the other side goes away."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        function, arguments, environment = pickle.loads(connection.recv_bytes())
        connection.send(("process", os.getpid()))
        threading.Thread(target=_listen, args=[connection], daemon=True).start()
        os.environ.update(environment | _ENVIRONMENT)
        _send_all(connection, function(*arguments))
        connection.send(("end", None))
    except EOFError:  # a connection that only asked whether anybody listens
        pass
    except KeyboardInterrupt:  # asked to stop
        connection.send(("end", None))
    except Exception:
        connection.send(("error", traceback.format_exc()))
    os._exit(0)


def _send_all(connection: Connection, values: Iterable[Any]) -> None:
    """Send values as they come; a generator is closed whatever happens, so that it cleans up."""
    with contextlib.ExitStack() as stack:
        if isinstance(values, Generator):
            stack.callback(values.close)
        for value in values:
            connection.send(("value", value))


def _listen(connection: Connection) -> None:
    """Interrupt what this process does when it is asked to stop; exit when the other side goes away."""
    with contextlib.suppress(OSError, EOFError):
        while connection.recv_bytes() == _STOP:
            _thread.interrupt_main()
    os._exit(1)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        _answer(Connection(int(sys.argv[2])))
    _serve(socket.socket(fileno=int(sys.argv[2])), Path(sys.argv[3]))
