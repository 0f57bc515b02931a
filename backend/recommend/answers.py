"""Whole answers, for a moment in this process, while nothing that they rest on has changed."""

import time
from collections import OrderedDict

import msgspec
from msgspec import Struct

from backend.recommend.schemas import RecommendationRequest, Recommendations
from backend.recommend.signals import Signals
from backend.tenancy import TenantId

KEPT_S = 1.5
"""Within it a change that its writer could not announce goes unnoticed."""
KEPT_ITEMS = 30_000

Key = tuple[TenantId, bytes]


class Kept(Struct, frozen=True, gc=False):
    answer: Recommendations
    signals: Signals
    until_s: float


class AnswerCache:
    """At most KEPT_ITEMS products in all; answers of a failing part are not kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._items = 0

    def get(self, key: Key, signals: Signals) -> Recommendations | None:
        """The answer as it was given, unless a signal is another one since."""
        kept = self._kept.get(key)
        if kept is None or kept.signals != signals or time.monotonic() > kept.until_s:
            return None
        return kept.answer

    def put(self, key: Key, signals: Signals, answer: Recommendations) -> None:
        """`signals` were read before the answer was made."""
        if answer.degraded or not signals.are_known:
            return
        before = self._kept.pop(key, None)
        self._items += len(answer.items) - (len(before.answer.items) if before else 0)
        self._kept[key] = Kept(answer, signals, time.monotonic() + KEPT_S)
        while self._items > KEPT_ITEMS:
            _, oldest = self._kept.popitem(last=False)
            self._items -= len(oldest.answer.items)


def answer_key(tenant_id: TenantId, request: RecommendationRequest) -> Key:
    return tenant_id, ENCODER.encode(request)


ENCODER = msgspec.msgpack.Encoder()
