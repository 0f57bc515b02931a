"""Everything a release knows about a shop at one moment, learned from what happened before it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml import statistics
from ml.baselines import ease_neighbours, knn_neighbours
from ml.features import ItemFeatures
from ml.interactions import InteractionLog
from ml.progress import Report, part
from ml.retrieval import TowerConfig, TrainedTowers, train_two_tower
from ml.serving.release import tower_inputs
from ml.serving.shopper import Shopper
from ml.serving.sources import CANDIDATES_PER_SOURCE
from ml.serving.sparse_rows import SparseRows
from ml.serving.tables import Neighbours, Tables
from ml.serving.vocabulary import Vocabulary
from ml.session_choice import NO_SESSIONS, SessionPlan, fit_sessions
from ml.session_network import TrainedNetwork
from ml.shop import Shop


class Retriever(NamedTuple):
    tables: Tables
    towers: TrainedTowers | None

    def query_vectors(self, shoppers: list[Shopper]) -> NDArray[np.float32]:
        """(shoppers, dim); dim 0 without towers."""
        if self.towers is None:
            return np.zeros((len(shoppers), 0), np.float32)
        return self.towers.query_vectors(tower_inputs(shoppers))


class Catalogue(NamedTuple):
    """What is known of the products whatever the moment."""

    codes: statistics.CatalogueCodes
    log_price: NDArray[np.float32]
    content: Neighbours
    words: SparseRows
    features: ItemFeatures | None
    """What the item tower sees; None where too little data would train it."""
    vocabulary: Vocabulary | None = None
    """How `words` were read."""
    said: str = ""
    """What the content of products was read with."""


def fit_retriever(
    shop: Shop,
    catalogue: Catalogue,
    now_s: int,
    config: TowerConfig,
    warm_start: TrainedTowers | None,
    report: Report,
    step: tuple[float, float],
    candidates: Mapping[str, int] | None = None,
    plan: SessionPlan = NO_SESSIONS,
    network: TrainedNetwork | None = None,
) -> Retriever:
    """Learn from events before `now_s` alone.

    warm_start: towers of an earlier moment, trained on. step: where this one begins in the
    stages' progress, and its share of them. candidates: of each source, if not as usual. plan,
    network: how visits are learned from.
    """
    log = shop.log.before(now_s)
    n_shoppers, n_items = len(shop.shopper_ids), len(shop.product_ids)
    neighbours_done = part(report, "neighbours", *step)
    co_purchase = knn_neighbours(log, n_shoppers, n_items)
    neighbours_done(0.5)
    ease = ease_neighbours(log, n_shoppers, n_items, now_s)
    neighbours_done(1.0)
    progress = part(report, "two-tower", *step)
    towers = _fit_towers(shop, log, catalogue.features, config, progress, warm_start)
    rebuy_rate, rebuy_days = statistics.rebuying(log, n_items)
    tables = Tables(
        cut_s=now_s,
        product_ids=shop.product_ids,
        markets=shop.markets,
        department=catalogue.codes.department,
        category=catalogue.codes.category,
        brand=catalogue.codes.brand,
        log_price=catalogue.log_price,
        category_log_price=statistics.mean_by_group(catalogue.log_price, catalogue.codes.category),
        first_seen_s=statistics.first_seen(log, n_items, now_s),
        trends=statistics.decayed_counts(log, n_items, now_s),
        popularity=statistics.popularity(log, n_shoppers, n_items),
        market_trends=statistics.market_trends(log, len(shop.markets), n_items, now_s),
        rebuy_rate=rebuy_rate,
        rebuy_days=rebuy_days,
        return_rate=statistics.return_rates(log, n_items),
        co_purchase=co_purchase,
        ease=ease,
        content=catalogue.content,
        candidates=CANDIDATES_PER_SOURCE if candidates is None else candidates,
        item_vectors=np.zeros((n_items, 0), np.float32) if towers is None else towers.item_vectors,
        sessions=fit_sessions(log, n_items, plan, network),
        words=catalogue.words,
        vocabulary=catalogue.vocabulary,
        traits=shop.traits.names,
        kind_weight=shop.kind_weight,
    )
    return Retriever(tables, towers)


def _fit_towers(
    shop: Shop,
    log: InteractionLog,
    features: ItemFeatures | None,
    config: TowerConfig,
    progress: Callable[..., None],
    warm_start: TrainedTowers | None,
) -> TrainedTowers | None:
    if features is None:
        return None
    n_markets = len(shop.markets)
    return train_two_tower(log, features, n_markets, shop.traits, config, progress, warm_start)
