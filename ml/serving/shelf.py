"""What is read from releases of many tenants, kept in memory: read once, within a cap of bytes."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

CAPACITY_BYTES = 1024 * 1024 * 1024
READERS = 2
RETRY_BROKEN_AFTER_S = 5.0

ReleaseKey = tuple[str, str]
"""Tenant and release."""


class ReleaseUnusable(Exception):
    """The release cannot be had; the cause says why."""


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=Sized)


class Shelf(Generic[Value]):
    """At most `capacity_bytes` of values or one, the longest unused going first.

    Safe to use from several threads. Whoever was given a value keeps it, so that an eviction
    disturbs nobody.
    """

    def __init__(
        self,
        read: Callable[[ReleaseKey], Value],
        capacity_bytes: int = CAPACITY_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """What `read` raises, `load` reports."""
        self._read = read
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._kept: OrderedDict[ReleaseKey, Value] = OrderedDict()
        self._reading: dict[ReleaseKey, Future[Value]] = {}
        self._broken: dict[ReleaseKey, tuple[float, str]] = {}
        self._lock = threading.Lock()
        # Not in the threads that answer: a cold tenant must not delay the others.
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="release-reader")

    def __len__(self) -> int:
        return len(self._kept)

    def held(self, key: ReleaseKey) -> Value | None:
        """What is in memory, at once."""
        with self._lock:
            value = self._kept.get(key)
            if value is not None:
                self._kept.move_to_end(key)
            return value

    def load(self, key: ReleaseKey) -> Future[Value]:
        """The value, read at most once however many ask; its failure is ReleaseUnusable.

        One that failed is not tried again for RETRY_BROKEN_AFTER_S.
        """
        with self._lock:
            if key in self._reading:
                return self._reading[key]
            until_s, why = self._broken.get(key, (0.0, ""))
            if self._clock() < until_s:
                refused: Future[Value] = Future()
                refused.set_exception(ReleaseUnusable(why))
                return refused
            self._broken.pop(key, None)
            future = self._reading[key] = self._readers.submit(self._load, key)
            return future

    def replace(self, key: ReleaseKey, value: Value) -> None:
        """Take `value` for one that is held; without that, nothing."""
        with self._lock:
            if key in self._kept:
                self._keep(key, value)

    def close(self) -> None:
        """Waits for what is being read."""
        self._readers.shutdown(wait=True, cancel_futures=True)

    def _load(self, key: ReleaseKey) -> Value:
        try:
            value = self._read(key)
        except Exception as error:
            why = f"release {key[1]} cannot be loaded: {error}"
            with self._lock:
                self._broken[key] = (self._clock() + RETRY_BROKEN_AFTER_S, why)
                del self._reading[key]
            raise ReleaseUnusable(why) from error
        with self._lock:
            self._keep(key, value)
            del self._reading[key]
        return value

    def _keep(self, key: ReleaseKey, value: Value) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        held = sum(kept.nbytes for kept in self._kept.values())
        while held > self._capacity_bytes and len(self._kept) > 1:
            _, evicted = self._kept.popitem(last=False)
            held -= evicted.nbytes
