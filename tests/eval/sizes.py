"""`sizes`: every data set whole, at a tenth and at a hundredth, against the simple methods.

What is served must never be worse than the best of popularity, trending and item-kNN. A smaller
shop is cut in two ways: some of the shoppers with all their events, or some of all events. Small
samples are drawn several times and their shoppers are put together.
"""

import os
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from rich.console import Console

from tests.eval.grading import Lift, Mode, grade, lift_of
from tests.eval.raw import CUTS, is_present
from tests.eval.rivals import rivals
from tests.eval.running import FIRST_SEED, By, Sample, Stage, trial

DRAWS = {0.01: 5, 0.1: 2, 1.0: 1}
MODES: dict[str, tuple[Mode, ...]] = {"movielens_1m": ("new",)}


class SizeRow(Struct, frozen=True, kw_only=True):
    """`lift` is of NDCG@20 over `best`, paired by shopper; `rivals` are NDCG@20 by name."""

    dataset: str
    mode: Mode
    share: float
    by: By
    draws: int
    events: int
    """Of all draws together, before T."""
    shoppers: int
    ndcg: float
    rivals: dict[str, float]
    best: str
    lift: Lift
    served_by: list[str]
    """Champion of each draw."""


class Graded(NamedTuple):
    """NDCG@20 by shopper, (shoppers,), of one draw."""

    ours: NDArray[np.float64]
    rivals: dict[str, NDArray[np.float64]]


def run(console: Console) -> list[SizeRow]:
    """With STAGE=validation the period before the test is graded, and nothing kept of it."""
    stage: Stage = "validation" if os.environ.get("STAGE") == "validation" else "test"
    wanted = os.environ.get("DATASETS", "").replace(",", " ").split() or list(CUTS)
    for dataset in wanted:
        if not is_present(dataset):
            console.print(f"[yellow]{dataset}: skipped, its files are not there[/yellow]")
    rows: list[SizeRow] = []
    for share, dataset in product(DRAWS, [name for name in wanted if is_present(name)]):
        ways: tuple[By, ...] = ("shoppers",) if share == 1.0 else ("shoppers", "events")
        for by in ways:
            found = measured(dataset, share, by, stage, console)
            for row in found:
                console.print(in_words(row))
            rows += found
    return rows if stage == "test" else []


def measured(dataset: str, share: float, by: By, stage: Stage, console: Console) -> list[SizeRow]:
    samples = [Sample(dataset, share, by, draw, stage) for draw in range(DRAWS[share])]
    trials = [trial(sample, FIRST_SEED, console) for sample in samples]
    rows: list[SizeRow] = []
    for mode in MODES.get(dataset, ("new", "repeat")):
        graded: list[Graded] = []
        for one in trials:
            others = rivals(dataset, one.split, mode)
            graded.append(
                Graded(
                    grade(one.split, one.lists[mode], mode).ndcg,
                    {name: grade(one.split, lists, mode).ndcg for name, lists in others.items()},
                )
            )
        ours = np.concatenate([each.ours for each in graded])
        theirs = {
            name: np.concatenate([each.rivals[name] for each in graded])
            for name in graded[0].rivals
        }
        best = max(theirs, key=lambda name: theirs[name].mean())
        rows.append(
            SizeRow(
                dataset=dataset,
                mode=mode,
                share=share,
                by=by,
                draws=len(trials),
                events=sum(len(one.split.before.ts) for one in trials),
                shoppers=len(ours),
                ndcg=float(ours.mean()),
                rivals={name: float(values.mean()) for name, values in theirs.items()},
                best=best,
                lift=lift_of(ours, theirs[best]),
                served_by=[
                    one.summary.validation.gate.champion
                    if mode == "new"
                    else one.summary.validation.gate.repeat_champion
                    for one in trials
                ],
            )
        )
    return rows


def in_words(row: SizeRow) -> str:
    rivals_named = ", ".join(f"{name} {value:.4f}" for name, value in row.rivals.items())
    return (
        f"  {row.dataset}, {row.share:.0%} by {row.by}, {row.mode}: {row.ndcg:.4f} "
        f"against {rivals_named}; over {row.best} {row.lift.ratio:+.1%} "
        f"({row.lift.low:+.1%} to {row.lift.high:+.1%}), {row.shoppers} shoppers, "
        f"served by {_counted(row.served_by)}"
    )


def _counted(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(f"{name} {listed.count(name)}x" for name in dict.fromkeys(listed))
