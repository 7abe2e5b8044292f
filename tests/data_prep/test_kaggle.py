"""`data_prep.sources.kaggle` against a stand-in for Kaggle on loopback, asked by the real `kaggle` package.

The package runs in its own process, and nothing of it is replaced: KAGGLE_API_ENVIRONMENT=LOCALHOST makes it speak
plain HTTP, and `http_proxy` leads every host it asks for, the storage included, to the stand-in. HOME is a temporary
folder and nothing else is inherited, so no credentials of this machine are read or written.
"""

import base64
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.commands import ROOT

SLUG = "cifake-real-and-ai-generated-synthetic-images"
MIB = 2**20  # the package writes in chunks of this size
STORAGE = "http://storage.googleapis.com/kaggle-data-sets/3041726/5256696/bundle/archive.zip?X-Goog-Signature=signed"
TOKEN = {"KAGGLE_API_TOKEN": "good"}
USERNAME_AND_KEY = {"KAGGLE_USERNAME": "tester", "KAGGLE_KEY": "good"}
ACCEPTED = {"Bearer good", "Basic " + base64.b64encode(b"tester:good").decode()}
CHILD = """
import sys, pathlib
from data_prep.errors import InputError
from data_prep.sources.kaggle import fetch
try:
    print(fetch(pathlib.Path(sys.argv[1])))
except InputError as error:
    sys.exit(error.message)
"""


def zip_of(seed: int) -> bytes:
    """A zip of 4 MiB and a bit whose bytes depend on `seed`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train/REAL/0000.jpg", random.Random(seed).randbytes(4 * MIB))
    return buffer.getvalue()


@dataclass
class StandIn:
    """What the server does, and what it was asked for. Sizes in bytes."""

    content: bytes = field(default_factory=lambda: zip_of(0))
    status: int = 200  # of the download call
    md5: bool = True  # announce it, as the storage does for objects that are not composite
    damaged: bool = False  # send one byte that differs from what is announced
    drop_after: int | None = None  # close the first transfer there
    stall_after: int | None = None  # send no more there, until released
    released: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)  # every path
    ranges: list[str | None] = field(default_factory=list)  # of every request to the storage
    port: int = 0

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @property
    def google_hash(self) -> str:
        md5 = "md5=" + base64.b64encode(hashlib.md5(self.content).digest()).decode()
        return f"crc32c=n03x6A==,{md5}" if self.md5 else "crc32c=n03x6A=="


class Handler(BaseHTTPRequestHandler):
    """Kaggle's API (POST) and the storage that it redirects to (GET)."""

    protocol_version = "HTTP/1.1"
    kaggle: StandIn

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        service = urlsplit(self.path).path
        self.kaggle.asked.append(service)
        if service == "/api/v1/security.OAuthService/IntrospectToken":
            self.reply(200, {"active": asked["token"] == "good", "username": "tester"})
        elif service != "/api/v1/datasets.DatasetApiService/DownloadDataset":
            self.reply(404, {"code": 404, "message": f"no {service}"})
        elif self.headers["Authorization"] not in ACCEPTED:
            self.reply(401, {"code": 401, "message": "Unauthorized"})
        elif self.kaggle.status != 200:
            self.reply(self.kaggle.status, {"code": self.kaggle.status, "message": "as the test wants it"})
        else:
            known = (asked["ownerSlug"], asked["datasetSlug"]) == ("birdy654", SLUG)
            self.reply(302 if known else 404, {}, {"Location": STORAGE} if known else {})

    def reply(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.kaggle.asked.append(urlsplit(self.path).path)
        self.kaggle.ranges.append(self.headers["Range"])
        if self.headers["Authorization"]:  # the storage refuses a signed address that comes with a second proof
            self.send_error(400)
            return
        start = 0
        if self.headers["Range"] and self.headers["If-Range"] in (None, self.kaggle.etag):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.send_storage_headers(start)
        self.send_content(start)

    def send_storage_headers(self, start: int) -> None:
        size = len(self.kaggle.content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.send_header("Content-Type", "application/zip")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", self.kaggle.etag)
        self.send_header("Last-Modified", "Tue, 28 Mar 2023 16:00:29 GMT")
        self.send_header("x-goog-hash", self.kaggle.google_hash)
        self.end_headers()

    def send_content(self, start: int) -> None:
        content = bytearray(self.kaggle.content)
        if self.kaggle.damaged:
            content[3 * MIB] ^= 1
        stops = [at for at in (self.kaggle.drop_after, self.kaggle.stall_after) if at is not None]
        self.close_connection = True
        try:
            self.wfile.write(content[start : min([*stops, len(content)])])
            if self.kaggle.stall_after is not None:
                self.kaggle.released.wait(60)
        except OSError:
            pass  # the client was killed, or had no use for the body
        self.kaggle.drop_after = None


@pytest.fixture
def kaggle() -> Iterator[StandIn]:
    stand_in = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"kaggle": stand_in}))
    stand_in.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield stand_in
    stand_in.released.set()
    server.shutdown()
    server.server_close()


