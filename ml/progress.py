"""How long work tells of itself: stage, fraction done, figures of the moment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Report = Callable[[str, float, dict[str, float]], None]


def part(report: Report, stage: str, start: float, share: float) -> Callable[..., None]:
    """A reporter for one part of a stage, which runs from `start` over `share` of it."""

    def partial(fraction: float, figures: dict[str, float] | None = None) -> None:
        report(stage, start + share * fraction, figures or {})

    return partial


@contextmanager
def bars(console: Console) -> Iterator[Report]:
    """One bar per stage in a terminal, a line per stage elsewhere."""
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, fraction: float, figures: dict[str, float]) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0, figures="")
            progress.update(tasks[stage], completed=fraction)
            if figures:
                words = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
                progress.update(tasks[stage], figures=words)

        yield report
