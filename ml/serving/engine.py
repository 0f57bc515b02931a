"""A whole request answered from a release: retrieve, filter, score, order."""

from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from ml.serving.blend import BLEND, blended
from ml.serving.candidate_features import candidate_features, log_ranks
from ml.serving.newcomers import EASE, best_newcomers
from ml.serving.order import order
from ml.serving.reasons import similar_reasons, visit_reasons, why
from ml.serving.release import OWN_MODELS, LoadedRelease, load_release
from ml.serving.request import EngineAnswer, EngineRequest, ScoredItem
from ml.serving.sessions import answers_visit, current_visit, session_scores
from ml.serving.shopper import Shopper, may_see, shopper_of_request, since_cut_s
from ml.serving.similar import similar_scores
from ml.serving.sources import (
    SESSION,
    SOURCES,
    TRENDING,
    best,
    merge_candidates,
    profile,
    source_scores,
)
from ml.serving.traits import device_row, trait_rows

__all__ = ["CLASSICAL", "LoadedRelease", "UnknownProduct", "load_release", "recommend"]

CLASSICAL = {
    "ease": "ease",
    "item-knn": "item-knn",
    "trending": "trending",
    "popularity": "popular",
    "buy-again": "buy-again",
}
"""Orders that need no network, and the source each one sorts by."""
IN_VISIT = "session"
"""Answers who is known from the current visit alone."""
ORDERS = {**CLASSICAL, IN_VISIT: "session"}
LAST = 1e-6
"""Classical scores are no probabilities: newcomers only fill what those orders leave open."""


class UnknownProduct(Exception):
    """`similar_to` names a product that is newer than the release."""


class Stopwatch:
    """Microseconds per stage, in the order of the stages."""

    def __init__(self) -> None:
        self.stage_us: dict[str, int] = {}
        self._since = perf_counter_ns()

    def lap(self, stage: str) -> None:
        now = perf_counter_ns()
        self.stage_us[stage] = (now - self._since) // 1000
        self._since = now


def recommend(release: LoadedRelease, request: EngineRequest) -> EngineAnswer:
    """Answer from the release alone. Raises UnknownProduct.

    A shopper without any history is answered by the blend: what sells in the market.
    """
    if request.similar_to is not None:
        return _similar(release, request)
    watch = Stopwatch()
    market = release.market_index.get(request.market or "", 0)
    cut_s = release.tables.cut_s
    shopper = shopper_of_request(
        request.recent,
        request.bought,
        market,
        request.now_s,
        cut_s,
        release.learned,
        trait_rows(request.traits, release.trait_index),
        device_row(request.device),
    )
    interest = profile(release.tables, shopper)
    scores = source_scores(release.tables, shopper, interest, release.query_vector(shopper))
    watch.lap("retrieve")
    allowed = _allowed(release, request, shopper)
    watch.lap("filter")
    rung = _rung(release, request, shopper)
    if rung == IN_VISIT:
        scores[SESSION] = _next_of_visit(release, shopper)
    candidates, probability = _candidates(release, request, shopper, scores, allowed, rung)
    watch.lap("score")
    worth = release.worth_cents if rung == OWN_MODELS else None
    chosen, final = _ordered(release, request, candidates, probability, worth)
    explain = visit_reasons if rung == IN_VISIT else why
    reasons = explain(release.tables, shopper, interest, scores, chosen)
    watch.lap("order")
    items = [
        ScoredItem(
            product_id=release.product_ids[position],
            score=float(score),
            reason=reason.code,
            because_of=reason.because_of,
        )
        for position, score, reason in zip(chosen, final, reasons, strict=True)
    ]
    return EngineAnswer(
        items=items,
        served_by=rung,
        release_id=release.release_id,
        calibrated=rung == OWN_MODELS,
        stage_us=watch.stage_us,
    )


