"""What the same server could do at best: the same bodies, and nothing of the product's logic."""

import os

import msgspec
from litestar import Litestar, Response, post

from backend.cache import open_redis
from backend.events.schemas import EventIn, EventsAnswer, RowResult

KEPT = "bench:kept"
STREAM = "bench:events"


class Question(msgspec.Struct):
    placement: str
    customer_id: str
    limit: int


class Batch(msgspec.Struct):
    events: list[EventIn]


BATCHES = msgspec.json.Decoder(Batch)


def create_app() -> Litestar:
    redis = open_redis(os.environ["REDIS_URL"])

    @post("/v1/recommendations", status_code=200)
    async def recommendations(data: Question) -> Response[bytes]:
        """One Redis GET, and what it holds as it is."""
        return Response(await redis.get(KEPT), media_type="application/json")

    @post("/v1/events", status_code=202)
    async def events(body: bytes) -> Response[bytes]:
        """Validated field by field, appended to a stream, and answered event by event."""
        sent = BATCHES.decode(body).events
        await redis.xadd(STREAM, {"batch": body}, maxlen=1000)
        results = [RowResult(status="accepted", event_id=event.event_id) for event in sent]
        answer = EventsAnswer(accepted=len(sent), duplicates=0, rejected=0, results=results)
        return Response(msgspec.json.encode(answer), status_code=202, media_type="application/json")

    return Litestar([recommendations, events], openapi_config=None)
