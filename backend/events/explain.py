"""Why an event was rejected, in plain words that name the field."""

import msgspec
from msgspec import structs

from backend.events.schemas import EVENT_TYPES
from backend.explain import Flaw, explain


def explain_event(error: msgspec.ValidationError) -> Flaw:
    """As for any row; a type that does not exist is answered with those that do."""
    flaw = explain(error, "the event")
    if flaw.code != "not_allowed":
        return flaw
    return structs.replace(
        flaw, message=f"{flaw.field} must be one of {', '.join(sorted(EVENT_TYPES))}"
    )
