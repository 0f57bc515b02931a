"""The next product of a visit: rules, visits alike and, where it won, a small network.

Rules are those of Ludewig & Jannach 2018 (UMUAI, "Evaluation of session-based recommendation
algorithms"): how often a product followed another, less the further apart. Visits alike are found
as in V-SKNN (the same paper) or STAN (Garg et al. 2019, SIGIR): the visits that share most with
this one vote for their products.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.interactions import KIND_WEIGHT
from ml.serving.neighbours import Neighbours
from ml.serving.session_tables import Mix, Sessions
from ml.serving.shopper import DAY_S, Shopper

LONGEST_VISIT = 20
"""Distinct products of the current visit that are looked at, newest first."""
RULE_DECAY = 0.5
"""What the product before the last one says counts half, and so on."""
MATCH_STEP = 0.1
"""V-SKNN: so much less counts a visit for every step since the last product it shares."""
FARTHEST = 64
"""Distances inside a visit beyond this one count like it."""


class Visit(NamedTuple):
    """The current visit."""

    items: NDArray[np.int32]
    """(v,) products, each once, newest first."""
    steps: NDArray[np.float32]
    """(v,) how many steps ago each was seen last."""
    clicks: NDArray[np.int32]
    """(c,) every step, newest first, with repetitions."""


def current_visit(shopper: Shopper, pause_s: float) -> Visit:
    """What the shopper did since the last pause longer than `pause_s`; dislikes are no steps."""
    items = shopper.items
    if pause_s and len(items) > 1:
        paused = np.flatnonzero(np.diff(shopper.ages) * DAY_S > pause_s)
        items = items[: paused[0] + 1] if paused.size else items
    return visit_of(items[KIND_WEIGHT[shopper.kinds[: len(items)]] > 0])


def answers_visit(sessions: Sessions, shopper: Shopper) -> bool:
    """Whether all that is known of the shopper is a current visit, and its products are known."""
    if not sessions.serves or shopper.bought.size or not shopper.items.size:
        return False
    pauses_s = np.diff(shopper.ages) * DAY_S
    if sessions.pause_s and (pauses_s > sessions.pause_s).any():
        return False
    visit = current_visit(shopper, sessions.pause_s)
    known = sessions.item_start[visit.items + 1] > sessions.item_start[visit.items]
    return bool(known.any())


def visit_of(clicks: NDArray[np.int32]) -> Visit:
    """clicks: positions, newest first."""
    items, first = np.unique(clicks, return_index=True)
    newest = np.argsort(first)[:LONGEST_VISIT]
    return Visit(items[newest], first[newest].astype(np.float32), clicks[:LONGEST_VISIT])


def session_scores(sessions: Sessions, visit: Visit, mix: Mix, n_items: int) -> NDArray[np.float32]:
    """Scores of every product: (items,); shares of all, weighted."""
    total = np.zeros(n_items, np.float32)
    if not visit.items.size or not sessions.visit_item.size:
        return total
    if mix.rules:
        total += np.float32(mix.rules) * shares(rule_scores(sessions.rules, visit, n_items))
    if mix.neighbours:
        votes = neighbour_scores(sessions, visit, n_items)
        total += np.float32(mix.neighbours) * shares(votes)
    if mix.network and sessions.network is not None:
        total += np.float32(mix.network) * network_scores(sessions, visit)
    total[visit.clicks[0]] *= np.float32(mix.again)
    return total


def shares(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divided by their sum, so that parts can be added."""
    return scores / max(float(scores.sum()), 1e-12)


def rule_scores(rules: Neighbours, visit: Visit, n_items: int) -> NDArray[np.float32]:
    """What followed the products of the visit; the last one decides most: (items,)."""
    weights = np.power(RULE_DECAY, visit.steps, dtype=np.float32)
    strength = (rules.weight[visit.items] * weights[:, None]).ravel()
    return np.bincount(rules.item[visit.items].ravel(), strength, n_items).astype(np.float32)


def neighbour_scores(sessions: Sessions, visit: Visit, n_items: int) -> NDArray[np.float32]:
    """Votes of the visits most alike: (items,)."""
    settings = sessions.settings
    clicks, weights, steps = _sampled_clicks(sessions, visit)
    if not clicks.size:
        return np.zeros(n_items, np.float32)
    nearest, alike, shared = _nearest(sessions, clicks, weights)
    if not settings.position_steps:
        alike = alike * np.maximum(1 - MATCH_STEP * steps[shared], 0)
    start = sessions.visit_start[nearest]
    length = sessions.visit_start[nearest + 1] - start
    ends = np.cumsum(length)
    flat = np.arange(ends[-1]) + np.repeat(start - (ends - length), length)
    votes = np.repeat(alike, length)
    if settings.distance_steps:
        distance = np.abs(flat - np.repeat(clicks[shared], length))
        fall = np.exp(-np.arange(FARTHEST) / settings.distance_steps)
        votes = votes * fall[np.minimum(distance, FARTHEST - 1)]
    scores = np.bincount(sessions.visit_item[flat], votes, n_items)
    if settings.rarity:
        count = np.maximum(np.diff(sessions.item_start), 1)
        scores *= 1 + settings.rarity * np.log((len(sessions.visit_start) - 1) / count)
    return scores.astype(np.float32)


def _sampled_clicks(
    sessions: Sessions, visit: Visit
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Newest clicks on each product of the visit, its oldest product first; weights and steps."""
    settings = sessions.settings
    items, steps = visit.items[::-1], visit.steps[::-1]
    if settings.position_steps:
        weights = np.exp(-steps / settings.position_steps)
    else:
        length = float(steps.max()) + 1
        weights = (length - steps) / length
    ends = sessions.item_start[items + 1]
    starts = np.maximum(sessions.item_start[items], ends - settings.sampled)
    found = [sessions.item_click[start:end] for start, end in zip(starts, ends, strict=True)]
    counts = ends - starts
    return np.concatenate(found), np.repeat(weights, counts), np.repeat(steps, counts)


def _nearest(
    sessions: Sessions, clicks: NDArray[np.int32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.int32]]:
    """Visits most alike, how much, and the position in `clicks` of the last product they share."""
    settings = sessions.settings
    visits = sessions.click_visit[clicks]
    lowest = int(visits.min())
    summed = np.bincount(visits - lowest, weights).astype(np.float64)
    shared = np.zeros(len(summed), np.int32)
    shared[visits - lowest] = np.arange(len(clicks))  # the newest product is written last
    found = np.flatnonzero(summed)
    alike = summed[found]
    found += lowest
    if settings.position_steps:
        alike = alike / np.sqrt(sessions.visit_start[found + 1] - sessions.visit_start[found])
    if len(found) > settings.nearest:
        # of visits equally alike the newer ones: they come last
        best = np.argsort(alike, kind="stable")[-settings.nearest :]
        found, alike = found[best], alike[best]
    return found, alike, shared[found - lowest]


def network_scores(sessions: Sessions, visit: Visit) -> NDArray[np.float32]:
    """Probability of each product by the network: (items,)."""
    if sessions.network is None:
        return np.zeros(len(sessions.vectors), np.float32)
    logits = sessions.vectors @ sessions.network.vector(sessions.vectors[visit.clicks])
    return shares(np.exp(logits - logits.max()))
