"""`docs/quality.md` and its plots, from what the report holds and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from tests.eval.markdown import MODES, TITLES, lift_in_words, spread, table
from tests.eval.registry import EVALUATIONS
from tests.eval.report import Report
from tests.eval.running import CHECKOUT
from tests.eval.shops import ShopRow

DOCS = CHECKOUT / "docs"
PLOTS = "quality"
HEAD = """# Quality, measured

This page is written by `make eval` from `build/eval/report.json`; change the code, not the page.
What the numbers mean, and what they do not say, is in [evaluation.md](evaluation.md). Lifts are
paired by shopper, with a 95 % bootstrap interval; in brackets after a mean: the lowest and highest
seed."""
FOOT = "¹ Measured once by another harness on the same data, cut and metrics; not rerun here."


def write_page(report: Report, docs: Path = DOCS) -> list[Path]:
    """The files written; plots that no part shows any more are removed."""
    shown: list[str] = []
    texts = [HEAD]
    glance = at_a_glance(report)
    if glance:
        texts += ["## At a glance", glance]
    for name, evaluation in EVALUATIONS.items():
        rows = report.rows(name, evaluation.row)
        if not rows:
            continue
        part = evaluation.section(rows, docs / PLOTS)
        command = report.sections[name].command
        texts += [f"## {evaluation.title or TITLES.get(name, name)}", f"`{command}`", part.text]
        shown += part.plots
    for stale in (docs / PLOTS).glob("*.svg"):
        if stale.name not in shown:
            stale.unlink()
    page = docs / "quality.md"
    page.write_text("\n\n".join([*texts, FOOT]) + "\n")
    return [page, *(docs / PLOTS / name for name in shown)]


def at_a_glance(report: Report) -> str:
    rows = [row for name in TITLES for row in report.rows(name, ShopRow)]
    return (
        table(
            [
                "data set",
                "question",
                "shoppers",
                "NDCG@20 as served",
                "recall@20",
                "best simple method",
                "its NDCG@20",
                "Aisle over it (95 % interval)",
            ],
            [_line(row) for row in rows],
        )
        if rows
        else ""
    )


def _line(row: ShopRow) -> Sequence[str]:
    best = row.rivals[0]
    return [
        TITLES[row.dataset],
        MODES[row.mode],
        f"{row.shoppers:,}",
        spread([each.ndcg for each in row.seeds]),
        spread([each.recall for each in row.seeds]),
        best.name,
        f"{best.ndcg:.4f}",
        lift_in_words(best.lift),
    ]
