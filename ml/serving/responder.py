"""Answers messages from a folder of releases; knows no server."""

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path

import msgspec
import numpy as np

from ml.release import ENGINE_VERSION, MANIFEST
from ml.serving.engine import UnknownProduct, recommend
from ml.serving.messages import (
    Alive,
    Answered,
    Ask,
    Failed,
    Message,
    Ping,
    Reply,
    Told,
    Widen,
    decode_message,
    encode,
)
from ml.serving.release import LoadedRelease
from ml.serving.release_shelf import ReleaseShelf, Shelved
from ml.serving.request import EngineRequest
from ml.serving.shelf import CAPACITY_BYTES, ReleaseUnusable

logger = logging.getLogger(__name__)

LONGEST_PATIENCE_S = 2.0
COLD = Failed(failure="cold", detail="the release is not in memory yet")
ABSENT = Failed(failure="cold", detail="the release is not on this machine")


class Responder:
    """Nothing that is sent makes it raise, and no reply tells where its files are."""

    def __init__(
        self,
        releases: Path,
        serves: Callable[[EngineRequest], bool] = lambda _request: True,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        """releases: holds `{tenant}/{release}`. `serves` refuses requests that are for others."""
        self._releases = releases
        self._serves = serves
        self._shelf = ReleaseShelf(self._folder, capacity_bytes)

    def reply(self, data: bytes) -> bytes:
        try:
            message = decode_message(data)
        except (msgspec.DecodeError, ValueError) as error:
            return encode(Failed(failure="bad-request", detail=str(error)))
        try:
            return encode(self._reply(message))
        except Exception:
            logger.exception("a message could not be answered")
            return encode(Failed(failure="failed", detail="the engine failed; its log says why"))

    def close(self) -> None:
        self._shelf.close()

    def _reply(self, message: Message) -> Reply:
        match message:
            case Ask():
                return self._answer(message)
            case Widen():
                return self._widen(message)
            case Ping():
                return Alive(engine_version=ENGINE_VERSION, releases=len(self._shelf))

    def _answer(self, ask: Ask) -> Reply:
        if not self._serves(ask.request):
            return Failed(failure="bad-request", detail="this model answers other requests")
        shelved = self._shelved(ask.tenant, ask.release, ask.patience_ms / 1000)
        if isinstance(shelved, Failed):
            return shelved
        release = shelved.wider if ask.arrivals == shelved.arrivals else shelved.own
        try:
            answer = recommend(release, fitted(ask.request, release))
        except UnknownProduct as error:
            return Failed(failure="unknown-product", detail=str(error))
        return Answered(answer=answer, arrivals=shelved.arrivals)

    def _widen(self, widen: Widen) -> Reply:
        shelved = self._shelved(widen.tenant, widen.release, 0)
        if isinstance(shelved, Failed):
            return shelved
        self._shelf.widen((widen.tenant, widen.release), widen.arrivals)
        return Told(arrivals=shelved.arrivals)

    def _shelved(self, tenant: str, release: str, patience_s: float) -> Shelved | Failed:
        key = (tenant, release)
        held = self._shelf.held(key)
        if held is not None:
            return held
        if not is_plain(tenant) or not is_plain(release):
            return Failed(failure="bad-request", detail="tenant and release are plain names")
        if not (self._folder(*key) / MANIFEST).exists():
            return ABSENT
        return settled(self._shelf.load(key), min(patience_s, LONGEST_PATIENCE_S))

    def _folder(self, tenant: str, release: str) -> Path:
        return self._releases / tenant / release


def settled(loading: Future[Shelved], patience_s: float) -> Shelved | Failed:
    try:
        return loading.result(patience_s)
    except (TimeoutError, CancelledError):
        return COLD
    except ReleaseUnusable as error:
        logger.error("%s", error)
        return Failed(failure="unusable", detail="the release is broken; the log says why")


def is_plain(name: str) -> bool:
    return bool(name) and name not in {".", ".."} and not set(name) & set("/\\\0")


def fitted(request: EngineRequest, release: LoadedRelease) -> EngineRequest:
    """The mask as long as the release: what it does not reach may not be shown."""
    if request.blocked is None:
        return request
    n = len(release.product_ids)
    mask = np.ones(n, np.bool_)
    given = request.blocked[:n]
    mask[: len(given)] = given
    return msgspec.structs.replace(request, blocked=mask)
