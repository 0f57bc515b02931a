"""Small SVG figures: the same bytes for the same numbers, readable in light and dark."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1b2430"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a95a5", "#7a5195")
"""Told apart with any colour vision (Okabe & Ito 2008); markers and dashes differ as well."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = {
    "svg.hashsalt": "aisle",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
FOLLOWS_READER = (
    "<style>svg{color:#1b2430;font-family:system-ui,sans-serif}"
    "@media (prefers-color-scheme: dark){svg{color:#eef2f7}}</style>"
)


class Line(NamedTuple):
    name: str
    x: Sequence[float]
    y: Sequence[float]


class Interval(NamedTuple):
    """A ratio with its 95 % interval."""

    name: str
    ratio: float
    low: float
    high: float


def panels(count: int, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """Side by side."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, height), layout="constrained")
        axes = figure.subplots(1, count, squeeze=False)
    return figure, list(axes[0])


def lines(axes: Axes, series: Sequence[Line], x_label: str, y_label: str, title: str) -> None:
    for place, line in enumerate(series):
        axes.plot(
            line.x,
            line.y,
            color=COLOURS[place % len(COLOURS)],
            marker=MARKERS[place % len(MARKERS)],
            markersize=4,
            linewidth=1.4,
            label=line.name,
        )
    labelled(axes, x_label, y_label, title)


def bars(
    axes: Axes, groups: Sequence[str], series: Sequence[Line], y_label: str, title: str
) -> None:
    """`series[i].y` holds one value per group."""
    width = 0.8 / len(series)
    for place, line in enumerate(series):
        left = [x + (place - (len(series) - 1) / 2) * width for x in range(len(groups))]
        axes.bar(left, line.y, width, color=COLOURS[place], label=line.name)
    axes.set_xticks(range(len(groups)), list(groups))
    labelled(axes, "", y_label, title)


def intervals(axes: Axes, rows: Sequence[Interval], x_label: str, title: str) -> None:
    """One row each, top down, and a line at zero."""
    axes.axvline(0, color=INK, linewidth=0.8)
    for place, row in enumerate(rows):
        y = len(rows) - 1 - place
        colour = COLOURS[0] if row.ratio >= 0 else COLOURS[1]
        axes.plot([100 * row.low, 100 * row.high], [y, y], color=colour, linewidth=1.6)
        axes.plot([100 * row.ratio], [y], color=colour, marker="o" if row.ratio >= 0 else "s")
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    labelled(axes, x_label, "", title)


def labelled(axes: Axes, x_label: str, y_label: str, title: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, loc="left", fontsize=9.5)
    axes.grid(visible=True, axis="both", color="#8a95a5", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def legend(axes: Axes, *, beside: bool = False) -> None:
    """Above what is drawn, or beside it where there are many."""
    if beside:
        axes.legend(
            frameon=False, fontsize=8, labelcolor=INK, loc="center left", bbox_to_anchor=(1.0, 0.5)
        )
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right", ncols=2)


def save(figure: Figure, path: Path) -> Path:
    """Equal figures give equal bytes; text takes the colour of the reader's theme."""
    held = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(
            held, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = held.getvalue().replace(INK, "currentColor")
    head, opening, body = text.partition("<svg ")
    tag, closing, rest = body.partition(">")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines_of = f"{head}{opening}{tag}{closing}\n {FOLLOWS_READER}{rest}".splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines_of) + "\n")
    return path
