"""What a demo shows while it works: bars in a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Generator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Show = Callable[[str, float, str], None]
"""Name of the work, fraction done, and what there is to say about it."""

PLAIN_LINE_EVERY_S = 5.0


@contextlib.contextmanager
def progress(console: Console) -> Generator[Show]:
    """One bar per name, in the order in which they first appear."""
    if not console.is_terminal:
        yield plain_lines(console)
        return
    with Progress(
        TextColumn("  {task.description:<22}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[words]}[/dim]"),
        console=console,
    ) as bars:
        yield bars_in(bars)


def bars_in(bars: Progress) -> Show:
    """Stages may alternate; one that only waits ends when another begins."""
    tasks: dict[str, TaskID] = {}

    def show(name: str, fraction: float, words: str) -> None:
        if name not in tasks:
            for task in bars.tasks:
                bars.update(task.id, completed=task.completed or 1.0)
            tasks[name] = bars.add_task(name, total=1.0, words="")
        words = words or bars.tasks[tasks[name]].fields["words"]
        bars.update(tasks[name], completed=fraction, words=words)

    return show


def plain_lines(console: Console) -> Show:
    """A line when work begins, when it ends, and now and then between."""
    last = ("", 0.0, 0.0)

    def show(name: str, fraction: float, words: str) -> None:
        nonlocal last
        known, done, at = last
        now = time.monotonic()
        is_due = now - at >= PLAIN_LINE_EVERY_S and fraction > done
        if name != known or is_due or (fraction >= 1 > done):
            console.print(f"  {name}: {fraction:.0%} {words}".rstrip(), highlight=False)
            last = (name, fraction, now)

    return show
