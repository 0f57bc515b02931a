"""The two stages apart: what the sources found, and what the ranker's order adds to it.

It reads the tables `aisle evaluate` leaves behind, and grades them with its own formulas.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from tests.eval.grading import TOP, Lift, Split, lift_of, score
from tests.eval.rivals import SHOPPERS_AT_ONCE

DEPTHS = (50, 200, 500)
ORDERS = ("ease", "two-tower")
"""Single sources whose order of the same candidates stands for retrieval alone."""
THRESHOLDS = (0.0, 0.02, 0.05, 0.1, 0.5)
PROMOTED = 2
PROMOTED_FROM = 100
"""Promoted products are drawn from so many that sold most in the last 28 days."""
PROMOTIONS = 20
RECENT_S = 28 * 86_400


class SourceRecall(Struct, frozen=True, kw_only=True):
    """Share of the right answers among a source's best, by depth, mean over shoppers."""

    source: str
    recall: dict[str, float]


class OrderRow(Struct, frozen=True, kw_only=True):
    """An order of the merged candidates; `lift` is of the ranker's NDCG@20 over this one's."""

    order: str
    ndcg: float
    recall: float
    lift: Lift


class PromotionRow(Struct, frozen=True, kw_only=True):
    """Two promoted products that count as 1.0 from a probability of `threshold` on.

    cost: share of NDCG@20 that is lost, mean over PROMOTIONS draws.
    """

    threshold: float
    slots: float
    """Promoted products on a list of 20 that were lifted, mean."""
    cost: float


class Stages(Struct, frozen=True, kw_only=True):
    sources: list[SourceRecall]
    """`merged` first: all candidates in the order of their best place in any source."""
    candidates: float
    """Merged, mean per shopper."""
    candidate_recall: float
    """Of all merged candidates."""
    ranker_ndcg: float
    ranker_recall: float
    orders: list[OrderRow]
    oracle_ndcg: float
    """The candidates with every right answer first."""
    promotions: list[PromotionRow]


class Candidates(NamedTuple):
    """The merged candidates of one shopper; every array is (candidates,)."""

    items: NDArray[np.object_]
    probability: NDArray[np.float32]
    by_source: dict[str, NDArray[np.float32]]


def stages_of(out: Path, split: Split) -> Stages | None:
    """Of products new to the shopper; None where no ranker was trained."""
    answers = split.relevant("new")
    places = source_recall(out / "sources.parquet", answers)
    found = [
        (answers[user], one)
        for user, one in candidates_of(out / "candidates.parquet")
        if user in answers
    ]
    if not found:
        return None
    ranked = np.array([_score(one, one.probability, goal) for goal, one in found])
    orders = [_compared(source, found, ranked) for source in ORDERS]
    oracle = [_score(one, np.isin(one.items, list(goal)), goal)[0] for goal, one in found]
    hits = [np.isin(one.items, list(goal)).sum() / len(goal) for goal, one in found]
    return Stages(
        sources=places,
        candidates=float(np.mean([len(one.items) for _, one in found])),
        candidate_recall=float(np.mean(hits)),
        ranker_ndcg=float(ranked[:, 0].mean()),
        ranker_recall=float(ranked[:, 1].mean()),
        orders=orders,
        oracle_ndcg=float(np.mean(oracle)),
        promotions=promotions(found, split),
    )


def _score(one: Candidates, value: NDArray, goal: set[str]) -> tuple[float, float]:
    """NDCG and recall at 20 of the candidates by `value`, ties in the order they are written."""
    order = np.argsort(-value.astype(np.float64), kind="stable")[:TOP]
    return score(one.items[order].tolist(), goal)[:2]


def _compared(
    source: str, found: list[tuple[set[str], Candidates]], ranked: NDArray[np.float64]
) -> OrderRow:
    theirs = np.array([_score(one, one.by_source[source], goal) for goal, one in found])
    return OrderRow(
        order=source,
        ndcg=float(theirs[:, 0].mean()),
        recall=float(theirs[:, 1].mean()),
        lift=lift_of(ranked[:, 0], theirs[:, 0]),
    )


