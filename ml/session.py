"""Visits cut from a shop's behaviour, and what is learned from them about the next product."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ml.interactions import KIND_INDEX, InteractionLog
from ml.neighbours import strongest_columns
from ml.serving.neighbours import Neighbours
from ml.serving.session_tables import NOTHING, Sessions
from ml.serving.sessions_files import visits_of_clicks
from ml.serving.shopper import UNSEEN_KINDS

PAUSE_S = 1_800.0
"""Half an hour without an event ends a visit, the convention of web analytics since Catledge &
Pitkow 1995 (25.5 minutes)."""
MOST_CLICKS = 2_000_000
"""Of the newest visits: 8 bytes each on disk, 12 in memory, so the index stays within 24 MB."""
RULE_STEPS = 10
RULES = 100


class Visits(NamedTuple):
    """Visits of at least two moments, in the order in which they ended."""

    start: NDArray[np.int64]
    """(visits + 1,), where each begins in `item`."""
    item: NDArray[np.int32]
    """(steps,), positions of products in the order of time."""
    ts: NDArray[np.int64]
    """(steps,) Unix seconds."""

    @property
    def row(self) -> NDArray[np.int64]:
        """(steps,), the visit of each step."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def taken(self, chosen: NDArray[np.intp]) -> "Visits":
        """The visits at `chosen`, in that order."""
        length = np.diff(self.start)[chosen]
        ends = np.cumsum(length)
        flat = np.arange(int(length.sum())) + np.repeat(self.start[chosen] - ends + length, length)
        return Visits(np.r_[0, ends], self.item[flat], self.ts[flat])


class Steps(NamedTuple):
    """Choices inside visits, one per row."""

    clicks: NDArray[np.int32]
    """(rows, width), the products before the choice, newest first; -1 is padding."""
    target: NDArray[np.int32]
    """(rows,), the product chosen."""


def cut_visits(log: InteractionLog, pause_s: float) -> Visits:
    """Cut each shopper's behaviour at pauses longer than `pause_s`; zero: never.

    Events that speak against a product, and those nobody chose, are no steps. What happened at
    one second is a basket; a basket alone is no visit.
    """
    unseen = [KIND_INDEX[kind] for kind in UNSEEN_KINDS]
    log = log.rows((log.weight > 0) & ~np.isin(log.kind, unseen))
    if not len(log.ts):
        return Visits(np.zeros(1, np.int64), log.item, log.ts)
    order = np.argsort(log.shopper, kind="stable")
    shopper, item, ts = log.shopper[order], log.item[order], log.ts[order]
    begins = np.r_[True, shopper[1:] != shopper[:-1]]
    if pause_s:
        begins[1:] |= np.diff(ts) > pause_s
    start = np.r_[np.flatnonzero(begins), len(item)]
    ended_s = ts[start[1:] - 1]
    by_end = np.argsort(ended_s, kind="stable")
    return Visits(start, item, ts).taken(by_end[(ts[start[:-1]] < ended_s)[by_end]])


def steps_of(visits: Visits, width: int, from_s: int = 0) -> Steps:
    """Every choice at or after `from_s` and the last `width` steps before its basket."""
    row = visits.row
    begins = np.r_[True, (row[1:] != row[:-1]) | (np.diff(visits.ts) > 0)][: len(row)]
    position = np.arange(len(row))
    basket = np.maximum.accumulate(np.where(begins, position, 0))
    rows = np.flatnonzero((basket > visits.start[row]) & (visits.ts >= from_s))
    back = basket[rows][:, None] - np.arange(1, width + 1)
    known = back >= visits.start[row[rows]][:, None]
    clicks = np.where(known, visits.item[np.where(known, back, 0)], -1)
    return Steps(clicks.astype(np.int32), visits.item[rows])


def learn_rules(visits: Visits, n_items: int) -> Neighbours:
    """How often a product came up to RULE_STEPS steps after another, each time 1 / steps apart.

    Sequential rules of Kamehkhosh et al. 2017 (RecTemp) and Ludewig & Jannach 2018 (UMUAI).
    """
    row = visits.row
    parts: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]] = []
    for step in range(1, RULE_STEPS + 1):
        before, after = visits.item[:-step], visits.item[step:]
        # a page opened again follows itself only right away
        counts = (row[step:] == row[:-step]) & ((step == 1) | (before != after))
        weight = np.full(int(counts.sum()), 1 / step, np.float32)
        parts.append((before[counts], after[counts], weight))
    before, after, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    followed = sp.csr_matrix((weight, (before, after)), (n_items, n_items))
    followed.sum_duplicates()
    return Neighbours(*strongest_columns(followed, RULES))


def learn_sessions(visits: Visits, n_items: int) -> Sessions:
    """Rules, and the newest visits indexed both ways; how to use them is left to the caller."""
    if len(visits.start) < 2:
        return NOTHING
    first = int(np.searchsorted(visits.start, len(visits.item) - MOST_CLICKS))
    item, row = _seen_last(visits.taken(np.arange(first, len(visits.start) - 1)))
    visit_start = np.r_[0, np.cumsum(np.bincount(row))].astype(np.int32)
    click = np.argsort(item, kind="stable").astype(np.int32)
    return NOTHING._replace(
        visit_start=visit_start,
        visit_item=item,
        item_start=np.searchsorted(item[click], np.arange(n_items + 1)).astype(np.int32),
        item_click=click,
        click_visit=visits_of_clicks(visit_start),
        rules=learn_rules(visits, n_items),
    )


def _seen_last(visits: Visits) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Each product of a visit once, where it was seen last: products, and rows of visits."""
    row = visits.row
    pair = row * (int(visits.item.max(initial=0)) + 1) + visits.item
    _, from_end = np.unique(pair[::-1], return_index=True)
    last = np.sort(len(pair) - 1 - from_end)
    return visits.item[last], row[last]
