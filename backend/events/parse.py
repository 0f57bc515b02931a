"""The events in the body of a request, each decoded or with the reason why it cannot be."""

import json
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from backend.errors import BadRequest, TooLarge
from backend.events.explain import explain_event
from backend.events.schemas import LONGEST_ID, BeaconEventIn, EventIn
from backend.explain import Flaw

ALONE = ""
IN_LIST = "/events/{}"


class ServerEvents(Struct, frozen=True):
    events: list[EventIn] | UnsetType = UNSET


class BeaconEvents(Struct, frozen=True):
    events: list[BeaconEventIn] | UnsetType = UNSET


class RawEvents(Struct, frozen=True):
    events: list[Raw] | UnsetType = UNSET


class NamedEvent(Struct, frozen=True):
    event_id: Any = None


class Form(Struct, frozen=True, kw_only=True):
    """How one route takes events: {"events": […]}, or one event by itself."""

    many: msgspec.json.Decoder[ServerEvents] | msgspec.json.Decoder[BeaconEvents]
    one: msgspec.json.Decoder[EventIn] | msgspec.json.Decoder[BeaconEventIn]
    most: int


SERVER = Form(many=msgspec.json.Decoder(ServerEvents), one=msgspec.json.Decoder(EventIn), most=500)
BEACON = Form(
    many=msgspec.json.Decoder(BeaconEvents), one=msgspec.json.Decoder(BeaconEventIn), most=100
)

AnyEvent = EventIn | BeaconEventIn


class Unread(Struct, frozen=True, kw_only=True):
    """An event that is rejected."""

    event_id: str | None
    flaw: Flaw


class Sent(Struct, frozen=True, kw_only=True):
    """`pointer` is the JSON pointer to one of the events, with a place for its position."""

    events: Sequence[AnyEvent | Unread]
    pointer: str


class Pieces(Struct, frozen=True, kw_only=True):
    """The JSON of each event."""

    jsons: Sequence[bytes | Raw | Unread]
    pointer: str


class Keyed(Struct, frozen=True):
    key: str | None = None


def key_in(body: bytes) -> str | None:
    """The API key that a beacon, which can set no header, carries in its body."""
    try:
        return msgspec.json.decode(body, type=Keyed).key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_events(body: bytes, form: Form) -> Sent:
    """Raises BadRequest when the body has no events in it, TooLarge when it has too many."""
    try:
        events = form.many.decode(body).events
        if isinstance(events, UnsetType):
            return Sent(events=[form.one.decode(body)], pointer=ALONE)
        sent = Sent(events=events, pointer=IN_LIST)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        sent = _read_one_by_one(body, form)
    if not sent.events:
        raise BadRequest("there are no events in the body", pointer="/events")
    if len(sent.events) > form.most:
        raise _too_many(form)
    return sent


def _read_one_by_one(body: bytes, form: Form) -> Sent:
    pieces = _split(body)
    if len(pieces.jsons) > form.most:
        raise _too_many(form)
    events = [
        piece if isinstance(piece, Unread) else _decode(piece, form) for piece in pieces.jsons
    ]
    return Sent(events=events, pointer=pieces.pointer)


def _too_many(form: Form) -> TooLarge:
    return TooLarge(f"send at most {form.most} events at once", pointer="/events")


def _split(body: bytes) -> Pieces:
    try:
        events = msgspec.json.decode(body, type=RawEvents).events
    except RecursionError as error:
        raise BadRequest("the JSON is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error
    except msgspec.ValidationError as error:
        flaw = explain_event(error)
        pointer = None if flaw.field is None else f"/{flaw.field}"
        message = flaw.message.replace("the event", "the body")
        raise BadRequest(message, pointer=pointer) from error
    except msgspec.DecodeError as error:
        return _split_lenient(body, error)
    if isinstance(events, UnsetType):
        return Pieces(jsons=[body], pointer=ALONE)
    return Pieces(jsons=events, pointer=IN_LIST)


def _split_lenient(body: bytes, error: msgspec.DecodeError) -> Pieces:
    """Some senders write NaN into JSON: it costs its own event only."""
    try:
        fields = msgspec.convert(json.loads(body), dict[str, Any])
    except (ValueError, RecursionError):
        raise BadRequest(f"the body is not JSON: {error}") from error
    if "events" not in fields:
        return Pieces(jsons=[_strict(fields)], pointer=ALONE)
    events = fields["events"]
    if not isinstance(events, list):
        raise BadRequest("events must be a list", pointer="/events") from error
    return Pieces(jsons=[_strict(event) for event in cast("list[Any]", events)], pointer=IN_LIST)


def _strict(event: object) -> bytes | Unread:
    fields = cast("dict[str, object]", event) if isinstance(event, dict) else {}
    for field, value in fields.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            message = f"{field} must not be NaN or infinite"
            flaw = Flaw(code="malformed", field=field, message=message)
            return Unread(event_id=_id_or_none(fields.get("event_id")), flaw=flaw)
    return json.dumps(event).encode()


def _decode(piece: bytes | Raw, form: Form) -> AnyEvent | Unread:
    try:
        return form.one.decode(piece)
    except msgspec.ValidationError as error:
        flaw = explain_event(error)
    except RecursionError:
        flaw = Flaw(code="malformed", field=None, message="the event is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        flaw = Flaw(code="malformed", field=None, message=f"the event is not JSON: {error}")
    return Unread(event_id=_id_of(piece), flaw=flaw)


def _id_of(piece: bytes | Raw) -> str | None:
    try:
        return _id_or_none(msgspec.json.decode(piece, type=NamedEvent).event_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _id_or_none(value: object) -> str | None:
    return value[:LONGEST_ID] if isinstance(value, str) else None
