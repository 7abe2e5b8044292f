"""What a sweep asks of an object store: requests, and bytes sent there, counted by a server on this machine.

    python tests/benchmarks/storing.py [--against COMMIT]

Twelve networks of 10 epochs of half a second each, with the record on S3; with `--against` by another commit too.
"""

import argparse
import collections
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import boto3
import botocore.exceptions

ROOT = Path(__file__).resolve().parents[2]
WORK = ["--limit", "400", "--epochs", "10", "--cpus-per-trial", "1"]


class Counter:
    """A server of S3 with a bucket `sweeps`, and before it a socket that counts the bytes that are sent to it."""

    def __init__(self, folder: Path) -> None:
        self.log, self.sent = folder / "log", 0
        self._listener, self._port = socket.create_server(("127.0.0.1", 0)), free_port()
        words = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(self._port)]
        self.server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=self.log.open("wb"))
        settings = {"ENDPOINT_URL": f"http://127.0.0.1:{self._listener.getsockname()[1]}", "ACCESS_KEY_ID": "test"}
        settings |= {"SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
        self.environment = os.environ | {f"AWS_{name}": value for name, value in settings.items()}
        threading.Thread(target=self._accept, daemon=True).start()
        direct = {"endpoint_url": f"http://127.0.0.1:{self._port}", "region_name": "us-east-1"}
        client = boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **direct)
        while True:
            try:
                client.create_bucket(Bucket="sweeps")
                return
            except botocore.exceptions.BotoCoreError:
                time.sleep(0.2)

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        while content := source.recv(2**16):
            self.sent += len(content) * is_counted
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)

    def methods(self) -> collections.Counter[str]:
        """Method → requests so far."""
        return collections.Counter(re.findall(r'"(?:\x1b\[\d+m)*([A-Z]+) /', self.log.read_text()))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def measure(code: Path) -> tuple[collections.Counter[str], int]:
    """Requests by method, and bytes sent, of the sweep of some code."""
    with tempfile.TemporaryDirectory() as place:
        counter = Counter(Path(place))
        before, sent = counter.methods(), counter.sent
        words = [sys.executable, str(code / "sweeps" / "age.py"), *WORK, "--results", "s3://sweeps/results"]
        environment = counter.environment | {"PYTHONPATH": str(code)}
        done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)
        counter.server.kill()
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        return counter.methods() - before, counter.sent - sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="COMMIT")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        codes = {"this": ROOT}
        if words.against:
            codes = {words.against: Path(place, "then")} | codes
            subprocess.run(["git", "clone", "-q", str(ROOT), str(codes[words.against])], check=True)
            subprocess.run(["git", "checkout", "-q", words.against], cwd=codes[words.against], check=True)
        for name, code in codes.items():
            methods, sent = measure(code)
            print(f"{name}: {methods.total():,} requests {dict(methods)}, {sent / 1e6:,.0f} MB sent", flush=True)


if __name__ == "__main__":
    main()
