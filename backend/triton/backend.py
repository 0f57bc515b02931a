"""Answers of a Triton server; whatever it does, within a deadline."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import msgspec

from backend.inference import (
    InferenceUnavailable,
    Listed,
    LiveProducts,
    Locate,
    ReleaseUnusable,
)
from backend.triton.breaker import CircuitBreaker
from backend.triton.client import TritonClient
from backend.triton.listings import Listing, Listings, open_listings
from ml.serving.arrivals import Arrivals
from ml.serving.engine import UnknownProduct
from ml.serving.messages import (
    Answered,
    Ask,
    Failed,
    Message,
    Reply,
    Told,
    Widen,
    decode_reply,
    encode,
)
from ml.serving.request import EngineAnswer, EngineRequest
from ml.serving.shelf import ReleaseKey

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""Calls of this process at the server; its own queue has no end."""
PART_FOR_LOADING = 1 / 3
"""Of the deadline: how long a release that is not in the server's memory may take."""
TELL_AFTER_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
SURE_AFTER = 2
"""Replies in a row that know the arrivals: a server has several instances, told one by one."""


class TritonBackend:
    """Asks one server, or several behind one name that hold the same releases."""

    def __init__(
        self, client: TritonClient, locate: Locate, deadline_s: float, breaker: CircuitBreaker
    ) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self._breaker = breaker
        self._listings = open_listings(locate)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._telling: set[ReleaseKey] = set()
        self._behind: set[asyncio.Task[Any]] = set()

    async def release(self, tenant_id: UUID, release_id: str, live: LiveProducts) -> Listing:
        key = (str(tenant_id), release_id)
        listings = self._listings.held(key)
        if listings is None:
            listings = await asyncio.shield(asyncio.wrap_future(self._listings.load(key)))
        arrivals = live.arrivals(listings.own)
        if arrivals.token != listings.wider.arrivals and not self._breaker.is_open:
            self._tell(listings.own, arrivals)
        return listings.wider

    async def recommend(self, release: Listed, request: EngineRequest) -> EngineAnswer:
        if not isinstance(release, Listing):
            raise TypeError("the release was given by another backend")
        tenant, release_id = release.key
        ask = Ask(
            tenant=tenant,
            release=release_id,
            request=request,
            arrivals=release.arrivals,
            patience_ms=int(self._deadline_s * PART_FOR_LOADING * 1000),
        )
        reply = await self._ask(ask, lambda reply: is_sound(reply, release, request))
        if isinstance(reply, Failed):
            raise failure_of(reply, release_id)
        if not isinstance(reply, Answered):
            raise InferenceUnavailable("Triton answered another question")
        if reply.arrivals != release.arrivals:
            self._forget_arrivals(release.key)
        return reply.answer

    async def close(self) -> None:
        for task in list(self._behind):
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)
        await self._client.close()
        await asyncio.to_thread(self._listings.close)

    async def _ask(self, message: Message, is_sound: Callable[[Reply], bool]) -> Reply:
        if not self._breaker.is_open:
            return await self._attempt(message, is_sound)
        if self._breaker.take_probe():
            # The question itself is the probe; whoever asked it does not wait to see.
            self._do_behind(self._attempt(message, is_sound))
        raise InferenceUnavailable("Triton kept failing and is not asked")

    async def _attempt(self, message: Message, is_sound: Callable[[Reply], bool]) -> Reply:
        try:
            async with asyncio.timeout(self._deadline_s), self._places:
                reply = decode_reply(await self._client.send(encode(message)))
            if not is_sound(reply):
                raise InferenceUnavailable("Triton answered nonsense")
        except TimeoutError as error:
            self._breaker.failed()
            raise InferenceUnavailable("Triton did not answer in time") from error
        except (InferenceUnavailable, msgspec.DecodeError) as error:
            self._breaker.failed()
            raise InferenceUnavailable(str(error)) from error
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return reply

    def _tell(self, own: Listing, arrivals: Arrivals) -> None:
        if own.key not in self._telling:
            self._telling.add(own.key)
            self._do_behind(self._tell_until_known(own, arrivals))

    async def _tell_until_known(self, own: Listing, arrivals: Arrivals) -> None:
        tenant, release_id = own.key
        widen = Widen(tenant=tenant, release=release_id, arrivals=arrivals)
        known = 0
        try:
            for pause_s in TELL_AFTER_S:
                await asyncio.sleep(0.0 if known else pause_s)
                reply = await self._ask(widen, lambda reply: isinstance(reply, Told | Failed))
                is_known = isinstance(reply, Told) and reply.arrivals == arrivals.token
                known = known + 1 if is_known else 0
                if known == SURE_AFTER:
                    listings = Listings(own, own.followed_by(arrivals))
                    self._listings.replace(own.key, listings)
                    return
        finally:
            self._telling.discard(own.key)

    def _forget_arrivals(self, key: ReleaseKey) -> None:
        """The server knows others: it was told by another process, or began anew."""
        listings = self._listings.held(key)
        if listings is not None:
            self._listings.replace(key, Listings(listings.own, listings.own))

    def _do_behind(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._behind.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("behind an answer: %s", error)


def is_sound(reply: Reply, release: Listing, request: EngineRequest) -> bool:
    """Whether the reply can be an answer to the request."""
    if isinstance(reply, Failed):
        return True
    if not isinstance(reply, Answered):
        return False
    items = reply.answer.items
    names = {item.product_id for item in items}
    return (
        len(names) == len(items) <= request.limit
        and reply.answer.release_id == release.release_id
        and all(name in release.index for name in names)
        and all(math.isfinite(item.score) and 0 <= item.score <= 1 for item in items)
    )


def failure_of(reply: Failed, release_id: str) -> Exception:
    if reply.failure == "unknown-product":
        return UnknownProduct(reply.detail)
    if reply.failure == "unusable":
        return ReleaseUnusable(f"Triton cannot load release {release_id}: {reply.detail}")
    return InferenceUnavailable(f"Triton, about release {release_id}: {reply.detail}")
