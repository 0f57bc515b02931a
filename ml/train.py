"""One shop's models, trained and judged.

Three moments, W < V < now. A retriever learned before W and the choices of [W, V) train a ranker,
which is judged on the choices of [V, now) over a retriever learned before V. What serves is then
learned from everything: a retriever before now, a ranker from both windows.
"""

from collections.abc import Callable
from itertools import pairwise
from time import monotonic
from typing import NamedTuple

import numpy as np
from msgspec import Struct, structs

from ml import gate, statistics
from ml.baselines import BASELINES, content_neighbours
from ml.comparison import ListQuality, quality_of_baseline, quality_of_order, quality_of_source
from ml.features import encode_catalogue
from ml.interactions import KIND_INDEX, InteractionLog
from ml.progress import Report, part
from ml.ranking import RankerConfig, TrainedRanker, train_ranker
from ml.ranking_set import (
    Candidates,
    Truth,
    describe_candidates,
    later_choices,
    sample_truth,
    split_shoppers,
)
from ml.release import Gate, Metrics
from ml.retrieval import TowerConfig, TrainedTowers
from ml.retriever import Catalogue, Retriever, fit_retriever
from ml.serving.engine import CLASSICAL
from ml.serving.request import Mode
from ml.serving.shopper import ShopperBook
from ml.shop import Shop

DAY_S = 86_400
FEWEST_EVENTS = 5_000
FEWEST_CHOOSERS = 100
"""Shoppers in each window whose choices a ranker can learn from."""
HELD_OUT = 0.15
"""Share of shoppers that decide when the ranker stops and how its scores are calibrated."""
OBJECTIVES = ("purchase", "add_to_cart", "click", "view")


