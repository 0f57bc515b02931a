"""docs/import.md says what is so."""

import re
from pathlib import Path

import pytest

from backend.events.schemas import EVENT_TYPES
from backend.imports.kinds import KINDS
from backend.imports.schemas import Kind
from ml.dataset import SCHEMAS

DOCUMENT = (Path(__file__).parents[3] / "docs" / "import.md").read_text()


def documented(kind: Kind) -> dict[str, str]:
    """Column → type, in the order of the document."""
    section = DOCUMENT.split(f"## {kind.capitalize()}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_is_documented_and_no_other(kind: Kind) -> None:
    assert sorted(documented(kind)) == sorted(KINDS[kind].columns)
    assert list(documented(kind)) == SCHEMAS[kind].names


@pytest.mark.parametrize("kind", KINDS)
def test_the_required_columns_are_marked(kind: Kind) -> None:
    marked = [name for name, words in documented(kind).items() if "required" in words]

    assert marked == list(KINDS[kind].required)


def test_every_type_of_event_is_documented() -> None:
    [types] = re.findall(r"^Types: (.*?)\. A past", DOCUMENT, re.MULTILINE | re.DOTALL)

    assert set(re.findall(r"`(\w+)`", types)) == EVENT_TYPES
