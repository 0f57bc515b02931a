"""One shop's models, trained and judged.

The past is cut into windows (`ml.windows`). The earlier ones train a ranker and fit the blend; the
last one judges both beside the classical orders. What serves is then learned from everything: a
retriever before now, a ranker and a blend from all windows.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from msgspec import Struct, structs

from ml import gate, statistics
from ml.baselines import BASELINES
from ml.blend import blend_scores, fit_blend
from ml.comparison import (
    ListQuality,
    pooled,
    quality_of_baseline,
    quality_of_order,
    quality_of_source,
)
from ml.content.dense import describe_content
from ml.content.images import Pictures, encode_images
from ml.content.neighbours import content_neighbours
from ml.content.text import fit_text, product_texts, sparse_rows
from ml.features import encode_catalogue
from ml.newcomers import fit_newcomers
from ml.objective import target_of
from ml.progress import Report, part
from ml.ranker_fit import fit_ranker
from ml.ranker_search import search_ranker
from ml.ranking import RankerConfig, RankerKind, TrainedRanker, kept_epoch
from ml.release import Blend, Gate, Metrics, NewcomerModel, Objective
from ml.retrieval import TowerConfig, TrainedTowers
from ml.retriever import Catalogue, Retriever, fit_retriever
from ml.serving.blend import BLEND, PRIOR
from ml.serving.engine import CLASSICAL
from ml.serving.request import Mode
from ml.session_choice import SessionConfig, SessionPlan, choose_sessions, extend_network
from ml.shop import Shop
from ml.signal_choice import WEIGHTS, choose_signals
from ml.trainers import Trainer
from ml.windows import (
    MODES,
    Cuts,
    JudgingWindow,
    Window,
    Windowing,
    describe_windows,
    what_is_lacking,
)


class Encoders(Struct, frozen=True, kw_only=True):
    """What an operator may add to the words of products."""

    text: str | None = None
    """Interpreter of the sentence encoder's environment; see `ml.content.encode_text`."""
    image: str | None = None
    """The ONNX model of the image encoder; see `ml.content.image_model`."""
    cache: str | None = None
    """Folder of one tenant, where vectors are kept from training to training."""


class TrainConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    objective: Objective = "auto"
    most_shoppers: int = 3_000
    """Shoppers per window whose candidates train and judge the ranker."""
    towers: TowerConfig = TowerConfig()
    ranker: RankerConfig = RankerConfig()
    search_rows: int = 1_000_000
    """To train on, in all, while other rankers are tried; 0 tries none. About 20 seconds."""
    sessions: SessionConfig = SessionConfig()
    encoders: Encoders = Encoders()

    def with_models(self, kind: RankerKind, trainer: Trainer) -> "TrainConfig":
        """Another kind of ranker, and both networks by `trainer`."""
        return structs.replace(
            self,
            towers=structs.replace(self.towers, trainer=trainer),
            ranker=structs.replace(self.ranker, kind=kind, trainer=trainer),
        )

    def with_seed(self, seed: int) -> "TrainConfig":
        """One seed for everything that draws."""
        return structs.replace(
            self,
            seed=seed,
            towers=structs.replace(self.towers, seed=seed),
            ranker=structs.replace(self.ranker, seed=seed),
            sessions=self.sessions.with_seed(seed),
        )


class Trained(NamedTuple):
    retriever: Retriever
    ranker: TrainedRanker | None
    blend: Blend
    metrics: Metrics
    newcomers: NewcomerModel | None = None


