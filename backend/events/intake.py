"""Where accepted events go: into the Redis stream, and while that is away into the spool."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
from redis import RedisError

from backend.cache import Redis
from backend.errors import Unavailable
from backend.events import stream
from backend.events.schemas import EventBatch
from backend.events.spool import Spool, SpoolFull, claim, done_with, records
from backend.settings import Settings

logger = logging.getLogger(__name__)

AWAY = (RedisError, OSError)
"""Down, hung, starting or out of memory: in each case it did not take the events."""
REPLAY_EVERY_S = 1.0
RETRY_AFTER_S = 5


class Intake:
    """One per process."""

    def __init__(self, redis: Redis, spool: Spool) -> None:
        self._redis = redis
        self._spool = spool
        self._writing = asyncio.Lock()
        self._is_redis_away = False

    async def take(self, batch: EventBatch) -> None:
        """Returns when the events survive the death of any one process.

        Raises Unavailable when neither Redis nor the disk takes them.
        """
        payload = stream.encode(batch)
        if not self._is_redis_away:
            try:
                await stream.append(self._redis, batch, payload)
            except AWAY as error:
                logger.warning("Redis does not take events, the spool does: %s", error)
                self._is_redis_away = True
            else:
                return
        await self._spool_safely(payload)

    async def replay_forever(self) -> None:
        """Move what is spooled into Redis when it is back, also what dead processes left."""
        while True:
            try:
                await self.replay()
            except AWAY as error:
                logger.warning("the spool cannot be replayed yet: %s", error)
            await asyncio.sleep(REPLAY_EVERY_S)

    async def replay(self) -> None:
        """Raises what Redis or the disk raises; nothing is lost then. Safe to repeat."""
        segments = self._spool.segments()
        if not segments and not self._is_redis_away:
            return
        await stream.backlog(self._redis)
        async with self._writing:
            self._spool.close()
        for path in segments:
            with claim(path) as is_ours:
                if is_ours:
                    await self._replay_segment(path)
        self._is_redis_away = False

    async def _replay_segment(self, path: Path) -> None:
        is_readable = True
        for payload in records(path):
            try:
                batch = stream.decode(payload)
            except msgspec.DecodeError:
                is_readable = False
                logger.exception("a record of %s cannot be read, the file is put aside", path)
            else:
                await stream.append(self._redis, batch, payload)
        done_with(path, is_readable=is_readable)

    async def _spool_safely(self, payload: bytes) -> None:
        try:
            async with self._writing:
                await asyncio.to_thread(self._spool.append, payload)
        except SpoolFull as error:
            raise Unavailable("events cannot be kept now", retry_after_s=RETRY_AFTER_S) from error
        except OSError as error:
            logger.exception("the spool cannot be written")
            raise Unavailable("events cannot be kept now", retry_after_s=RETRY_AFTER_S) from error

    def close(self) -> None:
        self._spool.close()


@contextlib.asynccontextmanager
async def open_intake(redis: Redis, settings: Settings) -> AsyncGenerator[Intake]:
    """An intake whose spool is replayed while it is open."""
    limit_bytes = settings.aisle_spool_limit_mb * 1024 * 1024
    intake = Intake(redis, Spool(settings.spool, limit_bytes))
    replaying = asyncio.create_task(intake.replay_forever())
    try:
        yield intake
    finally:
        replaying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await replaying
        intake.close()