def candidates_of(path: Path) -> Iterator[tuple[str, Candidates]]:
    """Shopper by shopper, as the rows lie together."""
    table = pq.ParquetFile(path).read()
    users = table["customer_id"].to_numpy()
    if not len(users):
        return
    sources = table.column_names[4:]
    items = table["product_id"].to_numpy()
    columns = [table[name].to_numpy() for name in ("probability", *sources)]
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(users)], strict=True):
        probability, *scores = (column[start:end] for column in columns)
        by_source = dict(zip(sources, scores, strict=True))
        yield str(users[start]), Candidates(items[start:end], probability, by_source)


def source_recall(path: Path, answers: dict[str, set[str]]) -> list[SourceRecall]:
    """Recall of each source alone, and of all of them merged by the best place in any."""
    recalls: dict[str, list[list[float]]] = defaultdict(list)
    for user, lists in _sources(path):
        goal = answers.get(user)
        if goal is None:
            continue
        for source, ranked in {"merged": merged(list(lists.values())), **lists}.items():
            hits = np.cumsum(np.isin(ranked, list(goal)))
            recalls[source].append(
                [
                    float(hits[min(k, len(hits)) - 1]) / len(goal) if len(hits) else 0.0
                    for k in DEPTHS
                ]
            )
    return [
        SourceRecall(
            source=source,
            recall=dict(zip(map(str, DEPTHS), np.mean(rows, axis=0).tolist(), strict=True)),
        )
        for source, rows in recalls.items()
    ]


def merged(lists: list[NDArray[np.object_]]) -> NDArray[np.object_]:
    """The first of every list, then the second of every list, … without repeats."""
    items = np.concatenate(lists)
    place = np.concatenate([np.arange(len(ranked)) for ranked in lists])
    source = np.repeat(np.arange(len(lists)), [len(ranked) for ranked in lists])
    items = items[np.lexsort((source, place))]
    _, first = np.unique(items.astype(str), return_index=True)
    return items[np.sort(first)]


def _sources(path: Path) -> Iterator[tuple[str, dict[str, NDArray[np.object_]]]]:
    lists: dict[str, NDArray[np.object_]] = {}
    user = None
    for batch in pq.ParquetFile(path).iter_batches(SHOPPERS_AT_ONCE):
        columns = (batch[name].to_pylist() for name in ("customer_id", "source", "product_ids"))
        for name, source, items in zip(*columns, strict=True):
            if name != user and user is not None:
                yield user, lists
                lists = {}
            user = name
            lists[source] = np.array(items, dtype=object)
    if user is not None:
        yield user, lists


def promotions(found: list[tuple[set[str], Candidates]], split: Split) -> list[PromotionRow]:
    """What it costs to promote two of the products that sell best of late."""
    recent = split.before.ts >= split.before.ts.max() - RECENT_S
    names, counts = np.unique(split.before.item[recent].astype(str), return_counts=True)
    best = names[np.argsort(-counts, kind="stable")[:PROMOTED_FROM]]
    plain = float(np.mean([_score(one, one.probability, goal)[0] for goal, one in found]))
    rng = np.random.default_rng(0)
    draws = [rng.choice(best, min(PROMOTED, len(best)), replace=False) for _ in range(PROMOTIONS)]
    rows: list[PromotionRow] = []
    for threshold in THRESHOLDS:
        ndcg: list[float] = []
        slots: list[int] = []
        for draw in draws:
            for goal, one in found:
                lifted = np.isin(one.items, draw) & (one.probability >= threshold)
                slots.append(int(lifted.sum()))
                ndcg.append(_score(one, one.probability + lifted, goal)[0])
        rows.append(
            PromotionRow(
                threshold=threshold,
                slots=float(np.mean(slots)),
                cost=1 - float(np.mean(ndcg)) / plain if plain else 0.0,
            )
        )
    return rows
