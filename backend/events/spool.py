"""Accepted events on disk while Redis is away: bounded, checked, in order.

A segment is a file of records: length and CRC-32 (4 bytes each, big-endian), then the payload.
Whoever writes or replays a segment holds its lock, and the kernel frees the lock of a dead process.
"""

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Generator
from pathlib import Path

from ulid import ULID

HEAD = struct.Struct(">II")
SUFFIX = ".segment"


class SpoolFull(Exception):
    """The record would exceed the limit of all segments together."""


class Spool:
    """One process's end of the folder that all processes of a machine share."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._segment: int | None = None

    def append(self, payload: bytes) -> None:
        """Returns when the record would survive a power cut. Raises SpoolFull or OSError."""
        record = HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._held_bytes() + len(record) > self._limit_bytes:
            raise SpoolFull
        if self._segment is None:
            self._segment = _create(self._folder)
        try:
            _write(self._segment, record)
        except OSError:
            # What was written may be torn, so nothing may follow it.
            self.close()
            raise

    def segments(self) -> list[Path]:
        """The oldest first, those of other processes too."""
        return sorted(self._folder.glob(f"*{SUFFIX}"))

    def close(self) -> None:
        """Let go of the segment being written: the next record begins another."""
        if self._segment is not None:
            os.close(self._segment)
            self._segment = None

    def _held_bytes(self) -> int:
        held = 0
        for path in self.segments():
            with contextlib.suppress(FileNotFoundError):
                held += path.stat().st_size
        return held


@contextlib.contextmanager
def claim(path: Path) -> Generator[bool]:
    """Whether nobody else writes or replays the segment, and nobody will meanwhile."""
    try:
        segment = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(segment)


def records(path: Path) -> Generator[bytes]:
    """Payloads in the order of writing; a torn end was never acknowledged and is left out."""
    with path.open("rb") as file:
        while len(head := file.read(HEAD.size)) == HEAD.size:
            length, checksum = HEAD.unpack(head)
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            yield payload


def done_with(path: Path, *, is_readable: bool) -> None:
    """Delete a replayed segment, or put it aside for somebody to look at."""
    if is_readable:
        path.unlink(missing_ok=True)
    else:
        path.rename(path.with_suffix(".unreadable"))


def _create(folder: Path) -> int:
    """A locked, empty segment; named after it is locked, or others would think it left over."""
    name = str(ULID())
    draft = folder / f"{name}.draft"
    segment = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    fcntl.flock(segment, fcntl.LOCK_EX)
    draft.rename(folder / f"{name}{SUFFIX}")
    listing = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(listing)
    finally:
        os.close(listing)
    return segment


def _write(segment: int, record: bytes) -> None:
    rest = memoryview(record)
    while rest:
        rest = rest[os.write(segment, rest) :]
    os.fsync(segment)
