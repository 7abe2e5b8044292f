"""Folders on any Arrow file system (a local path, s3://, gs://), whose files appear whole or not at all.

Operations on a remote file system that does not answer are tried again for five minutes, those on a disk that is full
or gone for a minute and a half, and either for as many seconds as CIFAKE_SWEEPS_PATIENCE says.
"""

import contextlib
import errno
import json
import math
import os
import re
import sys
import time
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tenacity
from pyarrow import fs

from data_prep import parquet
from data_prep.errors import InputError
from data_prep.escaping import printable, without_passwords

_PATIENCE_SECONDS = {"remote": 300.0, "local": 90.0}
_SECONDS_BETWEEN_LINES = 60.0
#: Errors of storage that may be over in a minute: it is full, or gone.
OUTAGES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT)
_said = -math.inf  # when it was last said that storage is waited for
_HALF_AN_ADDRESS = re.compile("[a-z][a-z0-9+.-]+:(/(?!/)|$)")  # such as s3:/bucket
_BESIDE = re.compile(r"\..+\.[0-9a-f]{8}")  # the name of a file that is being written, until it is renamed
_FEW_REQUESTS = "?allow_delayed_open=true"  # else Arrow begins a multipart upload for each file, however small
_REMOTE = ("AWS Error", "curlCode", "google::cloud")  # how the errors of remote file systems begin
# The errors that waiting cannot mend, by the words in which S3 and Google's storage report them.
_FINAL = {
    "ACCESS_DENIED": errno.EACCES,
    "PermissionDenied": errno.EACCES,
    "INVALID_ACCESS_KEY_ID": errno.EACCES,
    "SIGNATURE_DOES_NOT_MATCH": errno.EACCES,
    "NO_SUCH_BUCKET": errno.ENOENT,
    "Bucket does not exist": errno.ENOENT,
}


def _final_errno(error: BaseException | None) -> int:
    """The number of an error that waiting cannot mend; 0 for other errors."""
    return next((number for words, number in _FINAL.items() if words in str(error)), 0)


def _is_outage(error: BaseException) -> bool:
    """Whether storage does not answer, or refuses to; an error that has been waited for is final."""
    if not isinstance(error, OSError) or hasattr(error, "waited"):
        return False
    is_remote = error.errno is None and any(words in str(error) for words in _REMOTE)
    return bool(_final_errno(error)) or is_remote or error.errno in OUTAGES


def _is_hopeless(attempt: tenacity.RetryCallState) -> bool:
    """Whether to stop trying: the error is final, or the time is up."""
    kind = "local" if attempt.args[0].is_local else "remote"
    seconds = float(os.environ.get("CIFAKE_SWEEPS_PATIENCE", _PATIENCE_SECONDS[kind]))
    is_final = bool(_final_errno(attempt.outcome.exception()))  # type: ignore[union-attr]
    return is_final or tenacity.stop_after_delay(seconds)(attempt)


def _say_waiting(attempt: tenacity.RetryCallState) -> None:
    """Say it once a minute: many files may wait for the same storage."""
    global _said
    if attempt.outcome and time.monotonic() - _said > _SECONDS_BETWEEN_LINES:
        _said, reason = time.monotonic(), str(attempt.outcome.exception()).splitlines()[0]
        print(
            f"{attempt.args[0]} does not answer, and is waited for ({printable(reason)}).", file=sys.stderr, flush=True
        )


def _give_up(attempt: tenacity.RetryCallState) -> None:
    """Raise the last error with a number, a TimeoutError where it has none."""
    error = attempt.outcome.exception()  # type: ignore[union-attr]
    number = _final_errno(error) or getattr(error, "errno", None) or errno.ETIMEDOUT
    last = OSError(number, str(error).splitlines()[0], getattr(error, "filename", None) or str(attempt.args[0]))
    last.waited = True  # type: ignore[attr-defined]
    raise last


# Decorates methods of Folder that can be called again after a failure.
_patient = tenacity.retry(
    retry=tenacity.retry_if_exception(_is_outage),
    wait=tenacity.wait_random_exponential(1, max=15),
    stop=_is_hopeless,
    before_sleep=_say_waiting,
    retry_error_callback=_give_up,
)


