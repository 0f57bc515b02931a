"""Why an event was rejected, in plain words that name the field."""

import re

import msgspec
from msgspec import Struct

from backend.events.schemas import EVENT_TYPES


class Flaw(Struct, frozen=True, kw_only=True):
    code: str
    """missing, wrong_type, out_of_range, too_long, not_allowed or malformed."""
    field: str | None
    """None: the event as a whole."""
    message: str


WORDS = {
    "int": "a whole number",
    "float": "a decimal number",
    "str": "text",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "datetime": "a time such as 2026-03-01T12:00:00Z",
}
PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?:\.(?P<field>\w+))?.*`)?$", re.DOTALL)
MISSING = re.compile(r"Object missing required field `(\w+)`")
WRONG_TYPE = re.compile(r"Expected `(\w+)(?: \| null)?`, got `(\w+)`")
LENGTH = re.compile(r"Expected `\w+` of length ([<>]=) (\d+)")
RANGE = re.compile(r"Expected `\w+` ([<>]=) (-?\d+)")


def explain(error: msgspec.ValidationError) -> Flaw:
    """Put what msgspec says about one event into words a shop's developer understands."""
    place = PLACE.match(str(error))
    what, field = (place["what"], place["field"]) if place else (str(error), None)
    if found := MISSING.match(what):
        return Flaw(code="missing", field=found[1], message=f"{found[1]} is missing")
    name = field or "the event"
    if found := WRONG_TYPE.match(what):
        expected, got = (WORDS.get(word, word) for word in found.groups())
        return Flaw(code="wrong_type", field=field, message=f"{name} must be {expected}, not {got}")
    return Flaw(code=_code(what), field=field, message=f"{name} {_complaint(what)}")


def _code(what: str) -> str:
    if LENGTH.match(what):
        return "too_long" if "<=" in what else "missing"
    if RANGE.match(what) or what == "Number out of range":
        return "out_of_range"
    return "not_allowed" if "enum" in what else "malformed"


def _complaint(what: str) -> str:
    if found := LENGTH.match(what):
        return f"is longer than {found[2]} characters" if found[1] == "<=" else "is empty"
    if found := RANGE.match(what):
        return f"must be at {'most' if found[1] == '<=' else 'least'} {found[2]}"
    if what.startswith("Invalid enum value"):
        return f"must be one of {', '.join(sorted(EVENT_TYPES))}"
    if "regex" in what:
        return "must be three capital letters, such as EUR"
    if "datetime" in what:
        return "must be a time such as 2026-03-01T12:00:00Z"
    return f"cannot be read: {what}"
