"""What `python -m tests.eval` can run, by name. A new evaluation is one line here."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from rich.console import Console

from tests.eval import clicks, cold, sessions, shops, sizes
from tests.eval.click_section import click_section
from tests.eval.markdown import Part, plain_table
from tests.eval.raw import CUTS
from tests.eval.shop_section import shop_section
from tests.eval.size_section import size_section


class Run(Protocol):
    """Measures, says on the console what it does, and returns rows of one kind.

    A row is a frozen Struct with a field `dataset`, and `model` where several are compared. No
    rows: its data is not there, and the console says so.
    """

    def __call__(self, console: Console) -> Sequence[Struct]: ...


def plain_section(rows: Sequence[Struct], folder: Path) -> Part:
    """A table of every field that is a word or a number, and no plot."""
    return Part(plain_table(rows), [])


class Evaluation(Struct, frozen=True):
    row: type[Struct]
    run: Run
    title: str = ""
    """Of its part of the page."""
    section: Callable[[Sequence[Any], Path], Part] = plain_section
    """Rows and the folder of the plots -> its part of the page; writes the plots."""


EVALUATIONS: dict[str, Evaluation] = {
    **{
        name: Evaluation(shops.ShopRow, partial(shops.run, name), section=shop_section)
        for name in CUTS
    },
    "clicks": Evaluation(clicks.ClickResult, clicks.run, "Rankers on real answers", click_section),
    **{
        name: Evaluation(
            sessions.SessionResult,
            partial(sessions.run, name),
            f"Next product of anonymous visits: {name}",
            sessions.session_section,
        )
        for name in sessions.DATASETS
    },
    "cold": Evaluation(cold.ColdResult, cold.run, "Products without a past", cold.cold_section),
    "sizes": Evaluation(sizes.SizeRow, sizes.run, "Shops of every size", size_section),
}
