"""A record's curves as TensorBoard reads them: `tensorboard --logdir results/age`.

    tensorboard/NAME-TRIAL/events…        a trial's curves, one event an epoch
    tensorboard/NAME-TRIAL/final/events…  at its end: its hyperparameters and validation metrics, for the HParams page

The content of a file follows from the record and the time at which the file was begun, so that a sweep that is resumed
after a kill continues it. TensorBoard keeps reading a file that it has opened: on a local disk events are appended. An
object store cannot append; there a file is replaced whole. Test metrics are left out, because people choose trials on
the HParams page.

By hand, because tensorboardX's SummaryWriter takes two threads and a pipe for every trial under way, writes to no file
system of Arrow's, and begins another file whenever a sweep goes on.
"""

import contextlib
import functools
import struct
import time
from typing import Any

from data_prep import Folder
from sweeps.trackers.trial import Tracker, Trial

_FILE = "events.out.tfevents.record"
_VERSION = "brain.Event:2"  # what a file's first event says


class TensorBoard(Tracker):
    """Writes the events of a record's trials into the record's folder."""

    target = "record"

    def __init__(self, record: Folder) -> None:
        self._folder = record.folder("tensorboard")
        self._written: dict[str, bytes] = {}

    def write(self, trial: Trial) -> None:
        """Write what is new of a trial. Raises OSError."""
        folder = self._folder.folder(f"{trial.name}-{trial.identity}")
        known = self._written.get(trial.identity, b"")
        if not known:
            with contextlib.suppress(FileNotFoundError):
                known = folder.read_bytes(_FILE)
        begun = _begun(known) or time.time() - trial.seconds
        self._written[trial.identity] = _replace(folder, known, _curves(trial, begun))
        if trial.is_complete:
            folder.folder("final").write_bytes(_FILE, _final(trial, begun))
            del self._written[trial.identity]


def _replace(folder: Folder, known: bytes, content: bytes) -> bytes:
    """Replace the content `known` of the file, by appending where that is possible. Returns what the file holds then.

    After a kill a file may be ahead of the record, which will receive those epochs again: then it stays as it is.
    """
    if known and known.startswith(content):
        return known
    if folder.is_local and known and content.startswith(known):
        with folder.local_path(_FILE).open("ab") as file:
            file.write(content[len(known) :])
    else:
        folder.write_bytes(_FILE, content)
    return content


def _curves(trial: Trial, begun: float) -> bytes:
    """The events of a trial's epochs, each at the time at which it ended if all were trained in one go."""
    events, now = [_event(begun, file_version=_VERSION)], begun
    for epoch, values in trial.curves.items():
        now += values.get("wall_seconds", 0.0)
        events.append(_scalars(now, epoch, tuple(values.items())))
    return b"".join(events)


def _final(trial: Trial, begun: float) -> bytes:
    """The events of a complete trial: a session of the HParams page, and its result."""
    from tensorboardX.summary import hparams

    _, first, last = hparams(trial.hyperparameters, {})
    now, best = begun + trial.seconds, tuple(trial.final(("validation",)).items())
    events = [_event(begun, file_version=_VERSION), _event(begun, summary=first)]
    return b"".join([*events, _scalars(now, trial.row["best_epoch"] or 0, best), _event(now, summary=last)])


@functools.lru_cache(16_384)  # a trial's file is composed anew at each write, and each epoch encoded once
def _scalars(wall_time: float, epoch: int, values: tuple[tuple[str, float], ...]) -> bytes:
    from tensorboardX.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values]
    return _event(wall_time, step=epoch, summary=Summary(value=scalars))


def _event(wall_time: float, **content: Any) -> bytes:
    """An event in TensorFlow's record format: length, its checksum, content, its checksum."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    event: bytes = Event(wall_time=wall_time, **content).SerializeToString()
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", masked_crc32c(length)) + event + struct.pack("<I", masked_crc32c(event))


def _begun(known: bytes) -> float | None:
    """The time in the first event of a file's content; None if there is none."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event

    try:
        length = struct.unpack_from("<Q", known)[0]
        return float(Event.FromString(known[12 : 12 + length]).wall_time) or None
    except (struct.error, DecodeError):
        return None
