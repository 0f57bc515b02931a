"""One data set, whole: what each known shopper would have been served, in every light we have."""

import os
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table

from tests.eval.grading import Grades, Lift, Lists, Mode, Split, grade, lift
from tests.eval.peers import PEERS
from tests.eval.raw import CUTS, DATA, is_present
from tests.eval.rivals import rivals, trending_for_all
from tests.eval.running import FIRST_SEED, Sample, Trial, trial
from tests.eval.slicing import (
    ItemSlice,
    ShopperSlice,
    by_history,
    by_product,
    diversity,
    mean_of,
    words_of,
)
from tests.eval.stages import Stages, stages_of


class Figures(Struct, frozen=True, kw_only=True):
    """One seed."""

    seed: int
    ndcg: float
    recall: float
    mrr: float
    hit: float
    coverage: float
    gini: float
    diversity: float
    seconds: float
    """Of the whole process: reading, training, answering everybody and writing it down."""
    training_seconds: float
    """Of reading, training and publishing."""
    peak_mib: int
    served_by: str
    verdict: str


class Rival(Struct, frozen=True, kw_only=True):
    """A simple method graded in the same run; `lift` is ours over it."""

    name: str
    ndcg: float
    recall: float
    mrr: float
    hit: float
    coverage: float
    gini: float
    diversity: float
    lift: Lift


class Newcomers(Struct, frozen=True, kw_only=True):
    """Shoppers without any history, who are in no other figure."""

    shoppers: int
    ndcg: float
    recall: float
    trending_ndcg: float


class ShopRow(Struct, frozen=True, kw_only=True):
    """Lifts and slices are of the mean over seeds, per shopper."""

    dataset: str
    mode: Mode
    shoppers: int
    without_list: int
    short_lists: float
    """Share of shoppers with fewer than 20 products on their list, of all who bought again."""
    seeds: list[Figures]
    rivals: list[Rival]
    """Best first."""
    histories: list[ShopperSlice]
    products: list[ItemSlice]
    newcomers: Newcomers | None = None
    stages: list[Stages] = []
    """One per seed, of products new to the shopper; none without a ranker."""


def run(dataset: str, console: Console) -> Sequence[ShopRow]:
    if not is_present(dataset):
        console.print(f"[yellow]{dataset}: skipped, its files are not in {DATA}[/yellow]")
        return []
    seeds = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("SEEDS", "1")))
    trials = [trial(Sample(dataset), seed, console) for seed in seeds]
    modes: list[Mode] = [mode for name, mode in PEERS if name == dataset]
    rows = [shop_row(dataset, mode, trials) for mode in modes]
    for row in rows:
        console.print(table_of(row))
    return rows


def shop_row(dataset: str, mode: Mode, trials: list[Trial]) -> ShopRow:
    split = trials[0].split
    words = words_of(trials[0].shop / "products.parquet")
    found = [grade(split, one.lists[mode], mode) for one in trials]
    ours = mean_of(found)
    others = rivals(dataset, split, mode)
    graded = {name: grade(split, lists, mode) for name, lists in others.items()}
    best = max(graded, key=lambda name: graded[name].ndcg.mean())
    first = trials[0].lists[mode]
    short = [len(one.lists[mode].get(user, ())) < 20 for one in trials for user in split.later]
    return ShopRow(
        dataset=dataset,
        mode=mode,
        shoppers=len(ours.users),
        without_list=sum(user not in first for user in ours.users),
        short_lists=float(np.mean(short)),
        seeds=[
            figures(one, each, mode, diversity(one.lists[mode], each.users, words))
            for one, each in zip(trials, found, strict=True)
        ],
        rivals=sorted(
            (
                rival(name, theirs, ours, diversity(others[name], ours.users, words))
                for name, theirs in graded.items()
            ),
            key=lambda row: -row.ndcg,
        ),
        histories=by_history(split, ours.users, ours, graded[best]),
        products=by_product(split, mode, first, others[best], CUTS[dataset].test),
        newcomers=newcomers(split, first, trending_for_all(dataset, split))
        if mode == "new"
        else None,
        stages=stages(trials) if mode == "new" else [],
    )


def stages(trials: list[Trial]) -> list[Stages]:
    return [found for one in trials if (found := stages_of(one.out, one.split)) is not None]


def figures(one: Trial, grades: Grades, mode: Mode, apart: float) -> Figures:
    gate = one.summary.validation.gate
    return Figures(
        seed=one.seed,
        ndcg=float(grades.ndcg.mean()),
        recall=float(grades.recall.mean()),
        mrr=float(grades.mrr.mean()),
        hit=float(grades.hit.mean()),
        coverage=grades.coverage,
        gini=grades.gini,
        diversity=apart,
        seconds=one.seconds,
        training_seconds=one.summary.seconds,
        peak_mib=round(one.summary.peak_mib),
        served_by=gate.champion if mode == "new" else gate.repeat_champion,
        verdict=gate.verdict,
    )


def rival(name: str, theirs: Grades, ours: Grades, apart: float) -> Rival:
    return Rival(
        name=name,
        ndcg=float(theirs.ndcg.mean()),
        recall=float(theirs.recall.mean()),
        mrr=float(theirs.mrr.mean()),
        hit=float(theirs.hit.mean()),
        coverage=theirs.coverage,
        gini=theirs.gini,
        diversity=apart,
        lift=lift(ours, theirs),
    )


def newcomers(split: Split, lists: Lists, trending: list[str]) -> Newcomers | None:
    """Against the best sellers of late, the same for everybody."""
    cold = split._replace(bought={user: set() for user in split.newcomers}, later=split.newcomers)
    if not cold.later:
        return None
    ours = grade(cold, lists, "new")
    theirs = grade(cold, dict.fromkeys(cold.later, trending), "new")
    return Newcomers(
        shoppers=len(ours.users),
        ndcg=float(ours.ndcg.mean()),
        recall=float(ours.recall.mean()),
        trending_ndcg=float(theirs.ndcg.mean()),
    )


def table_of(row: ShopRow) -> Table:
    about = "products new to the shopper" if row.mode == "new" else "repeats allowed"
    best = row.rivals[0]
    table = Table(
        title=f"{row.dataset}, {about}, {row.shoppers} shoppers, lists of 20",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # 80 columns
        caption=f"NDCG against {best.name}, graded in this run: {in_words(best.lift)}",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("method", no_wrap=True)
    for name in ("NDCG", "recall", "MRR", "hit", "cover", "fit s", "MiB"):
        table.add_column(name, justify="right")
    for peer in PEERS[row.dataset, row.mode]:
        table.add_row(
            *(peer.name, f"{peer.ndcg:.4f}", f"{peer.recall:.4f}", "", ""),
            "" if peer.coverage is None else f"{peer.coverage:.3f}",
            "" if peer.fit_s is None else f"{peer.fit_s:g}",
            "" if peer.peak_mib is None else str(peer.peak_mib),
        )
    table.add_section()
    for one in row.seeds:
        table.add_row(
            *(f"Aisle, seed {one.seed}", f"{one.ndcg:.4f}", f"{one.recall:.4f}"),
            *(f"{one.mrr:.4f}", f"{one.hit:.4f}", f"{one.coverage:.3f}", f"{one.seconds:.0f}"),
            str(one.peak_mib),
            style="bold",
        )
    return table


def in_words(lift: Lift) -> str:
    return f"{lift.ratio:+.1%}, 95 % interval {lift.low:+.1%} to {lift.high:+.1%}"
