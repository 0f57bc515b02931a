"""`python -m tests.eval [NAME…]`: measure, keep what was measured, and write docs/quality.md.

NAME is an evaluation of `tests.eval.registry`, or `report`: write the page from what is kept.
Environment: DATASETS (names, where none are given as arguments, and what `sizes` and `cold` look
at), SEEDS (trainings per shop, 1), STAGE=validation (`sizes` and `cold` grade the period before the
test).
"""

import os
import sys

from rich.console import Console

from tests.eval.page import write_page
from tests.eval.registry import EVALUATIONS
from tests.eval.report import merged, read_report, write_report
from tests.eval.running import BUILD, TrainingFailed

REPORT = BUILD / "report.json"


def main(arguments: list[str]) -> int:
    console = Console()
    chosen = arguments or os.environ.get("DATASETS", "").replace(",", " ").split()
    chosen = chosen or list(EVALUATIONS)
    unknown = [name for name in chosen if name not in EVALUATIONS and name != "report"]
    if unknown:
        known = ", ".join([*EVALUATIONS, "report"])
        console.print(f"Unknown evaluation {', '.join(unknown)}. Known: {known}.")
        return 2
    for name in chosen:
        if name == "report":
            continue
        console.print(f"[bold]{name}[/bold]")
        try:
            rows = EVALUATIONS[name].run(console)
        except TrainingFailed as error:
            console.print("[red]training failed[/red]", str(error), sep="\n")
            return 1
        if rows:
            # read again: another evaluation may have written meanwhile
            write_report(REPORT, merged(read_report(REPORT), name, command_of(name), rows))
    for path in write_page(read_report(REPORT)):
        console.print(f"wrote {path}")
    return 0


def command_of(name: str) -> str:
    """What to type for the same again."""
    asked = [f"{key}={os.environ[key]}" for key in ("SEEDS", "MODELS") if os.environ.get(key)]
    return " ".join([*asked, "python -m tests.eval", name])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
