"""What the same server could do at best: the same bodies, and nothing of the product's logic."""

import os

import msgspec
from litestar import Litestar, Response, post

from backend.cache import open_redis

KEPT = "bench:kept"
STREAM = "bench:events"


class Question(msgspec.Struct):
    placement: str
    customer_id: str
    limit: int


class Happening(msgspec.Struct):
    event_id: str
    type: str
    customer_id: str
    product_id: str
    occurred_at: str


class Happenings(msgspec.Struct):
    events: list[Happening]


HAPPENINGS = msgspec.json.Decoder(Happenings)


def create_app() -> Litestar:
    redis = open_redis(os.environ["REDIS_URL"])

    @post("/v1/recommendations", status_code=200)
    async def recommendations(data: Question) -> Response[bytes]:
        """One Redis GET, and what it holds as it is."""
        return Response(await redis.get(KEPT), media_type="application/json")

    @post("/v1/events", status_code=202)
    async def events(body: bytes) -> Response[bytes]:
        """Validated, and appended to a stream."""
        HAPPENINGS.decode(body)
        await redis.xadd(STREAM, {"batch": body}, maxlen=1000)
        return Response(b'{"accepted":100}', status_code=202, media_type="application/json")

    return Litestar([recommendations, events], openapi_config=None)