@dataclass(frozen=True)
class Folder:
    """A folder named by a local path or a URI. It need not exist: the first write makes it.

    The pickled form is the name alone, so a folder travels to any process that can reach the same storage. Raises
    InputError for a name that Arrow or a shell would take for another, and for one with a password, which would be
    written into records.
    """

    location: str

    def __post_init__(self) -> None:
        scheme, separator, rest = self.location.partition("://")
        if not (rest.strip("/") if separator else self.location) or _HALF_AN_ADDRESS.match(self.location):
            raise InputError(f"{self.location!r} names no folder; give a path, or an address such as s3://bucket.")
        if scheme == "file" and rest.startswith("/"):
            object.__setattr__(self, "location", urllib.parse.unquote(rest))
            return
        if without_passwords(self.location) != self.location:
            raise InputError(f"The address {scheme}://… has a password in it; give that as AWS_SECRET_ACCESS_KEY, say.")
        if separator and ("?" in rest or "#" in rest):
            raise InputError(f"{scheme}://… is followed by options; give them in the environment, as AWS_ENDPOINT_URL.")
        if self.location.startswith("~"):  # as in --results=~/here, which a shell leaves as it is
            object.__setattr__(self, "location", os.path.expanduser(self.location))

    @property
    def is_local(self) -> bool:
        """Whether the folder is on this machine."""
        return "://" not in self.location

    @cached_property
    def _root(self) -> tuple[fs.FileSystem, str]:
        """The file system, and this folder's path on it."""
        if self.is_local:
            return fs.LocalFileSystem(), os.path.abspath(self.location)
        try:
            few_requests = _FEW_REQUESTS * self.location.startswith("s3://")
            return fs.FileSystem.from_uri(self.location + few_requests)  # type: ignore[no-any-return]
        except (pa.ArrowInvalid, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.location} names no file system that Arrow knows ({reason}); use a path or s3://…")

    @property
    def _system(self) -> fs.FileSystem:
        return self._root[0]

    def _path(self, name: str = "") -> str:
        """The path of `name` on the file system."""
        return f"{self._root[1]}/{name}".rstrip("/")

    def __getstate__(self) -> dict[str, str]:
        return {"location": self.location}

    def __str__(self) -> str:
        return self.location

    def folder(self, name: str) -> "Folder":
        """The folder `name` inside this one."""
        return Folder(f"{self.location.rstrip('/')}/{name}")

    def absolute(self) -> "Folder":
        """The same folder, by a name that holds in any working directory."""
        return Folder(os.path.abspath(self.location)) if self.is_local else self

    def local_path(self, name: str = "") -> Path:
        """The path of `name` on this machine; for local folders only."""
        assert self.is_local, f"{self.location} is not on this machine"
        return Path(os.path.abspath(self.location)) / name

    @_patient
    def move_to(self, target: "Folder") -> None:
        """Rename this folder. An object store copies it, and deletes the old one once all is copied."""
        if self.is_local:
            self._system.move(self._path(), target._path())
        else:
            fs.copy_files(self._path(), target._path(), self._system, target._system)
            self._system.delete_dir(self._path())

    def check_plain(self) -> None:
        """Raise InputError for what is neither file nor folder within a local folder: a link leads elsewhere."""
        folders = [self.location] if self.is_local and os.path.isdir(self.location) else []
        while folders:
            with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as inside:
                for entry in inside:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False):
                        raise InputError(f"{entry.path} is a link or a device; put a file or folder in its place.")

    def clear(self) -> None:
        """Delete what killed processes have left half-written in a local folder; object stores show no such files."""
        for path in self.local_path().rglob(".*") if self.is_local else ():
            if _BESIDE.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _check_readable(self, name: str) -> None:
        """Raise InputError for a pipe or a device, which may never end."""
        path = self._path(name)
        if self.is_local and os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            raise InputError(f"{path} is no file but a pipe or a device; put a file in its place.")

    @_patient
    def exists(self, name: str = "") -> bool:
        """Whether the file or folder `name` is here."""
        return bool(self._system.get_file_info(self._path(name)).type != fs.FileType.NotFound)

    @_patient
    def names(self) -> list[str]:
        """The names of what is directly in this folder, sorted; none if it does not exist."""
        inside = fs.FileSelector(self._path(), allow_not_found=True)
        return sorted(info.base_name for info in self._system.get_file_info(inside))

    @_patient
    def stamps(self) -> dict[str, tuple[int, int]]:
        """Name → size in bytes and time of the last change in ns, of each file directly in this folder, by name."""
        inside = fs.FileSelector(self._path(), allow_not_found=True)
        files = (info for info in self._system.get_file_info(inside) if info.is_file)
        return {info.base_name: (info.size, info.mtime_ns) for info in sorted(files, key=lambda info: info.path)}

    @_patient
    def size(self, name: str) -> int:
        """The size of a file in bytes; 0 if it does not exist."""
        return int(self._system.get_file_info(self._path(name)).size or 0)

    @_patient
    def read_bytes(self, name: str) -> bytes:
        """The whole content of a file, as it was at one time. Raises FileNotFoundError.

        Arrow asks for an object's size first: if the object is replaced in between, it reads too few bytes.
        """
        self._check_readable(name)
        while True:
            with self._system.open_input_file(self._path(name)) as file:
                content = bytes(file.read(file.size()))  # in one request
            if self.is_local or len(content) == self.size(name):
                return content

    def read_json(self, name: str) -> Any:
        """The value in a JSON file. Raises FileNotFoundError, and ValueError for a file that is not JSON."""
        try:
            return json.loads(self.read_bytes(name))
        except RecursionError:
            raise ValueError("it is nested too deeply")

    @_patient
    def read_table(self, name: str, schema: pa.Schema) -> pa.Table:
        """The columns of a schema in a Parquet file, checksums verified; nulls for those that it lacks.

        Raises ArrowInvalid if it is corrupt or of other types, and otherwise OSErrors that have a number.
        """
        with self.parquet(name, schema) as file:
            names = [name for name in schema.names if name in file.schema_arrow.names]
            return parquet.conformed(file.read(names, use_pandas_metadata=False), schema)

    @contextlib.contextmanager
    def parquet(self, name: str, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
        """A Parquet file to be read in parts, each to be conformed to the schema. Raises what `read_table` does."""
        try:
            with self._opened(name) as file, parquet.opened(file, schema) as opened:
                yield opened
        except OSError as error:
            if error.errno:
                raise
            raise pa.ArrowInvalid(str(error))  # so Arrow tells of some damage

    def _opened(self, name: str) -> pa.NativeFile:
        """A file to be read here and there; that of an object store is fetched first."""
        self._check_readable(name)
        path = self._path(name)
        return self._system.open_input_file(path) if self.is_local else pa.BufferReader(self.read_bytes(name))

    @_patient
    def write_bytes(self, name: str, content: bytes | memoryview) -> None:
        """Write a file, which appears whole or not at all."""
        with self._replacing(name) as stream:
            stream.write(content)

    def write_all(self, contents: Mapping[str, bytes | None]) -> None:
        """Write files, and delete those whose content is None, once all are on the disk: if it fills, none is touched.

        On an object store, which does not fill, one after another.
        """
        written = {name: content for name, content in contents.items() if content is not None}
        with contextlib.ExitStack() as renames:
            for name, content in written.items():
                if self.is_local:
                    renames.enter_context(self._replacing(name)).write(content)
                else:
                    self.write_bytes(name, content)
        rooms = {name.rpartition("/")[0] for name in contents.keys() - written.keys()}
        there = {f"{room}/{name}".lstrip("/") for room in rooms for name in self.folder(room).names()}
        for name in sorted(there & contents.keys() - written.keys()):
            self.delete(name)

    @contextlib.contextmanager
    def _replacing(self, name: str) -> Iterator[pa.NativeFile]:
        """A stream to beside a file's place, then renamed, so that neither a reader nor a kill ever meets half of it.

        Object stores show an object only once it is complete, so there the write is the rename.
        """
        path = self._path(name)
        parent, _, base = path.rpartition("/")
        if self._system.type_name not in ("s3", "gcs"):  # which have no folders
            self._system.create_dir(parent, recursive=True)
        beside = f"{parent}/.{base}.{uuid.uuid4().hex[:8]}" if self.is_local else path
        try:
            with self._system.open_output_stream(beside, compression=None) as stream:
                yield stream
            if beside != path:
                self._system.move(beside, path)
        except BaseException:
            if self.is_local:
                Path(beside).unlink(missing_ok=True)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Write `value` as indented JSON, atomically."""
        self.write_bytes(name, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table as Parquet with page checksums, atomically."""
        pq.write_table(table, buffer := pa.BufferOutputStream(), write_page_checksum=True)
        self.write_bytes(name, memoryview(buffer.getvalue()))

    def write_tables(
        self,
        name: str,
        schema: pa.Schema,
        tables: Iterable[pa.Table],
        row_group_size: int | None = None,
        **options: Any,
    ) -> None:
        """Write tables as one Parquet file, one after another. `options` are those of `pyarrow.parquet`."""

        def write(sink: pa.NativeFile) -> None:
            with pq.ParquetWriter(sink, schema, write_page_checksum=True, **options) as writer:
                for table in tables:
                    writer.write_table(table, row_group_size)

        if self.is_local:
            with self._replacing(name) as stream:
                write(stream)
        else:  # which may have to be sent again
            write(buffer := pa.BufferOutputStream())
            self.write_bytes(name, memoryview(buffer.getvalue()))

    @_patient
    def delete(self, name: str) -> None:
        """Delete a file if it is there."""
        if self.exists(name):
            self._system.delete_file(self._path(name))
