"""The engine inside this process: loaded releases of many tenants, answered by a few threads."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from ml.serving.engine import recommend
from ml.serving.release import LoadedRelease, load_release
from ml.serving.request import EngineAnswer, EngineRequest

CAPACITY_BYTES = 1024 * 1024 * 1024
THREADS = 2
RETRY_BROKEN_AFTER_S = 5.0

ReleaseKey = tuple[UUID, str]


class ReleaseUnusable(Exception):
    """The release cannot be loaded from the object store; the cause says why."""


class EmbeddedBackend:
    """Keeps recently used releases in memory, at most `capacity_bytes` of them or one.

    A request holds on to the release it was given, so an eviction or a swap never disturbs it.
    """

    def __init__(
        self,
        locate: Callable[[UUID, str], Path],
        capacity_bytes: int = CAPACITY_BYTES,
        threads: int = THREADS,
    ) -> None:
        """`locate` gives the folder of a tenant's release."""
        self._locate = locate
        self._capacity_bytes = capacity_bytes
        self._loaded: OrderedDict[ReleaseKey, LoadedRelease] = OrderedDict()
        self._loading: dict[ReleaseKey, asyncio.Task[LoadedRelease]] = {}
        self._broken: dict[ReleaseKey, tuple[float, ReleaseUnusable]] = {}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="engine")

    async def release(self, tenant_id: UUID, release_id: str) -> LoadedRelease:
        """The release, loaded at most once however many ask. Raises ReleaseUnusable.

        One that failed to load is not tried again for RETRY_BROKEN_AFTER_S.
        """
        key = (tenant_id, release_id)
        loaded = self._loaded.get(key)
        if loaded is not None:
            self._loaded.move_to_end(key)
            return loaded
        self._refuse_broken(key)
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key))
        # One caller giving up must not cancel the load the others wait for.
        return await asyncio.shield(task)

    async def recommend(self, release: LoadedRelease, request: EngineRequest) -> EngineAnswer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, recommend, release, request)

    async def close(self) -> None:
        for task in list(self._loading.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ReleaseUnusable):
                await task
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _load(self, key: ReleaseKey) -> LoadedRelease:
        try:
            # Not in the engine's threads: a cold tenant must not delay the others' answers.
            loaded = await asyncio.to_thread(load_release, self._locate(*key))
        except Exception as error:
            unusable = ReleaseUnusable(f"release {key[1]} cannot be loaded: {error}")
            self._broken[key] = (time.monotonic() + RETRY_BROKEN_AFTER_S, unusable)
            raise unusable from error
        finally:
            del self._loading[key]
        self._keep(key, loaded)
        return loaded

    def _keep(self, key: ReleaseKey, loaded: LoadedRelease) -> None:
        self._broken.pop(key, None)
        self._loaded[key] = loaded
        held = sum(release.nbytes for release in self._loaded.values())
        while held > self._capacity_bytes and len(self._loaded) > 1:
            _, evicted = self._loaded.popitem(last=False)
            held -= evicted.nbytes

    def _refuse_broken(self, key: ReleaseKey) -> None:
        until, error = self._broken.get(key, (0.0, None))
        if error is None:
            return
        if time.monotonic() < until:
            raise ReleaseUnusable(str(error))
        del self._broken[key]
