"""Where answers of a release come from: the engine in this process, or a Triton server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol
from uuid import UUID

from ml.serving.arrivals import Arrivals
from ml.serving.engine import recommend
from ml.serving.release import LoadedRelease
from ml.serving.release_shelf import ReleaseShelf, Shelved
from ml.serving.request import EngineAnswer, EngineRequest
from ml.serving.shelf import CAPACITY_BYTES, ReleaseUnusable

__all__ = [
    "EmbeddedBackend",
    "Inference",
    "InferenceUnavailable",
    "Listed",
    "LiveProducts",
    "Locate",
    "ReleaseUnusable",
]

THREADS = 2


class InferenceUnavailable(Exception):
    """Whoever should answer does not, or answers nonsense."""


class Listed(Protocol):
    """A release as it can be asked now."""

    @property
    def release_id(self) -> str: ...

    @property
    def product_ids(self) -> list[str]:
        """In the order of `EngineRequest.blocked`; products that arrived since come last."""
        ...

    @property
    def index(self) -> dict[str, int]:
        """Product → its place in `product_ids`."""
        ...


class LiveProducts(Protocol):
    """What a shop sells now."""

    def arrivals(self, release: Listed) -> Arrivals:
        """Products that the release, as it was made, does not know."""
        ...


class Locate(Protocol):
    """Gives the folder of a tenant's release."""

    def __call__(self, tenant_id: str, release_id: str, /) -> Path: ...


class Inference(Protocol):
    """One engine behind either; tests/backend/recommend/test_inference.py holds both to it."""

    async def release(self, tenant_id: UUID, release_id: str, live: LiveProducts) -> Listed:
        """The release, widened by what is live and newer as far as that is done by now.

        Raises ReleaseUnusable.
        """
        ...

    async def recommend(self, release: Listed, request: EngineRequest) -> EngineAnswer:
        """Ask a release that `release` gave.

        Raises UnknownProduct, ReleaseUnusable, InferenceUnavailable.
        """
        ...

    async def close(self) -> None: ...


class EmbeddedBackend:
    """The engine inside this process: loaded releases of many tenants, and a few threads."""

    def __init__(
        self, locate: Locate, capacity_bytes: int = CAPACITY_BYTES, threads: int = THREADS
    ) -> None:
        self._shelf = ReleaseShelf(locate, capacity_bytes)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="engine")

    async def release(self, tenant_id: UUID, release_id: str, live: LiveProducts) -> LoadedRelease:
        """A caller that gives up leaves the load to the others who wait for it."""
        key = (str(tenant_id), release_id)
        shelved = self._shelf.held(key)
        if shelved is None:
            shelved = await self._loaded(key)
        arrivals = live.arrivals(shelved.own)
        if arrivals.token != shelved.arrivals:
            self._shelf.widen(key, arrivals)
        return shelved.wider

    async def recommend(self, release: Listed, request: EngineRequest) -> EngineAnswer:
        if not isinstance(release, LoadedRelease):
            raise TypeError("the release was given by another backend")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, recommend, release, request)

    async def close(self) -> None:
        await asyncio.to_thread(self._shelf.close)
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _loaded(self, key: tuple[str, str]) -> Shelved:
        return await asyncio.shield(asyncio.wrap_future(self._shelf.load(key)))
