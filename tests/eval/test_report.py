"""The report is kept from run to run, and the page comes from it alone."""

from pathlib import Path

import pytest
from msgspec import Struct

from tests.eval.click_section import click_section
from tests.eval.grading import Lift
from tests.eval.page import write_page
from tests.eval.report import Report, merged, read_report, write_report
from tests.eval.sizes import SizeRow


class Clicks(Struct, frozen=True, kw_only=True):
    dataset: str
    model: str
    auc: float
    curve: dict[str, list[float]]


class Row(Struct, frozen=True, kw_only=True):
    dataset: str
    model: str
    auc: float


def row(dataset: str, model: str, auc: float) -> Row:
    return Row(dataset=dataset, model=model, auc=auc)


def size(ratio: float, dataset: str = "uci_online_retail") -> SizeRow:
    return SizeRow(
        dataset=dataset,
        mode="new",
        share=0.1,
        by="events",
        draws=2,
        events=4_000,
        shoppers=100,
        ndcg=0.1,
        rivals={"trending": 0.09, "popularity": 0.05},
        best="trending",
        lift=Lift(ratio, ratio - 0.1, ratio + 0.1),
        served_by=["ease", "own-models"],
    )


def test_a_new_run_replaces_what_it_measured_again_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    first = [row("films", "dlrm", 0.1), row("films", "mlp", 0.2), row("grocer", "dlrm", 0.3)]
    write_report(path, merged(Report(), "clicks", "all", first))

    write_report(path, merged(read_report(path), "clicks", "one", [row("films", "dlrm", 0.9)]))

    kept = {(r.dataset, r.model): r.auc for r in read_report(path).rows("clicks", Row)}
    assert kept == {("films", "dlrm"): 0.9, ("films", "mlp"): 0.2, ("grocer", "dlrm"): 0.3}


def test_one_evaluation_leaves_the_others_alone() -> None:
    report = merged(merged(Report(), "a", "a", [row("x", "m", 1.0)]), "b", "b", [row("x", "m", 2)])

    assert [found.auc for found in report.rows("a", Row)] == [1.0]
    assert report.rows("never run", Row) == []


def test_the_page_says_how_many_rows_are_below_the_bar_and_by_what_command(tmp_path: Path) -> None:
    rows = [size(0.2), size(-0.3, "movielens_1m")]
    report = merged(Report(), "sizes", "python -m tests.eval sizes", rows)

    written = write_page(report, tmp_path)

    page = (tmp_path / "quality.md").read_text()
    assert "`python -m tests.eval sizes`" in page
    assert "1 of 2 rows are at or above" in page
    assert "1 are below it for certain" in page
    assert "-30.0% (-40.0% to -20.0%)" in page
    assert all(path.exists() for path in written)


@pytest.mark.parametrize("rows", [[size(0.2)], [size(-0.05), size(0.4, "movielens_1m")]])
def test_equal_reports_give_equal_files(rows: list[SizeRow], tmp_path: Path) -> None:
    report = merged(Report(), "sizes", "x", rows)

    files = [
        {path.name: path.read_bytes() for path in write_page(report, tmp_path / turn)}
        for turn in ("first", "second")
    ]

    assert files[0] == files[1]
    assert len(files[0]) == 2
    assert b"prefers-color-scheme: dark" in files[0]["sizes.svg"]


def test_rankers_are_drawn_by_model_and_by_epoch_in_the_readers_colours(tmp_path: Path) -> None:
    curve = {"train_loss": [0.5, 0.4], "valid_loss": [0.6, 0.5], "valid_auc": [0.7, 0.8]}
    rows = [
        Clicks(dataset="films", model=model, auc=auc, curve=curve)
        for model, auc in (("mlp", 0.7), ("dlrm", 0.8))
    ]

    part = click_section(rows, tmp_path)

    assert part.text.index("dlrm") < part.text.index("mlp")
    for name in part.plots:
        drawn = (tmp_path / name).read_text()
        assert "currentColor" in drawn
        assert "#000000" not in drawn
    assert len(part.plots) == 2