@dataclass
class User:
    """Somebody with an empty home who fetches into `folder`, by default with a good token."""

    home: Path
    port: int

    @property
    def folder(self) -> Path:
        return self.home / "raw"

    @property
    def whole(self) -> Path:
        return self.folder / f"{SLUG}.zip"

    @property
    def part(self) -> Path:
        return self.folder / f"{SLUG}.zip.part"

    def start(self, credentials: dict[str, str] = TOKEN) -> "subprocess.Popen[str]":
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
        ours = {
            "HOME": str(self.home),
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": f"http://127.0.0.1:{self.port}",
            **credentials,
        }
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, str(self.folder)],
            cwd=ROOT,
            env=kept | ours,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def fetch(self, credentials: dict[str, str] = TOKEN) -> str:
        """Return stderr of a fetch that succeeds and says nothing on stdout but the zip's path."""
        child = self.start(credentials)
        out, err = child.communicate(timeout=120)
        assert (child.returncode, out) == (0, f"{self.whole}\n"), err
        return err

    def refused(self, credentials: dict[str, str] = TOKEN) -> str:
        """Return what a fetch that fails says: one sentence that names the remedy. Nothing stands for whole."""
        child = self.start(credentials)
        out, err = child.communicate(timeout=120)
        assert (child.returncode, out) == (1, ""), err
        assert "Traceback" not in err
        assert not self.whole.exists()
        sentence = err.splitlines()[-1]
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert "--source PATH" in sentence
        return sentence

    def files(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir())


@pytest.fixture
def user(tmp_path: Path, kaggle: StandIn) -> User:
    return User(tmp_path, kaggle.port)


def wait_for_size(file: Path, size: int) -> None:
    until = time.monotonic() + 60
    while not file.exists() or file.stat().st_size < size:
        assert time.monotonic() < until, f"{file} never reached {size} bytes"
        time.sleep(0.01)


def kill_midway(user: User, kaggle: StandIn) -> None:
    """Kill a fetch, by SIGKILL, with 2 of 4 MiB on disk."""
    kaggle.stall_after = 5 * MIB // 2
    child = user.start()
    wait_for_size(user.part, 2 * MIB)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    kaggle.released.set()
    kaggle.stall_after = None


@pytest.mark.parametrize("credentials", [TOKEN, USERNAME_AND_KEY], ids=["token", "username and key"])
def test_a_download_is_the_bytes_with_a_bar_and_no_noise(
    user: User, kaggle: StandIn, credentials: dict[str, str]
) -> None:
    err = user.fetch(credentials)
    assert user.whole.read_bytes() == kaggle.content
    assert user.files() == [user.whole.name]
    assert "100%" in err
    assert err.endswith(f"\n{SLUG}.zip: md5 checked\n")
    said = [line for line in err.splitlines() if line and "%|" not in line]
    assert said == [f"{SLUG}.zip: md5 checked"]


def test_a_token_file_in_the_home_serves_too(user: User, kaggle: StandIn) -> None:
    (user.home / ".kaggle").mkdir()
    (user.home / ".kaggle" / "access_token").write_text("good\n")
    user.fetch({})
    assert user.whole.read_bytes() == kaggle.content


def test_a_whole_zip_is_not_fetched_again(user: User, kaggle: StandIn) -> None:
    user.fetch()
    asked = list(kaggle.asked)
    assert user.fetch(credentials={}) == ""
    assert kaggle.asked == asked