def _candidates(
    release: LoadedRelease,
    request: EngineRequest,
    shopper: Shopper,
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    rung: str,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions and scores of tried products in the order of the rung, and of the newcomers."""
    fresh, chances = best_newcomers(
        release.tables,
        release.newcomers,
        release.manifest.newcomers,
        shopper,
        scores[EASE],
        allowed,
        request.limit,
    )
    if release.newcomers is not None:
        allowed = allowed & ~release.untried
    if rung in ORDERS:
        row = scores[SOURCES.index(ORDERS[rung])]
        candidates, probability = _classical(row, scores[TRENDING], allowed, request.limit)
    else:
        candidates = merge_candidates(release.tables, scores, allowed, request.limit)
        probability = _scored(release, request, shopper, scores, candidates, rung)
    confidence = 1.0 if rung == OWN_MODELS else LAST
    return (
        np.concatenate([candidates, fresh]),
        np.concatenate([probability, chances * np.float32(confidence)]),
    )


def _scored(
    release: LoadedRelease,
    request: EngineRequest,
    shopper: Shopper,
    scores: NDArray[np.float32],
    candidates: NDArray[np.int64],
    rung: str,
) -> NDArray[np.float32]:
    """By the ranker or, relative to the best and the last, by the blend: (candidates,)."""
    if not candidates.size:
        return np.zeros(0, np.float32)
    if rung == BLEND:
        ranks = log_ranks(scores[:, candidates])
        blend = blended(ranks, release.manifest.blend.of(request.mode))
        spread = float(np.ptp(blend)) if blend.size else 0.0
        return (blend - blend.min(initial=0)) / (spread or 1.0)
    cut_s = release.tables.cut_s
    found = candidate_features(
        release.tables,
        shopper,
        scores,
        candidates,
        cut_s + since_cut_s(request.now_s, cut_s),
        repeat=request.mode == "repeat",
    )
    return release.rank(found.dense, found.codes)


def _allowed(release: LoadedRelease, request: EngineRequest, shopper: Shopper) -> NDArray[np.bool_]:
    """(items,): what the caller did not block and the shopper may see."""
    allowed = may_see(shopper, request.mode, len(release.product_ids))
    return allowed if request.blocked is None else allowed & ~request.blocked


def _rung(release: LoadedRelease, request: EngineRequest, shopper: Shopper) -> str:
    """Who answers: the champion of the mode; of visits for who is known from this one alone."""
    if not shopper.items.size and not shopper.bought.size:
        return BLEND
    if answers_visit(release.tables.sessions, shopper):
        return IN_VISIT
    champion = release.champion(request.mode)
    return BLEND if champion == OWN_MODELS and not release.ranks else champion


def _next_of_visit(release: LoadedRelease, shopper: Shopper) -> NDArray[np.float32]:
    sessions = release.tables.sessions
    visit = current_visit(shopper, sessions.pause_s)
    return session_scores(sessions, visit, sessions.champion, len(release.product_ids))


def _classical(
    row: NDArray[np.float32],
    trending: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    limit: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Best of one source, scores relative to its best; trending fills what it leaves open."""
    chosen = np.sort(best(row, allowed, max(limit * 4, 100), above=0.0))
    strongest = float(row[chosen].max(initial=0)) or 1.0
    scores = 0.5 + 0.5 * row[chosen] / strongest
    if len(chosen) < limit:
        filling = np.setdiff1d(best(trending, allowed, limit * 4), chosen)
        top = float(trending[filling].max(initial=0)) or 1.0
        chosen = np.concatenate([chosen, filling])
        scores = np.concatenate([scores, 0.5 * trending[filling] / top])
    return chosen, scores.astype(np.float32)


def _ordered(
    release: LoadedRelease,
    request: EngineRequest,
    candidates: NDArray[np.int64],
    scores: NDArray[np.float32],
    worth: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """worth: (items,), weighs the scores of calibrated models."""
    promoted = np.zeros(len(candidates), bool)
    if request.promoted:
        known = [release.index[p] for p in request.promoted if p in release.index]
        promoted = np.isin(candidates, known)
    mine = None if worth is None else worth[candidates]
    rows, final = order(scores, promoted, request.promotion_threshold, request.limit, mine)
    return candidates[rows], final


def _similar(release: LoadedRelease, request: EngineRequest) -> EngineAnswer:
    """Neighbours of one product: bought together, then alike in content, then trending."""
    if request.similar_to not in release.index:
        raise UnknownProduct(f"the release does not know {request.similar_to}")
    watch = Stopwatch()
    anchor = release.index[request.similar_to]
    market = release.market_index.get(request.market or "", 0)
    scores, together = similar_scores(release.tables, anchor, market)
    watch.lap("retrieve")
    allowed = np.ones(len(scores), bool) if request.blocked is None else ~request.blocked
    allowed[anchor] = False
    watch.lap("filter")
    candidates = np.sort(best(scores, allowed, max(request.limit * 2, 50)))
    watch.lap("score")
    chosen, final = _ordered(release, request, candidates, scores[candidates])
    reasons = similar_reasons(release.tables, anchor, chosen, together)
    watch.lap("order")
    return EngineAnswer(
        items=[
            ScoredItem(
                product_id=release.product_ids[position],
                score=float(score),
                reason=code,
                because_of=request.similar_to,
            )
            for position, score, code in zip(chosen, final, reasons, strict=True)
        ],
        served_by="item-knn" if together.any() else "content",
        release_id=release.release_id,
        calibrated=False,
        stage_us=watch.stage_us,
    )
