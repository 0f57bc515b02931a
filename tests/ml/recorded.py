"""Recorded shops cut in time, for tests against published figures; made by the harness' rules."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.baselines import ScoreRows
from ml.interactions import KIND_INDEX, InteractionLog
from ml.metrics import ndcg_at_k, recall_at_k
from tests.eval import raw


class Recorded(NamedTuple):
    log: InteractionLog
    """Events before `now_s`."""
    n_shoppers: int
    items: list[str]
    now_s: int
    wanted: dict[int, set[int]]
    """What known shoppers bought later and had not bought before."""
    unknown: dict[int, int]
    """How many of the later purchases were of products never sold before."""


def recorded(dataset: str) -> Recorded:
    """The test period of a data set; skips where it is absent."""
    if not raw.is_present(dataset):
        pytest.skip(f"needs ../shared/data/{dataset}")
    rows, cut = raw.purchases(dataset), raw.CUTS[dataset]
    before, later = rows.ts < cut.test, (rows.ts >= cut.test) & (rows.ts < cut.until)
    shoppers, shopper = np.unique(rows.user[before].astype(str), return_inverse=True)
    items, item = np.unique(rows.item[before].astype(str), return_inverse=True)
    order = np.argsort(rows.ts[before], kind="stable")
    n = len(order)
    log = InteractionLog(
        shopper=shopper[order].astype(np.int32),
        item=item[order].astype(np.int32),
        kind=np.full(n, KIND_INDEX["purchase"], np.int8),
        ts=rows.ts[before][order],
        market=np.zeros(n, np.int16),
        device=np.zeros(n, np.int8),
        weight=np.ones(n, np.float32),
    )
    position = {name: index for index, name in enumerate(items.tolist())}
    known = {name: index for index, name in enumerate(shoppers.tolist())}
    bought = set(zip(log.shopper.tolist(), log.item.tolist(), strict=True))
    wanted: dict[int, set[int]] = {}
    unknown: dict[int, set[str]] = {}
    for user, product in zip(
        rows.user[later].astype(str), rows.item[later].astype(str), strict=True
    ):
        row = known.get(user)
        if row is None:
            continue
        if product not in position:
            unknown.setdefault(row, set()).add(product)
        elif (row, position[product]) not in bought:
            wanted.setdefault(row, set()).add(position[product])
    missed = {row: len(products) for row, products in unknown.items()}
    return Recorded(log, len(shoppers), items.tolist(), cut.test, wanted, missed)


def evaluate(shop: Recorded, score_rows: ScoreRows, k: int = 20) -> tuple[float, float]:
    """NDCG@k and Recall@k of products never bought before, over the whole catalogue."""
    rows = np.array(sorted(set(shop.wanted) | set(shop.unknown)))
    hits: list[NDArray[np.bool_]] = []
    for start in range(0, len(rows), 256):
        chunk = rows[start : start + 256]
        scores = np.array(score_rows(chunk), np.float32)
        for row, shopper in enumerate(chunk.tolist()):
            mine = shop.log.item[shop.log.shopper == shopper]
            scores[row, mine] = -np.inf
            top = np.argpartition(-scores[row], k)[:k]
            top = top[np.argsort(-scores[row, top], kind="stable")]
            hits.append(np.isin(top, list(shop.wanted.get(shopper, ()))))
    relevant = np.array(
        [len(shop.wanted.get(row, ())) + shop.unknown.get(row, 0) for row in rows.tolist()]
    )
    found = np.stack(hits)
    return float(ndcg_at_k(found, relevant).mean()), float(recall_at_k(found, relevant).mean())
