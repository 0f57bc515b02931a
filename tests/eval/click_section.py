"""The part of the page on rankers: AUC by model, and how loss and AUC went over the epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.eval import plots
from tests.eval.markdown import Part, image, plain_table


def click_section(rows: Sequence[Struct], folder: Path) -> Part:
    """Rows have `dataset`, `model`, `auc` and `curve` (name -> a value per epoch)."""
    texts: list[str] = []
    names: list[str] = []
    for dataset in sorted({_field(row, "dataset") for row in rows}):
        mine = [row for row in rows if _field(row, "dataset") == dataset]
        mine.sort(key=lambda row: -_field(row, "auc"))
        models, epochs = f"clicks-{dataset}-models.svg", f"clicks-{dataset}-epochs.svg"
        _draw_models(mine, folder / models)
        texts += [f"### {dataset}", plain_table(mine)]
        texts.append(image(models, f"AUC by model on {dataset}"))
        names.append(models)
        if any(_field(row, "curve") for row in mine):
            _draw_epochs(mine, folder / epochs)
            texts.append(image(epochs, f"Loss and AUC by epoch on {dataset}"))
            names.append(epochs)
    return Part("\n\n".join(texts), names)


def _field(row: Struct, name: str) -> Any:  # noqa: ANN401 - rows of another module
    return getattr(row, name)


def _draw_models(rows: Sequence[Struct], path: Path) -> None:
    figure, (axis,) = plots.panels(1)
    series = [plots.Line("AUC", [], [_field(row, "auc") for row in rows])]
    plots.bars(axis, [_field(row, "model") for row in rows], series, "AUC", "AUC by model")
    lowest = min(_field(row, "auc") for row in rows)
    axis.set_ylim(max(0.0, lowest - 0.05), min(1.0, max(_field(r, "auc") for r in rows) + 0.02))
    plots.save(figure, path)


def _draw_epochs(rows: Sequence[Struct], path: Path) -> None:
    figure, (left, right) = plots.panels(2)
    for axis, word, title in ((left, "loss", "Loss by epoch"), (right, "auc", "AUC by epoch")):
        series = [
            plots.Line(f"{_field(row, 'model')}, {name}", range(1, len(values) + 1), values)
            for row in rows
            for name, values in _field(row, "curve").items()
            if word in name
        ]
        plots.lines(axis, series, "epoch", word.upper() if word == "auc" else word, title)
        plots.legend(axis)
    plots.save(figure, path)