def test_a_dropped_connection_is_continued_in_the_same_run(user: User, kaggle: StandIn) -> None:
    kaggle.drop_after = 5 * MIB // 2
    user.fetch()
    assert kaggle.ranges == [None, f"bytes={2 * MIB}-"]
    assert user.whole.read_bytes() == kaggle.content


def test_a_killed_download_is_continued_by_the_next_run(user: User, kaggle: StandIn) -> None:
    kill_midway(user, kaggle)
    assert not user.whole.exists()
    assert user.part.stat().st_size == 2 * MIB
    user.fetch()
    # The first request of the second run learns the headers, and its body is not read.
    assert kaggle.ranges == [None, None, f"bytes={2 * MIB}-"]
    assert user.whole.read_bytes() == kaggle.content
    assert user.files() == [user.whole.name]


def test_a_part_of_another_version_is_not_continued(user: User, kaggle: StandIn) -> None:
    kill_midway(user, kaggle)
    kaggle.content = zip_of(1)
    user.fetch()
    assert kaggle.ranges == [None, None]
    assert user.whole.read_bytes() == kaggle.content


def test_a_part_that_is_whole_is_only_renamed(user: User, kaggle: StandIn) -> None:
    user.folder.mkdir()
    user.part.write_bytes(kaggle.content)
    assert user.fetch() == f"{SLUG}.zip: md5 checked\n"
    assert user.files() == [user.whole.name]


def test_an_unfinished_file_under_the_final_name_is_not_taken_for_whole(user: User, kaggle: StandIn) -> None:
    user.folder.mkdir()
    user.whole.write_bytes(kaggle.content[: 2 * MIB])
    user.fetch()
    assert user.whole.read_bytes() == kaggle.content


@pytest.mark.parametrize(("md5", "proof"), [(True, "md5"), (False, "CRCs")])
def test_damaged_bytes_are_refused_and_deleted(user: User, kaggle: StandIn, md5: bool, proof: str) -> None:
    kaggle.damaged, kaggle.md5 = True, md5
    assert proof in user.refused()
    assert user.files() == []
    kaggle.damaged = False
    user.fetch()
    assert user.whole.read_bytes() == kaggle.content


def test_damage_in_a_killed_part_is_refused(user: User, kaggle: StandIn) -> None:
    kill_midway(user, kaggle)
    with user.part.open("r+b") as file:
        file.write(b"damage")
    assert "md5" in user.refused()
    assert user.files() == []


def test_without_an_md5_the_size_and_the_crcs_are_checked(user: User, kaggle: StandIn) -> None:
    kaggle.md5 = False
    assert user.fetch().endswith(f"{SLUG}.zip: size and the zip's CRCs checked\n")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "KAGGLE_API_TOKEN"), (403, "KAGGLE_API_TOKEN"), (404, "--source PATH"), (503, "later")],
)
def test_a_refusal_names_its_status_and_the_remedy(user: User, kaggle: StandIn, status: int, remedy: str) -> None:
    kaggle.status = status
    sentence = user.refused()
    assert f"HTTP {status}" in sentence
    assert remedy in sentence
    assert kaggle.ranges == []


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"KAGGLE_API_TOKEN": "bad"},
        {"KAGGLE_API_TOKEN": "x" * 400},
        {"KAGGLE_USERNAME": "tester", "KAGGLE_KEY": "bad"},
        {"KAGGLE_USERNAME": "tester", "KAGGLE_KEY": "good", "KAGGLE_API_TOKEN": "bad\r\n"},
    ],
    ids=["none", "bad token", "token longer than a file's name", "bad key", "token with a line break"],
)
def test_bad_credentials_name_where_to_make_good_ones(user: User, kaggle: StandIn, credentials: dict[str, str]) -> None:
    sentence = user.refused(credentials)
    assert "https://www.kaggle.com/settings/api" in sentence
    assert "KAGGLE_API_TOKEN" in sentence
    assert "xxx" not in sentence, "a token is a secret"
    assert kaggle.ranges == []


@pytest.mark.parametrize("credentials", [TOKEN, USERNAME_AND_KEY], ids=["token", "username and key"])
def test_without_a_network_the_sentence_says_so(user: User, credentials: dict[str, str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        user.port = closed.server_port
    assert "check the network" in user.refused(credentials)


def test_a_folder_that_cannot_be_made_is_named(user: User) -> None:
    user.folder.write_text("a file stands where the folder should be")
    assert str(user.folder) in user.refused()
