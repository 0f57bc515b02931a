"""Which session method a shop is served by, judged on its own later visits.

Every method learns from what was before the validation weeks, and is asked for the next product
of visits in them. The one with the highest hit rate and reciprocal rank together is the champion,
if it beats what is trending and item-kNN of the last products.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from ml.baselines import fit_trending, knn_neighbours
from ml.interactions import KIND_INDEX, InteractionLog
from ml.release import SessionContest, SessionScore
from ml.serving.session_network import NETWORK_CLICKS
from ml.serving.session_tables import NOTHING, STAN, V_SKNN, Mix, NeighbourSettings, Sessions
from ml.serving.sessions import (
    LONGEST_VISIT,
    Visit,
    neighbour_scores,
    network_scores,
    rule_scores,
    shares,
    visit_of,
)
from ml.serving.sources import LAST_VIEWED, Interest, spread
from ml.session import PAUSE_S, Steps, cut_visits, learn_sessions, steps_of
from ml.session_network import NetworkConfig, TrainedNetwork, train_network

LIST_LENGTH = 20
FEWEST_BROWSED = 0.5
"""Share of events that are no orders: where orders alone are known, there are no visits."""
ORDERS = [KIND_INDEX[kind] for kind in ("purchase", "refund")]
FEWEST_VISITS = 200
FEWEST_STEPS = 100
"""To be judged by."""
FEWEST_NETWORK_STEPS = 20_000
SURE = 1.05
"""The best of many mixes is flattered by being chosen: it must be so much better than a peer."""
NEIGHBOURS = {"V-SKNN": V_SKNN, "STAN": STAN}
RULE_SHARES = (1.0, 0.0, 0.3, 0.6)
"""Of what the network leaves; visits alike have the rest."""
NETWORK_SHARES = (0.5, 0.8)
AGAIN = (1.0, 0.2, 0.0)


class SessionConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    most_steps: int = 2_000
    """Choices in later visits that methods are judged by."""
    network: NetworkConfig = NetworkConfig()

    def with_seed(self, seed: int) -> "SessionConfig":
        network = structs.replace(self.network, seed=seed)
        return structs.replace(self, seed=seed, network=network)


class SessionPlan(NamedTuple):
    """How visits are learned from."""

    pause_s: float
    serves: bool
    source: Mix
    champion: Mix
    settings: NeighbourSettings
    network: TrainedNetwork | None
    """Of the validation, to go on from; None where none won."""
    contest: SessionContest | None


NO_SESSIONS = SessionPlan(0.0, False, Mix(), Mix(), STAN, None, None)


class Judged(NamedTuple):
    hit: float
    mrr: float

    @property
    def merit(self) -> float:
        return self.hit + self.mrr


Method = Callable[[Visit], NDArray[np.float32]]


def choose_sessions(
    log: InteractionLog,
    n_shoppers: int,
    n_items: int,
    validate_from_s: int,
    config: SessionConfig,
    report: Callable[..., None],
) -> SessionPlan:
    """Learn before `validate_from_s`, judge on what came then. Equal seed and data: equal plan."""
    if np.mean(~np.isin(log.kind, ORDERS)) < FEWEST_BROWSED:
        return NO_SESSIONS
    earlier = cut_visits(log.before(validate_from_s), PAUSE_S)
    later = steps_of(cut_visits(log, PAUSE_S), LONGEST_VISIT, validate_from_s)
    if len(earlier.start) <= FEWEST_VISITS or len(later.target) < FEWEST_STEPS:
        return NO_SESSIONS
    judged_by = _sampled(later, config)
    before = log.before(validate_from_s)
    peers = _judge(judged_by, _peers(before, n_shoppers, n_items, validate_from_s))
    report(0.2, {name: peer.hit for name, peer in peers.items()})
    sessions = learn_sessions(earlier, n_items)
    network = None
    steps = steps_of(earlier, NETWORK_CLICKS)
    if len(steps.target) >= FEWEST_NETWORK_STEPS:
        network = train_network(steps, n_items, config.network, report)
        sessions = sessions._replace(vectors=network.vectors, network=network.network)
    plan = _best(sessions, judged_by, peers, n_items)
    report(1.0, {})
    return plan._replace(pause_s=PAUSE_S, network=network if plan.champion.network else None)


def fit_sessions(
    log: InteractionLog,
    n_items: int,
    plan: SessionPlan,
    network: TrainedNetwork | None = None,
) -> Sessions:
    """Learn from `log` as planned; the network comes from `extend_network`."""
    if plan.champion == Mix():
        return NOTHING
    sessions = learn_sessions(cut_visits(log, plan.pause_s), n_items)._replace(
        serves=plan.serves,
        pause_s=plan.pause_s,
        source=plan.source,
        champion=plan.champion,
        settings=plan.settings,
    )
    if network is None:
        return sessions._replace(champion=plan.source)
    return sessions._replace(vectors=network.vectors, network=network.network)


def extend_network(
    log: InteractionLog,
    n_items: int,
    plan: SessionPlan,
    config: NetworkConfig,
    report: Callable[..., None],
) -> TrainedNetwork | None:
    """The network of the validation, trained on; None where none won."""
    if plan.network is None:
        return None
    steps = steps_of(cut_visits(log, plan.pause_s), NETWORK_CLICKS)
    return train_network(steps, n_items, config, report, plan.network)


def _sampled(steps: Steps, config: SessionConfig) -> Steps:
    if len(steps.target) <= config.most_steps:
        return steps
    rng = np.random.default_rng(config.seed)
    rows = rng.choice(len(steps.target), config.most_steps, replace=False)
    return Steps(steps.clicks[rows], steps.target[rows])


def _peers(log: InteractionLog, n_shoppers: int, n_items: int, now_s: int) -> dict[str, Method]:
    """What answers visitors where no session method does."""
    trending = fit_trending(log, n_shoppers, n_items, now_s)(np.zeros(1, np.int64))[0]
    together = knn_neighbours(log, n_shoppers, n_items)

    def item_knn(visit: Visit) -> NDArray[np.float32]:
        newest = visit.items[:LAST_VIEWED]
        weights = (1 / np.arange(1, len(newest) + 1)).astype(np.float32)
        return spread(together, Interest(newest, weights), n_items)

    return {"trending": lambda _: trending, "item-knn": item_knn}


def _judge(steps: Steps, methods: dict[str, Method]) -> dict[str, Judged]:
    """Each method alone."""
    ranks = np.empty((len(steps.target), len(methods)))
    for row, (clicks, target) in enumerate(zip(*steps, strict=True)):
        visit = visit_of(clicks[clicks >= 0])
        scores = np.stack([method(visit) for method in methods.values()])
        ranks[row] = rank_of(scores, int(target))
    return dict(zip(methods, _judged(ranks), strict=True))


def _judge_mixes(
    sessions: Sessions, steps: Steps, mixes: list[Mix], n_items: int
) -> dict[Mix, Judged]:
    weights = np.array(mixes, np.float32)[:, :3]
    again = np.array([mix.again for mix in mixes], np.float32)
    ranks = np.empty((len(steps.target), len(mixes)))
    for row, (clicks, target) in enumerate(zip(*steps, strict=True)):
        visit = visit_of(clicks[clicks >= 0])
        parts = np.zeros((3, n_items), np.float32)
        parts[0] = shares(rule_scores(sessions.rules, visit, n_items))
        parts[1] = shares(neighbour_scores(sessions, visit, n_items))
        if sessions.network is not None:
            parts[2] = network_scores(sessions, visit)
        scores = weights @ parts
        scores[:, visit.clicks[0]] *= again
        ranks[row] = rank_of(scores, int(target))
    return dict(zip(mixes, _judged(ranks), strict=True))


def rank_of(scores: NDArray[np.float32], target: int) -> NDArray[np.float64]:
    """Where the target stands in each row: (rows,), from 1; infinity where it has no score.

    scores: (rows, items). Equal scores are ordered by position, as they are served.
    """
    own = scores[:, target : target + 1]
    above = (scores > own).sum(axis=1) + (scores[:, :target] == own).sum(axis=1)
    return np.where(own[:, 0] > 0, above + 1.0, np.inf)


def _judged(ranks: NDArray[np.float64]) -> list[Judged]:
    """ranks: (steps, methods)."""
    listed = ranks <= LIST_LENGTH
    return [
        Judged(float(hit), float(mrr))
        for hit, mrr in zip(
            listed.mean(axis=0), np.where(listed, 1 / ranks, 0).mean(axis=0), strict=True
        )
    ]


def _best(sessions: Sessions, steps: Steps, peers: dict[str, Judged], n_items: int) -> SessionPlan:
    """The best mix of the parts there are, or none where a peer is better."""
    table = dict(peers)
    rules, votes = Mix(rules=1), Mix(neighbours=1)
    for name, settings in NEIGHBOURS.items():
        ready = sessions._replace(settings=settings)
        alone = _judge_mixes(ready, steps, [rules, votes], n_items)
        table |= {"rules": alone[rules], name: alone[votes]}
    best = max(NEIGHBOURS, key=lambda name: table[name].merit)
    settings = NEIGHBOURS[best]
    mixes = _mixes(with_network=sessions.network is not None)
    judged = _judge_mixes(sessions._replace(settings=settings), steps, mixes, n_items)
    source = max((mix for mix in mixes if not mix.network), key=lambda mix: judged[mix].merit)
    champion = max(mixes, key=lambda mix: judged[mix].merit)
    for mix in sorted(mixes, key=lambda mix: judged[mix].merit):  # of each name the best stays
        table[_name(mix, best)] = judged[mix]
    wins = judged[champion].merit >= SURE * max(peer.merit for peer in peers.values())
    contest = SessionContest(
        champion=_name(champion, best) if wins else "",
        serves=wins,
        steps=len(steps.target),
        scores=[SessionScore(name=name, hit=row.hit, mrr=row.mrr) for name, row in table.items()],
    )
    if not wins:
        return NO_SESSIONS._replace(contest=contest)
    return SessionPlan(0.0, True, source, champion, settings, None, contest)


def _mixes(*, with_network: bool) -> list[Mix]:
    """Simplest first: of equals the first is chosen."""
    shares_of_network = (0.0, *NETWORK_SHARES, 1.0) if with_network else (0.0,)
    return [
        Mix(rules * (1 - network), (1 - rules) * (1 - network), network, again)
        for network in shares_of_network
        for rules in (RULE_SHARES if network < 1 else RULE_SHARES[:1])
        for again in AGAIN
    ]


def _name(mix: Mix, neighbours: str) -> str:
    parts = [
        name
        for name, weight in zip(("rules", neighbours, "network"), mix[:3], strict=True)
        if weight
    ]
    return " + ".join(parts)
