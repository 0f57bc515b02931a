"""HTTP of events: sending, reading back, dead letters, and what Aisle has of a shop."""

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from backend.auth.caller import Caller, admit, requires
from backend.cache import Redis
from backend.db import Pool
from backend.errors import AnyRequest, request_id
from backend.events import dead_letters, listing, readiness
from backend.events.accept import accept
from backend.events.intake import Intake
from backend.events.operations import BeaconOperation, EventsOperation
from backend.events.parse import BEACON, SERVER, key_in
from backend.events.schemas import (
    DeadLetters,
    EventsAnswer,
    Readiness,
    RejectedEvents,
    Retried,
    StoredEvents,
)
from backend.idempotency import SAFE_TO_REPEAT

BEACON_BYTES = 256 * 1024

Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")]
PageSize = Annotated[int, QueryParameter(ge=1, le=200)]


@post(
    "/events",
    status_code=202,
    guards=[requires("events")],
    operation_class=EventsOperation,
    opt={SAFE_TO_REPEAT: True},
)
async def send_events(
    request: AnyRequest, caller: NamedDependency[Caller]
) -> Response[EventsAnswer] | Response[RejectedEvents]:
    """Send up to 500 events, from a server. Each gets its own answer; sending again is safe."""
    body = await request.body()
    return answered(request, await accept(intake_of(request), caller.tenant_id, body, SERVER))


@post(
    "/collect",
    status_code=202,
    request_max_body_size=BEACON_BYTES,
    operation_class=BeaconOperation,
)
async def collect(request: AnyRequest) -> Response[EventsAnswer] | Response[RejectedEvents]:
    """Send up to 100 events, from a storefront. The key may be in the body, as `key`."""
    body = await request.body()
    authorization = request.headers.get("authorization") or f"Bearer {key_in(body) or ''}"
    caller = await admit(request, authorization, "collect")
    return answered(request, await accept(intake_of(request), caller.tenant_id, body, BEACON))


def answered(
    request: AnyRequest, answer: EventsAnswer
) -> Response[EventsAnswer] | Response[RejectedEvents]:
    """202 when anything was accepted."""
    if answer.accepted:
        return Response(answer, status_code=202)
    problem = RejectedEvents(
        kind="urn:aisle:problem:events_rejected",
        title="Unprocessable",
        status=422,
        code="events_rejected",
        detail="no event was accepted; `results` says why",
        request_id=request_id(request),
        results=answer.results,
    )
    return Response(problem, status_code=422, media_type="application/problem+json")


@get("/events", guards=[requires("events")])
async def list_events(
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    customer_id: Annotated[str | None, QueryParameter()] = None,
    session_id: Annotated[str | None, QueryParameter()] = None,
    cursor: Cursor = None,
    limit: PageSize = 50,
) -> StoredEvents:
    """List what one shopper did, newest first."""
    return await listing.stored_events(
        pool, caller.tenant_id, customer_id, session_id, cursor, limit
    )


@get("/events/dead-letters", guards=[requires("events")])
async def list_dead_letters(
    caller: NamedDependency[Caller], pool: NamedDependency[Pool], cursor: Cursor = None
) -> DeadLetters:
    """List accepted events that could not be stored, newest first."""
    return await dead_letters.dead_letters(pool, caller.tenant_id, cursor)


@post("/events/dead-letters/{entry_id:str}/retry", status_code=202, guards=[requires("events")])
async def retry_dead_letter(
    entry_id: FromPath[str],
    request: AnyRequest,
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
) -> Retried:
    """Try once more to store the events of a dead letter."""
    return await dead_letters.retry(pool, intake_of(request), caller.tenant_id, entry_id)


@get("/readiness", guards=[requires("models")])
async def read_readiness(
    caller: NamedDependency[Caller], pool: NamedDependency[Pool], redis: NamedDependency[Redis]
) -> Readiness:
    """Tell what Aisle has of the shop, what waits, what serves, how the last training went."""
    return await readiness.readiness(pool, redis, caller.tenant_id)


def intake_of(request: AnyRequest) -> Intake:
    """Not a dependency: resolving two at once costs more than reading one event."""
    return request.app.state.intake


router = Router(
    "/v1",
    route_handlers=[
        send_events,
        collect,
        list_events,
        list_dead_letters,
        retry_dead_letter,
        read_readiness,
    ],
    tags=["Events"],
)
