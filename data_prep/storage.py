"""Folders on any Arrow file system (a local path, s3://, gs://), whose files appear whole or not at all.

A remote file system that does not answer is waited for.
"""

import errno
import functools
import json
import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import tenacity
from pyarrow import fs

from data_prep.errors import InputError

_PATIENCE_SECONDS = 300
# What no waiting mends, by the words in which S3 and Google's storage say it.
_FINAL = {
    "ACCESS_DENIED": errno.EACCES,
    "PermissionDenied": errno.EACCES,
    "INVALID_ACCESS_KEY_ID": errno.EACCES,
    "SIGNATURE_DOES_NOT_MATCH": errno.EACCES,
    "NO_SUCH_BUCKET": errno.ENOENT,
    "Bucket does not exist": errno.ENOENT,
}

_OBJECT_STORES = ("s3", "gcs")
_REMOTE = ("AWS Error", "curlCode", "google::cloud")  # how the errors of remote file systems begin

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def _patient(ask: Callable[_Given, _Answer]) -> Callable[_Given, _Answer]:
    """`ask` again, at growing intervals, while a remote file system does not answer.

    A method of Folder so decorated raises TimeoutError after five minutes, PermissionError and FileNotFoundError at
    once. `ask` must be one that can be asked twice.
    """

    @functools.wraps(ask)
    def asked(*args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        folder = args[0]
        assert isinstance(folder, Folder)
        if folder.is_local:
            return ask(*args, **kwargs)
        try:
            return tenacity.retry(
                retry=tenacity.retry_if_exception(_may_pass),
                wait=tenacity.wait_random_exponential(1, max=15),
                stop=tenacity.stop_after_delay(_PATIENCE_SECONDS),
                before_sleep=functools.partial(_say, folder),
                reraise=True,
            )(ask)(*args, **kwargs)
        except OSError as error:
            if not _may_pass(error) and not _final(error):
                raise
            number = _final(error) or errno.ETIMEDOUT
            raise OSError(number, str(error).splitlines()[0], str(folder))

    return asked


def _may_pass(error: BaseException) -> bool:
    """Whether an error is of the way to the storage, and not its answer."""
    if not isinstance(error, OSError) or error.errno is not None:  # those with a number are answers
        return False
    return not _final(error) and any(map(str(error).__contains__, _REMOTE))


def _final(error: BaseException) -> int:
    return next((number for words, number in _FINAL.items() if words in str(error)), 0)


def _say(folder: "Folder", attempt: tenacity.RetryCallState) -> None:
    if attempt.attempt_number == 1 and attempt.outcome:
        reason = str(attempt.outcome.exception()).splitlines()[0]
        print(f"{folder} does not answer, and is waited for ({reason}).", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Folder:
    """A folder named by a local path or a URI. It need not exist: the first write makes it.

    The pickled form is the name alone, so a folder travels to any process that can reach the same storage.
    """

    location: str

    @property
    def is_local(self) -> bool:
        """Whether the folder is on this machine."""
        return "://" not in self.location

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        """The file system, and this folder's path on it."""
        if self.is_local:
            return fs.LocalFileSystem(), os.path.abspath(self.location)
        try:
            return fs.FileSystem.from_uri(self.location)  # type: ignore[no-any-return]
        except (pa.ArrowInvalid, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.location} names no file system that Arrow knows ({reason}); use a path or s3://…")

    @property
    def _system(self) -> fs.FileSystem:
        return self._place[0]

    def _path(self, name: str) -> str:
        return f"{self._place[1]}/{name}".rstrip("/")

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

    @_patient
    def move_to(self, target: "Folder") -> None:
        """Rename this folder. An object store copies it, and deletes the old one once all is copied."""
        if self.is_local:
            self._system.move(self._path(""), target._path(""))
            return
        fs.copy_files(self._path(""), target._path(""), self._system, target._system)
        self._system.delete_dir(self._path(""))

    @_patient
    def exists(self, name: str = "") -> bool:
        """Whether the file or folder `name` is here."""
        return bool(self._system.get_file_info(self._path(name)).type != fs.FileType.NotFound)

    @_patient
    def names(self) -> list[str]:
        """The names of what is directly in this folder, sorted; none if it does not exist."""
        selector = fs.FileSelector(self._path(""), allow_not_found=True)
        return sorted(info.base_name for info in self._system.get_file_info(selector))

    @_patient
    def size(self, name: str) -> int:
        """The size of a file in bytes."""
        return int(self._system.get_file_info(self._path(name)).size or 0)

    @_patient
    def open(self, name: str) -> pa.NativeFile:
        """A file open for reading, with random access. Raises FileNotFoundError."""
        return self._system.open_input_file(self._path(name))

    @_patient
    def read_bytes(self, name: str) -> bytes:
        """The whole of a file, as it was at one time. Raises FileNotFoundError.

        Arrow asks an object's size first: of one that was replaced since, it reads too few bytes.
        """
        while True:
            with self._system.open_input_stream(self._path(name), compression=None) as stream:
                content = bytes(stream.read())
            if self.is_local or len(content) == self.size(name):
                return content

    def read_json(self, name: str) -> Any:
        """A JSON file. Raises FileNotFoundError, and ValueError for what is no JSON."""
        return json.loads(self.read_bytes(name))

    @_patient
    def write_bytes(self, name: str, content: bytes | memoryview) -> None:
        """Write a file: written beside and renamed, so that a reader, or a kill, never meets half of it.

        Object stores show an object only once it is complete, so there the write is the rename.
        """
        path = self._path(name)
        parent, _, base = path.rpartition("/")
        if self._system.type_name not in _OBJECT_STORES:  # which have no folders
            self._system.create_dir(parent, recursive=True)
        beside = f"{parent}/.{base}.{uuid.uuid4().hex[:8]}" if self.is_local else path
        try:
            with self._system.open_output_stream(beside, compression=None) as stream:
                stream.write(content)
            if beside != path:
                self._system.move(beside, path)
        except BaseException:
            if self.is_local and os.path.exists(beside):
                os.remove(beside)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Write `value` as indented JSON, atomically."""
        self.write_bytes(name, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def write_table(self, name: str, table: pa.Table, **options: Any) -> None:
        """Write a table as Parquet with page checksums, atomically. `options` are those of `pyarrow.parquet`."""
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, write_page_checksum=True, **options)
        self.write_bytes(name, memoryview(buffer.getvalue()))

    @_patient
    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A Parquet file, checksums verified. Raises FileNotFoundError, and OSError or ArrowInvalid if corrupt."""
        with self.open(name) if self.is_local else pa.BufferReader(self.read_bytes(name)) as file:
            return pq.read_table(file, columns=columns, page_checksum_verification=True)

    @_patient
    def delete(self, name: str) -> None:
        """Delete a file if it is there."""
        if self.exists(name):
            self._system.delete_file(self._path(name))

    def local_path(self, name: str = "") -> Path:
        """The path of `name` on this machine; for local folders only."""
        assert self.is_local, f"{self.location} is not on this machine"
        return Path(os.path.abspath(self.location)) / name
