"""An S3 server on this machine. What a file says, one of FAULTS, fails: `python -m support.s3 HOST PORT FILE`."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

from support.commands import PATH_TO_SUPPORT

#: What the file may say: the status and the code of the answers, and of how many requests one gets them.
FAULTS = {"busy": ("503 Slow Down", "SlowDown", 3), "no disk": ("500 Internal Server Error", "InternalError", 1)}

Server = subprocess.Popen[bytes]
_Start = Callable[[str, list[tuple[str, str]]], Any]


@contextmanager
def s3_server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[Server, dict[str, str]]]:
    """Yield a server with a bucket `sweeps`, and the environment that leads to it; `folder` gets its `log`.

    Without a port it takes one that is free.
    """
    with socket.create_server((host, port)) as probe:
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "support.s3", host, str(port), str(folder / "fault")]
    environment = os.environ | {"PYTHONPATH": PATH_TO_SUPPORT}
    server = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"))
    named = {"ENDPOINT_URL": f"http://{host}:{port}", "DEFAULT_REGION": "us-east-1"}
    named |= {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
    direct = {"endpoint_url": named["ENDPOINT_URL"], "region_name": named["DEFAULT_REGION"]}
    try:
        client = boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **direct)
        deadline = time.monotonic() + 30
        while not _answers(client):
            assert time.monotonic() < deadline
        client.create_bucket(Bucket="sweeps")
        yield server, {f"AWS_{name}": value for name, value in named.items()}
    finally:
        server.kill()
        server.wait()


def _answers(client: Any) -> bool:
    try:
        client.list_buckets()
    except botocore.exceptions.BotoCoreError:
        time.sleep(0.1)
        return False
    return True


def _serve(host: str, port: int, fault: Path) -> None:
    server, requests = DomainDispatcherApplication(create_backend_app), itertools.count()

    def answer(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        status, code, every = FAULTS.get(fault.read_text() if fault.exists() else "", ("", "", 0))
        if not every or next(requests) % every:
            return server(environ, start)  # type: ignore[no-any-return]
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    run_simple(host, port, answer, threaded=True)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