def train_shop(
    shop: Shop, cuts: Cuts, config: TrainConfig, report: Report, parent: Gate | None = None
) -> Trained:
    """Train on `shop.log`, which ends before `cuts.now_s`.

    Equal seed and data give equal metrics on one machine. With too little data no network is
    trained; the metrics then say what is lacking and which classical order serves. parent: the
    verdict on the release in service, whose models new ones must not be worse than.
    """
    how = Windowing(
        kind=target_of(config.objective, shop.log),
        most_shoppers=config.most_shoppers,
        seed=config.seed,
        towers=config.towers,
    )
    lacking = what_is_lacking(shop.log, cuts, how.kind, len(shop.shopper_ids))
    clock = Clock()
    signals = None if lacking else choose_signals(shop, cuts, how.kind, config.seed, report)
    shop = shop if signals is None else shop.with_kind_weight(WEIGHTS[signals.chosen])
    clock.lap("signals")
    trainer = None if lacking else config.towers.trainer
    catalogue = describe_catalogue(shop, trainer, config.encoders, report)
    clock.lap("features")
    plan = _plan_sessions(shop, cuts, config, report)
    how = structs.replace(how, sessions=plan)
    clock.lap("sessions")
    if lacking:
        return _without_models(shop, catalogue, cuts, how, lacking, report, config)
    earlier, later = describe_windows(shop, catalogue, cuts, how, report)
    clock.lap("retrieval")
    searched = search_ranker(earlier, config.ranker, config.seed, config.search_rows, report)
    config = structs.replace(config, ranker=searched.config)
    clock.lap("ranker search")
    judged = fit_ranker([*earlier], config.ranker, config.seed, part(report, "ranker", 0.0, 0.5))
    clock.lap("ranker")
    verdict = _judge(shop, judged, _blend(earlier), later, parent, report)
    clock.lap("evaluation")
    newcomers = _newcomers(shop, later, config.seed)
    towers, candidates = later.retriever.towers, later.retriever.tables.candidates
    everything = [*earlier, later.window]
    blend = _blend(everything)
    del earlier, later
    stopped = stopped_at(config.ranker, judged)
    ranker = fit_ranker(everything, stopped, config.seed, part(report, "ranker", 0.5, 0.5))
    clock.lap("ranker")
    final = _fit_final(shop, catalogue, cuts, config, towers, report, plan, candidates)
    clock.lap("retrieval")
    metrics = Metrics(
        gate=verdict,
        signals=signals,
        sessions=plan.contest,
        ranker=judged.metrics,
        ranker_choice=searched.choice,
        towers=final.towers.metrics if final.towers else {},
        curves=judged.curve,
        seconds=clock.seconds,
        content=catalogue.said,
    )
    return Trained(final, ranker, blend, metrics, newcomers)


def _plan_sessions(shop: Shop, cuts: Cuts, config: TrainConfig, report: Report) -> SessionPlan:
    return choose_sessions(
        shop.log,
        len(shop.shopper_ids),
        len(shop.product_ids),
        cuts.validate_from_s,
        config.sessions,
        part(report, "sessions", 0.0, 0.7),
    )


def _fit_final(
    shop: Shop,
    catalogue: Catalogue,
    cuts: Cuts,
    config: TrainConfig,
    towers: TrainedTowers | None,
    report: Report,
    plan: SessionPlan,
    candidates: Mapping[str, int],
) -> Retriever:
    """What serves: learned from everything before now."""
    network = extend_network(
        shop.log,
        len(shop.product_ids),
        plan,
        config.sessions.network,
        part(report, "sessions", 0.7, 0.3),
    )
    last = 1 / len(cuts.moments)
    return fit_retriever(
        shop,
        catalogue,
        cuts.now_s,
        config.towers,
        towers,
        report,
        (1 - last, last),
        candidates,
        plan,
        network,
    )


