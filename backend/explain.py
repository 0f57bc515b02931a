"""What msgspec says about wrong input, in plain words with the place of the mistake."""

import re

from msgspec import Struct

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
FORMS = {
    "^[A-Z]{3}$": "must be three capital letters, such as EUR",
    "^[A-Z]{2}$": "must be two capital letters, such as DE",
    r"^https?://[^\s/]\S*$": "must be an http or https address",
}
"""Patterns of our schemas."""

PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in `?)?\$(?P<path>.*?)`+)?$", re.DOTALL)
STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
MISSING = re.compile(r"Object missing required field `(\w+)`")
WRONG_TYPE = re.compile(r"Expected `([\w |]+)`, got `(\w+)`")
LENGTH = re.compile(r"Expected `(\w+)` of length ([<>]=) (\d+)")
RANGE = re.compile(r"Expected `\w+` ([<>]=) (-?\d+)")
PATTERN = re.compile(r"Expected `str` matching regex '(.*)'$")


class Flaw(Struct, frozen=True, kw_only=True):
    """`code` is missing, wrong_type, out_of_range, too_long, not_allowed or malformed."""

    code: str
    message: str
    field: str | None = None
    """The member of the row that is wrong; None: the row as a whole."""
    pointer: str = ""
    """JSON pointer below the row, which begins with the field."""


def explain(error: Exception, whole: str = "the row") -> Flaw:
    """A flaw for what msgspec raised; `whole` names what was read."""
    if isinstance(error, RecursionError):
        return Flaw(code="malformed", message=f"{whole} is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Flaw(code="malformed", message=f"{whole} is not UTF-8")
    return explain_words(str(error), whole)


def explain_words(said: str, whole: str = "the row") -> Flaw:
    place = PLACE.match(said)
    what, path = (place["what"], place["path"] or "") if place else (said, "")
    steps = [name or index for name, index in STEP.findall(path)]
    if found := MISSING.match(what):
        steps.append(found[1])
        return _flaw("missing", steps, f"{'.'.join(steps)} is missing")
    code, complaint = _complaint(what)
    return _flaw(code, steps, f"{_named(steps) or whole} {complaint}")


def _flaw(code: str, steps: list[str], message: str) -> Flaw:
    known = steps[: steps.index("...")] if "..." in steps else steps
    pointer = "".join(f"/{step}" for step in known)
    field = next((step for step in reversed(known) if not step.isdigit()), None)
    return Flaw(code=code, message=message, field=field, pointer=pointer)


def _named(steps: list[str]) -> str:
    """products, 3, price_cents becomes `price_cents`; markets, 1 becomes `markets[1]`."""
    names = [position for position, step in enumerate(steps) if re.match(r"[^\d.]", step)]
    if not names:
        return ""
    last = names[-1]
    return steps[last] + "".join(f"[{step}]" for step in steps[last + 1 :])


def _complaint(what: str) -> tuple[str, str]:
    """The code, and the words that follow the name of the field."""
    if found := WRONG_TYPE.match(what):
        expected = " or ".join(
            WORDS.get(word, word) for word in found[1].split(" | ") if word != "null"
        )
        return "wrong_type", f"must be {expected}, not {WORDS.get(found[2], found[2])}"
    if found := LENGTH.match(what):
        return _length_complaint(found[1], found[2], found[3])
    if found := RANGE.match(what):
        side = "most" if found[1] == "<=" else "least"
        return "out_of_range", f"must be at {side} {found[2]}"
    if found := PATTERN.match(what):
        form = found[1].replace("\\\\", "\\")
        return "malformed", FORMS.get(form, f"must match {form}")
    return _rare_complaint(what)


def _length_complaint(kind: str, comparison: str, length: str) -> tuple[str, str]:
    pieces = "characters" if kind == "str" else "entries"
    if comparison == "<=":
        return "too_long", f"is longer than {length} {pieces}"
    return "missing", "is empty" if length == "1" else f"has fewer than {length} {pieces}"


def _rare_complaint(what: str) -> tuple[str, str]:
    if what == "Number out of range":
        return "out_of_range", "is out of range"
    if what.startswith("Invalid enum value"):
        return "not_allowed", f"cannot be {what.removeprefix('Invalid enum value ')}"
    if "datetime" in what:
        return "malformed", "must be a time such as 2026-03-01T12:00:00Z"
    return "malformed", f"cannot be read: {what}"
