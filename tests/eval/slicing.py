"""Where the quality comes from: by length of history, by popularity and age of what was bought."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from tests.eval.grading import SECONDS_PER_DAY, TOP, Grades, Lists, Mode, Split

HISTORIES = (("1-5", 1, 5), ("6-20", 6, 20), ("21+", 21, 10**9))
"""By distinct products bought before T."""
DECILES = 10
NEAR_DAYS = 28
"""A product that first sold so shortly before T, or after it, is cold."""


class ShopperSlice(Struct, frozen=True, kw_only=True):
    """Mean over the shoppers of a slice; `rival_ndcg` is of the same shoppers."""

    name: str
    shoppers: int
    ndcg: float
    recall: float
    rival_ndcg: float


class ItemSlice(Struct, frozen=True, kw_only=True):
    """Right answers that are such products, and the share of them that was on the list."""

    name: str
    answers: int
    found: float
    rival_found: float


def by_history(
    split: Split, users: Sequence[str], ours: Grades, rival: Grades
) -> list[ShopperSlice]:
    lengths = np.array([len(split.bought[user]) for user in users])
    rows: list[ShopperSlice] = []
    for name, fewest, most in HISTORIES:
        inside = (lengths >= fewest) & (lengths <= most)
        if inside.any():
            rows.append(
                ShopperSlice(
                    name=name,
                    shoppers=int(inside.sum()),
                    ndcg=float(ours.ndcg[inside].mean()),
                    recall=float(ours.recall[inside].mean()),
                    rival_ndcg=float(rival.ndcg[inside].mean()),
                )
            )
    return rows


def by_product(split: Split, mode: Mode, ours: Lists, rival: Lists, cut_s: int) -> list[ItemSlice]:
    """Ten parts of the catalogue by number of buyers, the most bought first; then cold products."""
    group = {**deciles(split), **cold(split, cut_s)}
    answers: Counter[str] = Counter()
    found: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for user, items in split.relevant(mode).items():
        shown = [set(lists.get(user, ())[:TOP]) for lists in (ours, rival)]
        for item in items:
            name = group.get(item, "first sold after T")
            answers[name] += 1
            for count, on_list in zip(found, shown, strict=True):
                count[name] += item in on_list
    order = [f"decile {n}" for n in range(1, DECILES + 1)]
    order += [f"first sold in the last {NEAR_DAYS} days", "first sold after T"]
    return [
        ItemSlice(
            name=name,
            answers=answers[name],
            found=found[0][name] / answers[name],
            rival_found=found[1][name] / answers[name],
        )
        for name in order
        if answers[name]
    ]


def deciles(split: Split) -> dict[str, str]:
    buyers = Counter(item for items in split.bought.values() for item in items)
    ranked = sorted(split.catalogue, key=lambda item: (-buyers[item], item))
    return {
        item: f"decile {place * DECILES // len(ranked) + 1}" for place, item in enumerate(ranked)
    }


def cold(split: Split, cut_s: int) -> dict[str, str]:
    first: dict[str, int] = {}
    for item, ts in zip(split.before.item, split.before.ts.tolist(), strict=True):
        first[item] = min(first.get(item, ts), ts)
    name = f"first sold in the last {NEAR_DAYS} days"
    return {i: name for i, ts in first.items() if ts >= cut_s - NEAR_DAYS * SECONDS_PER_DAY}


def diversity(lists: Lists, users: Sequence[str], words: Mapping[str, frozenset[str]]) -> float:
    """Mean over lists of the mean over pairs of 1 - Jaccard of the words two products carry."""
    known: dict[tuple[str, str], float] = {}

    def apart(pair: tuple[str, str]) -> float:
        if pair not in known:
            one, other = (words.get(item, frozenset()) for item in pair)
            known[pair] = 1 - len(one & other) / max(len(one | other), 1)
        return known[pair]

    means: list[float] = []
    for user in users:
        shown = sorted(lists.get(user, ())[:TOP])
        if len(shown) > 1:
            means.append(float(np.mean([apart(pair) for pair in combinations(shown, 2)])))
    return float(np.mean(means)) if means else 0.0


def words_of(products: Path) -> dict[str, frozenset[str]]:
    """Words of the title, and each level of the category as one."""
    table = pq.ParquetFile(products).read()
    names = table.column_names
    titles = table["title"].to_pylist()
    paths = table["category"].to_pylist() if "category" in names else [None] * len(titles)
    return {
        product: frozenset(
            (title or "").lower().split() + [f"> {level}" for level in (path or "").split(" > ")]
        )
        for product, title, path in zip(table["product_id"].to_pylist(), titles, paths, strict=True)
    }


def mean_of(grades: Sequence[Grades]) -> Grades:
    """Per shopper, over seeds."""
    columns: list[NDArray[np.float64]] = [
        np.mean([getattr(each, name) for each in grades], axis=0)
        for name in ("ndcg", "recall", "mrr", "hit")
    ]
    return Grades(
        grades[0].users,
        *columns,
        coverage=float(np.mean([each.coverage for each in grades])),
        gini=float(np.mean([each.gini for each in grades])),
    )
