"""Tables and numbers of the page."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from tests.eval.grading import Lift

TITLES = {
    "uci_online_retail": "Gift shop (`uci_online_retail`)",
    "complete_journey_dev": "Grocer (`complete_journey_dev`)",
    "movielens_1m": "Films (`movielens_1m`)",
}
MODES = {"new": "new products", "repeat": "repeats allowed"}


class Part(NamedTuple):
    """A part of the page in Markdown, and the file names of the plots it shows."""

    text: str
    plots: list[str]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def plain_table(rows: Sequence[Struct]) -> str:
    """Every field that is a word or a number, as it is called."""
    names = [
        name
        for name in rows[0].__struct_fields__
        if isinstance(getattr(rows[0], name), str | int | float)
    ]
    header = [name.replace("_", " ") for name in names]
    return table(header, [[value(getattr(row, name)) for name in names] for row in rows])


def value(found: object) -> str:
    if isinstance(found, float):
        return f"{found:.4f}" if abs(found) < 10 else f"{found:.0f}"
    return f"{found:,}" if isinstance(found, int) else str(found)


def lift_in_words(lift: Lift) -> str:
    return f"{lift.ratio:+.1%} ({lift.low:+.1%} to {lift.high:+.1%})"


def spread(values: Sequence[float]) -> str:
    """Mean, and lowest and highest of several seeds."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.4f}"
    return f"{mean:.4f} ({min(values):.4f} to {max(values):.4f})"


def image(name: str, words: str) -> str:
    return f'<img src="quality/{name}" alt="{words}" width="100%">'
