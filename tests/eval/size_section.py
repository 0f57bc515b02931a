"""The part of the page on data sets of every size."""

from collections.abc import Sequence
from pathlib import Path

from tests.eval import plots
from tests.eval.markdown import MODES, TITLES, Part, image, lift_in_words, table
from tests.eval.sizes import SizeRow

PLOT = "sizes.svg"
HEADER = (
    *("data set", "question", "events", "cut", "shoppers", "NDCG@20", "best simple"),
    *("its NDCG@20", "lift (95 % interval)", "served by"),
)


def size_section(rows: Sequence[SizeRow], folder: Path) -> Part:
    ordered = sorted(rows, key=lambda row: (row.dataset, row.mode, -row.share, row.by))
    worse = sum(row.lift.ratio < 0 for row in ordered)
    surely = sum(row.lift.high < 0 for row in ordered)
    text = "\n\n".join(
        [
            "What is served must never be worse than the best of popularity, trending and "
            "item-kNN (and personal frequency where repeats count), however small the shop. "
            "*By shoppers*: some of the shoppers with all their events. *By events*: each event "
            "by chance. Several samples are drawn of small shares, and their shoppers are put "
            "together. The best of the simple methods is chosen with the answers in view, which "
            "favours it.",
            f"**{len(ordered) - worse} of {len(ordered)} rows are at or above the best simple "
            f"method; {surely} are below it for certain** (95 % interval under zero).",
            table(
                HEADER,
                [_line(row) for row in ordered],
            ),
            image(PLOT, "Lift over the best simple method by data set and size, 95 % interval"),
        ]
    )
    _draw(ordered, folder / PLOT)
    return Part(text, [PLOT])


def _line(row: SizeRow) -> list[str]:
    return [
        TITLES[row.dataset].split(" (")[0],
        MODES[row.mode],
        f"{row.share:.0%}, {row.events // row.draws:,}",
        "whole" if row.share == 1 else f"by {row.by}, {row.draws} draws",
        f"{row.shoppers:,}",
        f"{row.ndcg:.4f}",
        row.best,
        f"{row.rivals[row.best]:.4f}",
        lift_in_words(row.lift),
        ", ".join(f"{name} {row.served_by.count(name)}x" for name in sorted(set(row.served_by))),
    ]


def _draw(rows: Sequence[SizeRow], path: Path) -> None:
    modes = [mode for mode in MODES if any(row.mode == mode for row in rows)]
    figure, axes = plots.panels(len(modes), height=0.9 + 0.2 * len(rows) / len(modes) * 1.3)
    for axis, mode in zip(axes, modes, strict=True):
        chosen = [
            plots.Interval(_short(row), row.lift.ratio, row.lift.low, row.lift.high)
            for row in rows
            if row.mode == mode
        ]
        plots.intervals(axis, chosen, "lift, %", MODES[mode])
    plots.save(figure, path)


def _short(row: SizeRow) -> str:
    name = TITLES[row.dataset].split(" (")[0]
    return f"{name} {row.share:.0%}" + ("" if row.share == 1 else f" by {row.by}")
