"""Loaded releases of many tenants, widened behind the answers by products that came later."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from ml.serving.arrivals import Arrivals, with_arrivals
from ml.serving.release import LoadedRelease, load_release
from ml.serving.shelf import CAPACITY_BYTES, ReleaseKey, Shelf

logger = logging.getLogger(__name__)


class Shelved(NamedTuple):
    own: LoadedRelease
    """As it was made."""
    wider: LoadedRelease
    """With the products that arrived since; `own` where there are none."""
    arrivals: str = ""
    """Token of those."""

    @property
    def nbytes(self) -> int:
        return self.own.nbytes * (1 if self.wider is self.own else 2)


class ReleaseShelf:
    """Safe to use from several threads."""

    def __init__(
        self, locate: Callable[[str, str], Path], capacity_bytes: int = CAPACITY_BYTES
    ) -> None:
        """`locate` gives the folder of a tenant's release."""
        self._locate = locate
        self._shelf = Shelf(self._read, capacity_bytes)
        self._widening: set[ReleaseKey] = set()
        self._lock = Lock()
        self._wideners = ThreadPoolExecutor(1, thread_name_prefix="release-widener")

    def __len__(self) -> int:
        return len(self._shelf)

    def held(self, key: ReleaseKey) -> Shelved | None:
        return self._shelf.held(key)

    def load(self, key: ReleaseKey) -> Future[Shelved]:
        """Its failure is ReleaseUnusable."""
        return self._shelf.load(key)

    def widen(self, key: ReleaseKey, arrivals: Arrivals) -> None:
        """Take in what arrived after a release that is held, soon; unless that is under way."""
        shelved = self._shelf.held(key)
        if shelved is None or shelved.arrivals == arrivals.token:
            return
        with self._lock:
            if key in self._widening:
                return
            self._widening.add(key)
        self._wideners.submit(self._widen, key, shelved.own, arrivals)

    def close(self) -> None:
        """Waits for what is being loaded or widened."""
        self._shelf.close()
        self._wideners.shutdown(wait=True, cancel_futures=True)

    def _read(self, key: ReleaseKey) -> Shelved:
        release = load_release(self._locate(*key))
        return Shelved(release, release)

    def _widen(self, key: ReleaseKey, own: LoadedRelease, arrivals: Arrivals) -> None:
        try:
            wider = with_arrivals(own, arrivals.products)
        except Exception:
            # Not tried again before the next arrival: the release answers without them.
            logger.exception("release %s could not be widened", own.release_id)
            wider = own
        self._shelf.replace(key, Shelved(own, wider, arrivals.token))
        with self._lock:
            self._widening.discard(key)
