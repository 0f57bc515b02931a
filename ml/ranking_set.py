"""Candidates of many shoppers at one moment, described and labelled by what happened next."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.interactions import InteractionLog
from ml.serving.candidate_features import CODE_FEATURES, DENSE_FEATURES, candidate_features
from ml.serving.request import Mode
from ml.serving.shopper import Shopper, ShopperBook, may_see
from ml.serving.sources import merge_candidates, profile, source_scores
from ml.serving.tables import Tables
from ml.shop import Exposures
from ml.statistics import was_refunded

QueryVectors = Callable[[list[Shopper]], NDArray[np.float32]]
LIST_LENGTH = 20
SHOPPERS_AT_ONCE = 256
MOST_SHOWN = 100


class Truth(NamedTuple):
    """What shoppers went for after a moment."""

    shoppers: NDArray[np.int32]
    """(s,), ascending."""
    items: list[NDArray[np.int32]]
    """Distinct products of each, ascending."""


class Candidates(NamedTuple):
    """Candidate lists end to end; a group is one shopper in one mode."""

    dense: NDArray[np.float32]
    """(n, DENSE_FEATURES)."""
    codes: NDArray[np.int64]
    """(n, CODE_FEATURES)."""
    item: NDArray[np.int64]
    """(n,), positions."""
    group: NDArray[np.int32]
    """(n,), ascending."""
    label: NDArray[np.float32]
    """(n,), 1 where it happened."""
    relevant: NDArray[np.int64]
    """(groups,): how many products there were to find, candidates or not."""
    shopper: NDArray[np.int32]
    """(groups,)."""


def later_choices(
    log: InteractionLog,
    start_s: int,
    end_s: int,
    kind: int,
    known_before: NDArray[np.bool_],
    *,
    kept: bool = False,
) -> Truth:
    """Products each shopper chose in [start_s, end_s) by an event of `kind`.

    known_before: (shoppers,), who had a history at `start_s`; the others are left out. kept: a
    purchase that was refunded later in the window is no choice.
    """
    window = log.between(start_s, end_s)
    chosen = (window.kind == kind) & known_before[window.shopper]
    if kept:
        chosen &= ~was_refunded(window)
    pairs = np.unique(np.stack([window.shopper[chosen], window.item[chosen]], axis=1), axis=0)
    shoppers, starts = np.unique(pairs[:, 0], return_index=True)
    return Truth(shoppers.astype(np.int32), np.split(pairs[:, 1].astype(np.int32), starts[1:]))


def sample_truth(truth: Truth, most: int, seed: int) -> Truth:
    """At most `most` shoppers, drawn without replacement."""
    if len(truth.shoppers) <= most:
        return truth
    rows = np.sort(np.random.default_rng(seed).choice(len(truth.shoppers), most, replace=False))
    return Truth(truth.shoppers[rows], [truth.items[row] for row in rows])


def describe_candidates(
    tables: Tables,
    book: ShopperBook,
    market: NDArray[np.int16],
    truth: Truth,
    query_vectors: QueryVectors,
    mode: Mode,
    progress: Callable[[float], None],
    shown: Exposures | None = None,
) -> Candidates:
    """Run stages 1 to 3 short of the network for every shopper of `truth`.

    It calls what the engine calls, so that training sees what serving computes. Shoppers with
    nothing to find in `mode` are left out. shown: what they were shown meanwhile, which joins
    their candidates; for teaching alone, as nobody knows it beforehand.
    """
    by_shopper = None if shown is None else _by_shopper(shown)
    parts: list[tuple[NDArray, ...]] = []
    relevant: list[int] = []
    kept: list[int] = []
    for start in range(0, len(truth.shoppers), SHOPPERS_AT_ONCE):
        rows = range(start, min(start + SHOPPERS_AT_ONCE, len(truth.shoppers)))
        shoppers = [book.shopper(int(p), int(market[p])) for p in truth.shoppers[rows]]
        vectors = query_vectors(shoppers)
        for row, shopper, vector in zip(rows, shoppers, vectors, strict=True):
            wanted = truth.items[row]
            if mode == "new":
                wanted = np.setdiff1d(wanted, shopper.bought)
            if not wanted.size:
                continue
            mine = by_shopper.get(int(truth.shoppers[row])) if by_shopper else None
            found = _describe(tables, shopper, vector, mode, mine)
            label = np.isin(found[2], wanted).astype(np.float32)
            group = np.full(len(label), len(kept), np.int32)
            parts.append((*found, group, label))
            relevant.append(len(wanted))
            kept.append(int(truth.shoppers[row]))
        progress((rows.stop) / len(truth.shoppers))
    return _joined(parts, relevant, kept)


class Shown(NamedTuple):
    """What one shopper was shown: distinct products and the place of each, 0 where unknown."""

    item: NDArray[np.int64]
    slot: NDArray[np.int16]


def _by_shopper(exposures: Exposures) -> dict[int, Shown]:
    """The last MOST_SHOWN of each shopper.

    Every second shopper's places are forgotten: a request does not know them either, and what
    was shown must not be told from the rest by having a place.
    """
    order = np.argsort(exposures.shopper, kind="stable")
    shoppers, starts = np.unique(exposures.shopper[order], return_index=True)
    shown: dict[int, Shown] = {}
    for shopper, rows in zip(shoppers.tolist(), np.split(order, starts[1:]), strict=True):
        newest = rows[::-1]
        items, first = np.unique(exposures.item[newest], return_index=True)
        kept = np.argsort(first)[:MOST_SHOWN]
        slots = exposures.slot[newest[first[kept]]]
        shown[shopper] = Shown(items[kept].astype(np.int64), slots * np.int16(shopper % 2))
    return shown


def _describe(
    tables: Tables,
    shopper: Shopper,
    vector: NDArray[np.float32],
    mode: Mode,
    shown: Shown | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    scores = source_scores(tables, shopper, profile(tables, shopper), vector)
    allowed = may_see(shopper, mode, len(tables.product_ids))
    candidates = merge_candidates(tables, scores, allowed, LIST_LENGTH)
    slot = None
    if shown is not None:
        candidates = np.union1d(candidates, shown.item[allowed[shown.item]])
        slot_of = np.zeros(len(allowed), np.int16)
        slot_of[shown.item] = shown.slot
        slot = slot_of[candidates]
    found = candidate_features(
        tables, shopper, scores, candidates, tables.cut_s, repeat=mode == "repeat", slot=slot
    )
    return found.dense, found.codes, candidates


def _joined(parts: list[tuple[NDArray, ...]], relevant: list[int], kept: list[int]) -> Candidates:
    if not parts:
        empty = np.zeros(0, np.int64)
        return Candidates(
            np.zeros((0, len(DENSE_FEATURES)), np.float32),
            np.zeros((0, len(CODE_FEATURES)), np.int64),
            empty,
            empty.astype(np.int32),
            empty.astype(np.float32),
            empty,
            empty.astype(np.int32),
        )
    dense, codes, item, group, label = (np.concatenate(c) for c in zip(*parts, strict=True))
    return Candidates(
        dense, codes, item, group, label, np.array(relevant), np.array(kept, np.int32)
    )


def stack(parts: list[Candidates]) -> Candidates:
    """Several sets as one; the groups of each follow those of the one before."""
    filled = [part for part in parts if len(part.relevant)] or parts[:1]
    before = np.cumsum([0, *(len(part.relevant) for part in filled)])
    return Candidates(
        dense=np.concatenate([part.dense for part in filled]),
        codes=np.concatenate([part.codes for part in filled]),
        item=np.concatenate([part.item for part in filled]),
        group=np.concatenate(
            [part.group + first for part, first in zip(filled, before, strict=False)]
        ).astype(np.int32),
        label=np.concatenate([part.label for part in filled]),
        relevant=np.concatenate([part.relevant for part in filled]),
        shopper=np.concatenate([part.shopper for part in filled]),
    )


def split_shoppers(
    parts: list[Candidates], share: float, seed: int
) -> tuple[Candidates, Candidates]:
    """Hold out a share of the shoppers, with all their groups: (kept, held out)."""
    shoppers = np.unique(np.concatenate([part.shopper for part in parts]))
    held = shoppers[np.random.default_rng(seed).random(len(shoppers)) < share]
    masks = [np.isin(part.shopper, held) for part in parts]
    pairs = list(zip(parts, masks, strict=True))
    return (
        stack([choose_groups(part, ~mask) for part, mask in pairs]),
        stack([choose_groups(part, mask) for part, mask in pairs]),
    )


def choose_groups(candidates: Candidates, chosen: NDArray[np.bool_]) -> Candidates:
    """The groups marked in `chosen`, renumbered."""
    rows = chosen[candidates.group]
    renumbered = np.cumsum(chosen) - 1
    return Candidates(
        dense=candidates.dense[rows],
        codes=candidates.codes[rows],
        item=candidates.item[rows],
        group=renumbered[candidates.group[rows]].astype(np.int32),
        label=candidates.label[rows],
        relevant=candidates.relevant[chosen],
        shopper=candidates.shopper[chosen],
    )
