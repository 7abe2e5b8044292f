"""The fork server: fresh processes with TensorFlow in them, that end with whoever asked for them."""

import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from support.commands import PATH_TO_SUPPORT, wait_until
from trainables.worker import fork_server
from trainables.worker.fork_server import HungError, LostError, RemoteError, stream


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    place = fork_server.node_folder(f"test-{os.getpid()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH_TO_SUPPORT)  # where what is forked finds `support`
        fork_server.start(place)
    yield place
    fork_server.stop()
    assert not place.exists()


def server() -> psutil.Process:
    return psutil.Process(fork_server._servers[-1][0].pid)


def test_a_server_that_is_stopped_is_not_started_again_by_who_still_asks() -> None:
    place = fork_server.node_folder(f"stopped-{os.getpid()}")
    fork_server.start(place)
    fork_server.stop()
    with pytest.raises(LostError):
        next(stream(place, "builtins:range", 1))
    assert not place.exists()
    assert fork_server.is_stopped(place)


@pytest.mark.slow
def test_what_a_function_yields_comes_one_by_one(place: Path) -> None:
    assert list(stream(place, "builtins:range", 3)) == [0, 1, 2]


def test_tensorflow_is_there_already_and_every_process_is_fresh(place: Path) -> None:
    asked = "['tensorflow' in __import__('sys').modules, __import__('os').getpid()]"
    first, second = (list(stream(place, "builtins:eval", asked)) for _ in range(2))
    assert first[0] is second[0] is True
    assert first[1] != second[1]


def test_the_server_has_one_thread_and_so_may_fork(place: Path) -> None:
    list(stream(place, "builtins:range", 1))
    assert server().num_threads() == 1, server().threads()


def test_the_environment_is_the_one_of_the_caller(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert list(stream(place, "builtins:eval", "[__import__('os').environ['CUDA_VISIBLE_DEVICES']]")) == ["7"]


def test_an_error_comes_with_its_traceback(place: Path) -> None:
    with pytest.raises(RemoteError, match="ValueError: invalid literal"):
        list(stream(place, "builtins:int", "x"))


def test_a_death_is_an_error(place: Path) -> None:
    with pytest.raises(LostError):
        list(stream(place, "os:_exit", 3))


def test_a_death_comes_with_the_last_words(place: Path) -> None:
    with pytest.raises(LostError, match=r"^its process died: F0000 Check failed: no stream$"):
        list(stream(place, "support.forked:aborting", "F0000 Check failed: no stream"))
    assert not list(place.glob("errors-*"))


def test_a_process_ends_with_its_caller(place: Path) -> None:
    numbers = stream(place, "itertools:count")
    assert [next(numbers), next(numbers)] == [0, 1]
    wait_until(lambda: len(server().children()) == 1)  # those of earlier tests may still be ending
    numbers.close()
    wait_until(lambda: not server().children())


def test_a_process_can_be_asked_to_stop_and_cleans_up(place: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    for number in stream(place, "support.forked:cleaning", str(tmp_path / "told"), stop=stop):
        if number == 3:
            stop.set()
    assert (tmp_path / "told").read_text() == "clean"


def test_a_process_that_hangs_is_killed(place: Path) -> None:
    numbers = stream(place, "support.forked:endless", seconds=1)
    process = psutil.Process(next(numbers))
    with pytest.raises(HungError):
        next(numbers)
    wait_until(lambda: not process.is_running(), 10)


def test_the_reason_of_an_abort_is_what_was_said_before_the_stack(place: Path) -> None:
    with pytest.raises(LostError, match=r"^its process died: F\d+ .*Check failed: ") as raised:
        list(stream(place, "support.forked:failed_check"))
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_server_that_died_is_started_again(place: Path) -> None:
    fork_server._servers[0][0].kill()
    fork_server._servers[0][0].wait()
    assert list(stream(place, "builtins:range", 2)) == [0, 1]


def test_where_there_is_no_fork_a_fresh_interpreter_answers() -> None:
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-m", "trainables.worker.fork_server", "answer", str(theirs.fileno())]
    process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
    theirs.close()
    with Connection(ours.detach()) as connection:
        connection.send_bytes(pickle.dumps(("builtins:range", (2,), {})))
        assert connection.recv() == ("process", process.pid)
        assert [connection.recv() for _ in range(3)] == [("value", 0), ("value", 1), ("end", None)]
    process.wait(timeout=20)


@pytest.mark.slow
def test_a_server_whose_starter_is_gone_stays_until_its_children_have_ended() -> None:
    place = fork_server.node_folder(f"left-{os.getpid()}")
    code = (
        f"from pathlib import Path; from trainables.worker import fork_server; fork_server.start(Path({str(place)!r}))"
    )
    words = [sys.executable, "-c", f"{code}; print(flush=True); input()"]
    starter = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert starter.stdout
    starter.stdout.readline()
    asked = f"(__import__('time').sleep(2 * place) or __import__('os').path.exists({str(place)!r}) for place in (0, 1))"
    values = stream(place, "builtins:eval", asked)
    assert next(values)
    starter.kill()
    starter.wait()
    assert list(values) == [True]
    wait_until(lambda: not place.exists(), 20)
