"""`python -m tests.eval [DATASET…]`: train, serve, grade, and print the table beside the peers."""

import os
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from tests.eval.folders import write_folder
from tests.eval.grading import (
    Grades,
    Lift,
    Lists,
    Mode,
    Split,
    bought_again,
    grade,
    lift,
    lists_of,
    split_at,
    trending,
)
from tests.eval.peers import PEERS
from tests.eval.raw import CUTS, DATA, Cut, is_present, purchases

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build" / "eval"
TRENDING_HALF_LIFE_DAYS = {"movielens_1m": 3.0}


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole process: reading, training, and answering every shopper."""

    seconds: float
    peak_mib: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`lift_ndcg` is over `baseline`, paired by shopper, with a 95 % interval."""

    dataset: str
    mode: Mode
    shoppers: int
    without_list: int
    ndcg: float
    recall: float
    mrr: float
    hit: float
    coverage: float
    baseline: str
    baseline_ndcg: float
    lift_ndcg: Lift
    fit: Fit


def main(arguments: list[str]) -> int:
    console = Console()
    chosen = arguments or os.environ.get("DATASETS", "").replace(",", " ").split() or list(CUTS)
    unknown = [name for name in chosen if name not in CUTS]
    if unknown:
        console.print(f"Unknown data set {', '.join(unknown)}. Known: {', '.join(CUTS)}.")
        return 2
    results: list[Result] = []
    for dataset in chosen:
        if not is_present(dataset):
            console.print(f"[yellow]{dataset}: skipped, its files are not in {DATA}[/yellow]")
            continue
        found = evaluate(dataset, console)
        if found is None:
            return 1
        results += found
        BUILD.mkdir(parents=True, exist_ok=True)
        (BUILD / "report.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(results), indent=2)
        )
        for result in found:
            console.print(table_of(result))
    return 0


def evaluate(dataset: str, console: Console) -> list[Result] | None:
    """None when training failed; its words are then on the screen."""
    folder = BUILD / dataset
    console.print(f"[bold]{dataset}[/bold]: writing {folder.relative_to(CHECKOUT)}")
    write_folder(dataset, folder / "shop")
    fit = fit_and_answer(folder, CUTS[dataset], console)
    if fit is None:
        return None
    lists = read_lists(folder / "out" / "recommendations.parquet")
    split = split_at(purchases(dataset), CUTS[dataset].test, CUTS[dataset].until)
    modes: list[Mode] = [mode for name, mode in PEERS if name == dataset]
    return [graded(dataset, mode, split, lists[mode], fit) for mode in modes]


def fit_and_answer(folder: Path, cut: Cut, console: Console) -> Fit | None:
    log = folder / "evaluate.log"
    started_at = time.monotonic()
    console.print(f"  training and answering; log: {log.relative_to(CHECKOUT)}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ml.evaluate", str(folder / "shop")),
                *("--validate-from", iso(cut.validate), "--test-from", iso(cut.test)),
                *("--test-until", iso(cut.until), "--out", str(folder / "out")),
            ],
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)  # its own peak memory, unlike `wait`
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        console.print(f"[red]ml.evaluate ended with {process.returncode}[/red]:", last, sep="\n")
        return None
    return Fit(seconds=time.monotonic() - started_at, peak_mib=usage.ru_maxrss // 1024)


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def read_lists(path: Path) -> dict[str, Lists]:
    rows = pq.ParquetFile(path).read(columns=["customer_id", "mode", "rank", "product_id"])
    columns: dict[str, tuple[list[str], list[int], list[str]]] = defaultdict(lambda: ([], [], []))
    for customer, mode, rank, product in zip(
        *(rows[name].to_pylist() for name in rows.column_names), strict=True
    ):
        for column, value in zip(columns[mode], (customer, rank, product), strict=True):
            column.append(value)
    return {mode: lists_of(*columns[mode]) for mode in ("new", "repeat")}


def graded(dataset: str, mode: Mode, split: Split, lists: Lists, fit: Fit) -> Result:
    name, base = baseline(dataset, mode, split)
    ours = grade(split, lists, mode)
    return Result(
        dataset=dataset,
        mode=mode,
        shoppers=len(ours.users),
        without_list=sum(user not in lists for user in ours.users),
        ndcg=float(ours.ndcg.mean()),
        recall=float(ours.recall.mean()),
        mrr=float(ours.mrr.mean()),
        hit=float(ours.hit.mean()),
        coverage=ours.coverage,
        baseline=name,
        baseline_ndcg=float(base.ndcg.mean()),
        lift_ndcg=lift(ours, base),
        fit=fit,
    )


def baseline(dataset: str, mode: Mode, split: Split) -> tuple[str, Grades]:
    if mode == "repeat":
        return "personal frequency", grade(split, bought_again(split), mode)
    half_life_days = TRENDING_HALF_LIFE_DAYS.get(dataset, 7.0)
    return "trending", grade(split, trending(split, half_life_days), mode)


def table_of(result: Result) -> Table:
    about = "products new to the shopper" if result.mode == "new" else "repeats allowed"
    low, high = result.lift_ndcg.low, result.lift_ndcg.high
    table = Table(
        title=f"{result.dataset}, {about}, {result.shoppers} shoppers, lists of 20",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # 80 columns
        caption=(
            f"NDCG against {result.baseline}, graded in this run ({result.baseline_ndcg:.4f}): "
            f"{result.lift_ndcg.ratio:+.1%}, 95 % interval {low:+.1%} to {high:+.1%}"
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("method", no_wrap=True)
    for name in ("NDCG", "recall", "MRR", "hit", "cover", "fit s", "MiB"):
        table.add_column(name, justify="right")
    for peer in PEERS[result.dataset, result.mode]:
        table.add_row(
            *(peer.name, f"{peer.ndcg:.4f}", f"{peer.recall:.4f}", "", ""),
            "" if peer.coverage is None else f"{peer.coverage:.3f}",
            "" if peer.fit_s is None else f"{peer.fit_s:g}",
            "" if peer.peak_mib is None else str(peer.peak_mib),
        )
    table.add_section()
    table.add_row(
        *("Aisle, as served", f"{result.ndcg:.4f}", f"{result.recall:.4f}", f"{result.mrr:.4f}"),
        *(f"{result.hit:.4f}", f"{result.coverage:.3f}", f"{result.fit.seconds:.0f}"),
        str(result.fit.peak_mib),
        style="bold",
    )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