class Clock:
    """Seconds per part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = monotonic()

    def lap(self, name: str) -> None:
        now = monotonic()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._since, 2)
        self._since = now


def describe_catalogue(
    shop: Shop, trainer: Trainer | None, encoders: Encoders, report: Report
) -> Catalogue:
    """With what the item tower sees where a `trainer` will train one."""
    report("features", 0.0, {})
    products = shop.products
    texts = product_texts(products)
    text = fit_text(texts)
    cache = Path(encoders.cache) if encoders.cache else None
    encoder = Path(encoders.text) if encoders.text and trainer else None
    take_pictures = _pictures(shop, encoders, report) if encoders.image and trainer else None
    content = describe_content(texts, text, encoder, cache, take_pictures)
    report("features", 0.4, {})
    catalogue = Catalogue(
        codes=statistics.catalogue_codes(products),
        log_price=statistics.log_prices(products),
        content=content_neighbours(text.telling),
        words=sparse_rows(text.telling),
        vocabulary=text.vocabulary,
        features=encode_catalogue(products, trainer, content.vectors) if trainer else None,
        said=content.said,
    )
    report("features", 1.0, {"products": len(shop.product_ids)})
    return catalogue


def _pictures(shop: Shop, encoders: Encoders, report: Report) -> Callable[[], Pictures]:
    return partial(
        encode_images,
        Path(encoders.image or ""),
        shop.products["image_url"].to_pylist(),
        Path(encoders.cache) if encoders.cache else None,
        part(report, "features", 0.0, 0.4),
    )


def _newcomers(shop: Shop, last: JudgingWindow, seed: int) -> NewcomerModel | None:
    tables = last.retriever.tables
    return fit_newcomers(tables, last.book, shop.shopper_market, last.truth, seed)


def _blend(windows: list[Window]) -> Blend:
    return Blend(
        new=fit_blend([window.new for window in windows], PRIOR["new"]),
        repeat=fit_blend([window.repeat for window in windows], PRIOR["repeat"]),
    )


def stopped_at(config: RankerConfig, judged: TrainedRanker) -> RankerConfig:
    """The configuration with as many epochs as were kept of the judged ranker."""
    epochs = kept_epoch(judged.curve["valid_loss"]) + 1
    return structs.replace(config, epochs=epochs)


def _judge(
    shop: Shop,
    ranker: TrainedRanker,
    blend: Blend,
    last: JudgingWindow,
    parent: Gate | None,
    report: Report,
) -> Gate:
    """Compare on the last window; neither the ranker nor the blend has seen anything of it."""
    n_items = len(shop.product_ids)
    own_new, own_repeat = (
        quality_of_order(last.window.of(mode), ranker.logits(last.window.of(mode)), n_items)
        for mode in MODES
    )
    return gate.decide(
        gate.Contest(
            own=own_new,
            baselines=_baselines(shop, last, report),
            servable=servable(last.window, "new", blend, n_items),
            repeat_own=own_repeat,
            repeat_servable=servable(last.window, "repeat", blend, n_items),
            parent=parent,
        )
    )


def _baselines(shop: Shop, last: JudgingWindow, report: Report) -> dict[str, ListQuality]:
    """The classical methods in full, each over the whole catalogue."""
    now_s = last.retriever.tables.cut_s
    log = shop.log.before(now_s)
    n_shoppers, n_items = len(shop.shopper_ids), len(shop.product_ids)
    qualities: dict[str, ListQuality] = {}
    for done, (name, fit) in enumerate(BASELINES.items()):
        report("evaluation", done / len(BASELINES), {})
        score_rows = fit(log, n_shoppers, n_items, now_s)
        qualities[name] = quality_of_baseline(
            score_rows, last.window.new.shopper, last.truth, last.book, n_items
        )
    report("evaluation", 1.0, {name: float(q.ndcg.mean()) for name, q in qualities.items()})
    return qualities


def servable(window: Window, mode: Mode, blend: Blend, n_items: int) -> dict[str, ListQuality]:
    """The orders that the engine can serve without a network."""
    candidates = window.of(mode)
    names = [gate.BUY_AGAIN] if mode == "repeat" else [n for n in CLASSICAL if n != gate.BUY_AGAIN]
    return {
        BLEND: quality_of_order(candidates, blend_scores(candidates, blend.of(mode)), n_items),
        **{name: quality_of_source(candidates, CLASSICAL[name], n_items) for name in names},
    }


def _without_models(
    shop: Shop,
    catalogue: Catalogue,
    cuts: Cuts,
    how: Windowing,
    lacking: str,
    report: Report,
    config: TrainConfig,
) -> Trained:
    """The classical part alone, judged on all windows: the blend of each is that of the others."""
    earlier, later = describe_windows(shop, catalogue, cuts, how, report)
    windows = [*earlier, later.window]
    n_items = len(shop.product_ids)
    orders: dict[Mode, dict[str, ListQuality]] = {}
    for mode in MODES:
        judged = [
            servable(window, mode, _blend(windows[:place] + windows[place + 1 :]), n_items)
            for place, window in enumerate(windows)
        ]
        orders[mode] = {name: pooled([each[name] for each in judged]) for name in judged[0]}
    candidates = later.retriever.tables.candidates
    final = _fit_final(shop, catalogue, cuts, config, None, report, how.sessions, candidates)
    verdict = gate.without_models(lacking, orders["new"], orders["repeat"])
    newcomers = _newcomers(shop, later, how.seed)
    metrics = Metrics(gate=verdict, sessions=how.sessions.contest, content=catalogue.said)
    return Trained(final, None, _blend(windows), metrics, newcomers)