class Cuts(NamedTuple):
    """Moments in Unix seconds: W, V and now."""

    learn_from_s: int
    validate_from_s: int
    now_s: int

    @classmethod
    def of_validation(cls, validate_from_s: int, now_s: int) -> "Cuts":
        """The ranker learns from a window as long as the validation's, right before it."""
        return cls(2 * validate_from_s - now_s, validate_from_s, now_s)

    @classmethod
    def of_log(cls, log: InteractionLog) -> "Cuts":
        """Two windows of four weeks, shorter where a shop is young."""
        now_s = int(log.ts[-1]) + 1
        window_s = min(28 * DAY_S, max(3 * DAY_S, (now_s - int(log.ts[0])) // 8))
        return cls.of_validation(now_s - window_s, now_s)


class TrainConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    most_shoppers: int = 3_000
    """Shoppers per window whose candidates train and judge the ranker."""
    towers: TowerConfig = TowerConfig()
    ranker: RankerConfig = RankerConfig()


class Trained(NamedTuple):
    retriever: Retriever
    ranker: TrainedRanker | None
    metrics: Metrics


class Window(NamedTuple):
    """Choices of one window, with a retriever that was learned before it."""

    retriever: Retriever
    book: ShopperBook
    truth: Truth
    new: Candidates
    repeat: Candidates


def train_shop(
    shop: Shop, cuts: Cuts, config: TrainConfig, report: Report, parent: Gate | None = None
) -> Trained:
    """Train on `shop.log`, which ends before `cuts.now_s`.

    Equal seed and data give equal metrics on one machine. With too little data no network is
    trained; the metrics then say what is lacking and which classical order serves. parent: the
    verdict on the release in service, whose models new ones must not be worse than.
    """
    kind = objective(shop.log)
    lacking = what_is_lacking(shop.log, cuts, kind, len(shop.shopper_ids))
    clock = Clock()
    catalogue = describe_catalogue(shop, deep=not lacking, report=report)
    clock.lap("features")
    if lacking:
        return _without_models(shop, catalogue, cuts, kind, config, lacking, report)
    earlier, later = _learn_windows(shop, catalogue, cuts, kind, config, report)
    clock.lap("retrieval")
    judged = _fit([earlier.new, earlier.repeat], config, part(report, "ranker", 0.0, 0.5))
    clock.lap("ranker")
    verdict = _judge(shop, judged, later, parent, report)
    clock.lap("evaluation")
    towers = later.retriever.towers
    everything = [earlier.new, earlier.repeat, later.new, later.repeat]
    del earlier, later
    ranker = _fit(everything, stopped_at(config, judged), part(report, "ranker", 0.5, 0.5))
    clock.lap("ranker")
    share = (2 / 3, 1 / 3)
    final = fit_retriever(shop, catalogue, cuts.now_s, config.towers, towers, report, share)
    clock.lap("retrieval")
    metrics = Metrics(
        gate=verdict,
        ranker=judged.metrics,
        towers=final.towers.metrics if final.towers else {},
        curves=judged.curve,
        seconds=clock.seconds,
    )
    return Trained(final, ranker, metrics)


def _learn_windows(
    shop: Shop, catalogue: Catalogue, cuts: Cuts, kind: int, config: TrainConfig, report: Report
) -> list[Window]:
    """[W, V) and [V, now), each over what was known before it; the second's towers start warm."""
    windows: list[Window] = []
    towers: TrainedTowers | None = None
    for step, (start_s, end_s) in enumerate(pairwise(cuts)):
        share = (step / 3, 1 / 3)
        retriever = fit_retriever(shop, catalogue, start_s, config.towers, towers, report, share)
        towers = retriever.towers
        begun = step / 2
        windows.append(
            describe_window(shop, retriever, start_s, end_s, kind, config, report, begun)
        )
    return windows


class Clock:
    """Seconds per part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = monotonic()

    def lap(self, name: str) -> None:
        now = monotonic()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._since, 2)
        self._since = now


def objective(log: InteractionLog) -> int:
    """The strongest kind of event the shop has enough of; the last one where it has none."""
    for name in OBJECTIVES:
        if np.count_nonzero(log.kind == KIND_INDEX[name]) >= FEWEST_EVENTS // 2:
            return KIND_INDEX[name]
    return KIND_INDEX[OBJECTIVES[0]]


def what_is_lacking(log: InteractionLog, cuts: Cuts, kind: int, n_shoppers: int) -> str:
    """Why no network is trained, in words; empty where there is enough."""
    if len(log.ts) < FEWEST_EVENTS:
        return f"Only {len(log.ts):,} events of known products; own models need {FEWEST_EVENTS:,}."
    for start_s, end_s in ((cuts.learn_from_s, cuts.validate_from_s), cuts[1:]):
        choosers = len(_truth(log, start_s, end_s, kind, n_shoppers).shoppers)
        if choosers < FEWEST_CHOOSERS:
            days = (end_s - start_s) // DAY_S
            return (
                f"Only {choosers} returning shoppers chose something in {days} days; "
                f"own models need {FEWEST_CHOOSERS}."
            )
    return ""


def _truth(log: InteractionLog, start_s: int, end_s: int, kind: int, n_shoppers: int) -> Truth:
    known = np.zeros(n_shoppers, bool)
    known[log.before(start_s).shopper] = True
    return later_choices(log, start_s, end_s, kind, known)


def describe_catalogue(shop: Shop, *, deep: bool, report: Report) -> Catalogue:
    report("features", 0.0, {})
    products = shop.products
    content = content_neighbours(products)
    report("features", 0.4, {})
    catalogue = Catalogue(
        codes=statistics.catalogue_codes(products),
        log_price=statistics.log_prices(products),
        content=content,
        features=encode_catalogue(products) if deep else None,
    )
    report("features", 1.0, {"products": len(shop.product_ids)})
    return catalogue


def describe_window(
    shop: Shop,
    retriever: Retriever,
    start_s: int,
    end_s: int,
    kind: int,
    config: TrainConfig,
    report: Report,
    begun: float,
) -> Window:
    book = ShopperBook(shop.log.before(start_s), len(shop.shopper_ids), start_s)
    everybody = _truth(shop.log, start_s, end_s, kind, len(shop.shopper_ids))
    truth = sample_truth(everybody, config.most_shoppers, config.seed)
    modes: tuple[Mode, Mode] = ("new", "repeat")
    new, repeat = (
        describe_candidates(
            retriever.tables,
            book,
            shop.shopper_market,
            truth,
            retriever.query_vectors,
            mode,
            part(report, "candidates", begun + offset, 0.25),
        )
        for mode, offset in zip(modes, (0.0, 0.25), strict=True)
    )
    return Window(retriever, book, truth, new, repeat)


def _fit(
    parts: list[Candidates], config: TrainConfig, report: Callable[..., None]
) -> TrainedRanker:
    """Takes over `parts` and lets go of them: beside their copies they would be the peak."""
    kept, held = split_shoppers(parts, HELD_OUT, config.seed)
    parts.clear()
    return train_ranker(kept, held, config.ranker, report)


def stopped_at(config: TrainConfig, judged: TrainedRanker) -> TrainConfig:
    """The configuration with as many epochs as the judged ranker was best after."""
    epochs = int(np.argmax(judged.curve["valid_ndcg"])) + 1
    return structs.replace(config, ranker=structs.replace(config.ranker, epochs=epochs))


def _judge(
    shop: Shop, ranker: TrainedRanker, window: Window, parent: Gate | None, report: Report
) -> Gate:
    """Compare on the later window; the ranker has seen nothing of it."""
    n_items = len(shop.product_ids)
    return gate.decide(
        gate.Contest(
            own=quality_of_order(window.new, ranker.logits(window.new), n_items),
            baselines=_baselines(shop, window, report),
            servable=_servable(window.new, n_items),
            repeat_own=quality_of_order(window.repeat, ranker.logits(window.repeat), n_items),
            repeat_frequency=quality_of_source(window.repeat, gate.BUY_AGAIN, n_items),
            parent=parent,
        )
    )


def _baselines(shop: Shop, window: Window, report: Report) -> dict[str, ListQuality]:
    """The classical methods in full, each over the whole catalogue."""
    now_s = window.retriever.tables.cut_s
    log = shop.log.before(now_s)
    n_shoppers, n_items = len(shop.shopper_ids), len(shop.product_ids)
    qualities: dict[str, ListQuality] = {}
    for done, (name, fit) in enumerate(BASELINES.items()):
        report("evaluation", done / len(BASELINES), {})
        score_rows = fit(log, n_shoppers, n_items, now_s)
        qualities[name] = quality_of_baseline(
            score_rows, window.new.shopper, window.truth, window.book, n_items
        )
    report("evaluation", 1.0, {name: float(q.ndcg.mean()) for name, q in qualities.items()})
    return qualities


def _servable(candidates: Candidates, n_items: int) -> dict[str, float]:
    """NDCG@20 of the orders the engine can serve without a network."""
    return {
        name: float(quality_of_source(candidates, source, n_items).ndcg.mean())
        for name, source in CLASSICAL.items()
        if name != gate.BUY_AGAIN
    }


def _without_models(
    shop: Shop,
    catalogue: Catalogue,
    cuts: Cuts,
    kind: int,
    config: TrainConfig,
    lacking: str,
    report: Report,
) -> Trained:
    """The classical part alone; the best order of the validation weeks serves, if anybody chose."""
    start_s, now_s = cuts.validate_from_s, cuts.now_s
    servable: dict[str, float] = {}
    if len(shop.log.before(start_s).ts):
        earlier = fit_retriever(shop, catalogue, start_s, config.towers, None, report, (0.0, 0.5))
        window = describe_window(shop, earlier, start_s, now_s, kind, config, report, 0.0)
        if len(window.new.relevant) >= gate.FEWEST_SHOPPERS:
            servable = _servable(window.new, len(shop.product_ids))
    final = fit_retriever(shop, catalogue, now_s, config.towers, None, report, (0.5, 0.5))
    return Trained(final, None, Metrics(gate=gate.without_models(lacking, servable)))
