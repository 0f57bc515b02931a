"""The releases on this machine's disk: what is missing is fetched while something else answers."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# redis types its channels in part.

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast
from uuid import UUID

from redis import RedisError

from backend.cache import Redis
from backend.object_store import RELEASES, Depot, fetch_release, object_path
from ml.release import ReleaseRejected
from ml.serving.shelf import NotYet
from storage.store import StoreUnavailable, UnsafePath

logger = logging.getLogger(__name__)

CHANNEL = "aisle:releases"
"""Redis channel on which a release is named just before it goes into service."""
RETRY_AFTER_S = 5.0
LISTEN_S = 1.0
FETCHES = 2
"""At a time; a large release must not hold up the small ones, nor the disk."""
KEPT = 3
KEPT_S = 24 * 3600

ReleaseKey = tuple[UUID, str]


class ReleaseNotHere(NotYet):
    """The release is on its way to this machine, or could not be fetched a moment ago."""


class ReleaseCache:
    """Gives folders of releases; one that is not here is fetched once, however many ask."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._loop = asyncio.get_running_loop()
        self._fetching: dict[ReleaseKey, asyncio.Task[None]] = {}
        self._failed: dict[ReleaseKey, float] = {}
        self._places = asyncio.Semaphore(FETCHES)

    @property
    def is_remote(self) -> bool:
        return self._depot.remote is not None

    def locate(self, tenant_id: str, release_id: str) -> Path:
        """The folder. Raises ReleaseNotHere at once, while the release is fetched.

        May be called from any thread.
        """
        folder = object_path(self._depot.folder, RELEASES, tenant_id, release_id)
        if not self.is_remote or folder.exists():
            return folder
        self._loop.call_soon_threadsafe(self.prefetch, UUID(tenant_id), release_id)
        raise ReleaseNotHere(f"release {release_id} is not on this machine yet")

    def prefetch(self, tenant_id: UUID, release_id: str) -> None:
        """Begin to fetch; nothing happens for what is here, on its way, or failed just now."""
        key = (tenant_id, release_id)
        waits = time.monotonic() < self._failed.get(key, 0.0)
        if self.is_remote and not waits and key not in self._fetching:
            self._fetching[key] = asyncio.create_task(self._fetch(key))

    async def close(self) -> None:
        for task in list(self._fetching.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _fetch(self, key: ReleaseKey) -> None:
        try:
            async with self._places:
                await asyncio.to_thread(fetch_release, self._depot, *key)
                await asyncio.to_thread(prune, self._depot, key[0], {key[1]})
            self._failed.pop(key, None)
        except (ReleaseRejected, StoreUnavailable, UnsafePath, OSError) as error:
            logger.error("release %s could not be fetched: %s", key[1], error)
            self._failed[key] = time.monotonic() + RETRY_AFTER_S
        finally:
            del self._fetching[key]


def prune(depot: Depot, tenant_id: UUID, needed: set[str]) -> None:
    """Remove fetched releases but those needed, the last three, and those of the last 24 hours."""
    if depot.remote is None:
        return
    below = object_path(depot.folder, RELEASES, str(tenant_id))
    found = [path for path in below.iterdir() if not path.name.startswith(".")]
    newest_first = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[KEPT:]:
        if path.name not in needed and time.time() - path.stat().st_mtime > KEPT_S:
            remove_at_once(path)


def remove_at_once(folder: Path) -> None:
    """Nobody finds a folder with half of its files in it."""
    grave = tempfile.mkdtemp(prefix=".removed-", dir=folder.parent)
    with contextlib.suppress(FileNotFoundError):
        os.replace(folder, Path(grave) / folder.name)
    shutil.rmtree(grave, ignore_errors=True)


async def name_release(redis: Redis, tenant_id: UUID, release_id: str) -> None:
    """Tell serving machines to fetch a release that goes into service next."""
    try:
        await redis.publish(CHANNEL, f"{tenant_id}/{release_id}")
    except (RedisError, OSError) as error:
        logger.warning("the release is fetched when it is first asked for: %s", error)


async def follow_names(redis: Redis, cache: ReleaseCache) -> None:
    """Fetch what is named, until cancelled; without Redis, what is asked for is fetched then."""
    while True:
        try:
            async with redis.pubsub() as names:
                await names.subscribe(CHANNEL)
                while True:
                    message = await names.get_message(
                        ignore_subscribe_messages=True, timeout=LISTEN_S
                    )
                    if message is not None:
                        prefetch_named(cache, cast("bytes", message["data"]))
        except (RedisError, OSError) as error:
            logger.warning("no releases are named without Redis: %s", error)
            await asyncio.sleep(LISTEN_S)


def prefetch_named(cache: ReleaseCache, message: bytes) -> None:
    tenant, _, release_id = message.decode(errors="replace").partition("/")
    try:
        cache.prefetch(UUID(tenant), release_id)
    except ValueError:
        logger.warning("a message that names no release was ignored")


@contextlib.asynccontextmanager
async def following(redis: Redis, cache: ReleaseCache) -> AsyncGenerator[None]:
    """What is named is fetched, where releases come from elsewhere."""
    if not cache.is_remote:
        yield
        return
    task = asyncio.create_task(follow_names(redis, cache))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
