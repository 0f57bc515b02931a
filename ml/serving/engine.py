"""A whole request answered from a release: retrieve, filter, score, order."""

from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from ml.serving.blend import BLEND, blended
from ml.serving.candidate_features import candidate_features, log_ranks
from ml.serving.charts import Chart, chart_of, chart_reasons
from ml.serving.habits import is_due
from ml.serving.newcomers import EASE, best_newcomers
from ml.serving.order import order
from ml.serving.reasons import Reason, habit_reasons, visit_reasons, why
from ml.serving.release import OWN_MODELS, LoadedRelease, load_release
from ml.serving.request import EngineAnswer, EngineRequest, ScoredItem, UnknownProduct
from ml.serving.sessions import answers_visit, current_visit, session_scores
from ml.serving.shopper import Shopper, may_see, shopper_of_request, since_cut_s
from ml.serving.sources import (
    SESSION,
    SOURCES,
    TRENDING,
    Interest,
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
HABIT = "buy-again"
IN_VISIT = "session"
"""Answers who is known from the current visit alone."""
ORDERS = {**CLASSICAL, IN_VISIT: "session"}
LAST = 1e-6
"""Classical scores are no probabilities: newcomers only fill what those orders leave open."""


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

    A shopper without any history is answered by the blend: what sells in the market. Where the
    answer does not depend on the shopper, what they own or dismissed is for the caller to block.
    """
    watch = Stopwatch()
    chart = chart_of(release, request)
    if chart is not None:
        watch.lap("retrieve")
        return _charted(release, request, chart, watch)
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
    reasons = _reasons(release, request, shopper, interest, scores, chosen, rung)
    watch.lap("order")
    return EngineAnswer(
        items=_items(release, chosen, final, reasons),
        served_by=rung,
        release_id=release.release_id,
        calibrated=rung == OWN_MODELS,
        stage_us=watch.stage_us,
    )


def _charted(
    release: LoadedRelease, request: EngineRequest, chart: Chart, watch: Stopwatch
) -> EngineAnswer:
    allowed = _asked_for(release, request)
    allowed[chart.anchors] = False
    watch.lap("filter")
    candidates = np.sort(best(chart.scores, allowed, max(request.limit * 2, 50), above=0.0))
    watch.lap("score")
    chosen, final = _ordered(release, request, candidates, chart.scores[candidates])
    reasons = chart_reasons(release, request, chart, chosen)
    watch.lap("order")
    return EngineAnswer(
        items=_items(release, chosen, final, reasons),
        served_by=chart.served_by,
        release_id=release.release_id,
        calibrated=False,
        stage_us=watch.stage_us,
    )


def _items(
    release: LoadedRelease,
    chosen: NDArray[np.int64],
    scores: NDArray[np.float32],
    reasons: list[Reason],
) -> list[ScoredItem]:
    return [
        ScoredItem(
            product_id=release.product_ids[position],
            score=float(score),
            reason=reason.code,
            because_of=reason.because_of,
        )
        for position, score, reason in zip(chosen, scores, reasons, strict=True)
    ]


def _reasons(
    release: LoadedRelease,
    request: EngineRequest,
    shopper: Shopper,
    interest: Interest,
    scores: NDArray[np.float32],
    chosen: NDArray[np.int64],
    rung: str,
) -> list[Reason]:
    if request.ranked_by == "habit":
        return habit_reasons(request.bought, [release.product_ids[item] for item in chosen])
    explain = visit_reasons if rung == IN_VISIT else why
    return explain(release.tables, shopper, interest, scores, chosen)


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
    """(items,): what was asked for and the shopper may see."""
    return _asked_for(release, request) & may_see(shopper, request.mode, len(release.product_ids))


def _asked_for(release: LoadedRelease, request: EngineRequest) -> NDArray[np.bool_]:
    """(items,): among those named or due again, where that is asked, and not blocked."""
    n = len(release.product_ids)
    asked = np.ones(n, bool) if request.blocked is None else ~request.blocked
    if request.among is not None:
        asked &= _mask(release, request.among)
    if request.ranked_by == "habit":
        asked &= _mask(release, _due(release, request))
    return asked


def _due(release: LoadedRelease, request: EngineRequest) -> list[str]:
    days, again = release.tables.rebuy_days, release.tables.rebuy_rate
    return [
        purchase.product_id
        for purchase in request.bought
        if (item := release.index.get(purchase.product_id)) is not None
        and is_due(purchase, request.now_s, float(days[item]), float(again[item]))
    ]


def _mask(release: LoadedRelease, product_ids: list[str]) -> NDArray[np.bool_]:
    mask = np.zeros(len(release.product_ids), bool)
    mask[[release.index[name] for name in product_ids if name in release.index]] = True
    return mask


def _rung(release: LoadedRelease, request: EngineRequest, shopper: Shopper) -> str:
    """Who answers: the champion of the mode; of visits for who is known from this one alone."""
    if not shopper.items.size and not shopper.bought.size:
        return BLEND
    if request.ranked_by != "habit" and answers_visit(release.tables.sessions, shopper):
        return IN_VISIT
    champion = release.champion(request.mode)
    if champion == OWN_MODELS and release.ranks:
        return OWN_MODELS
    if request.ranked_by == "habit":
        return HABIT
    return BLEND if champion == OWN_MODELS else champion


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
