"""A release of 10,000 products with networks of real size; the numbers in it are random."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.features import ItemFeatures
from ml.golden import write_golden
from ml.ranking import RankerConfig, train_ranker
from ml.ranking_set import Candidates
from ml.release import (
    ENGINE_VERSION,
    SCHEMA_VERSION,
    Blend,
    Gate,
    Manifest,
    Metrics,
    Snapshot,
    write_manifest,
)
from ml.retrieval import TrainedTowers
from ml.serving.blend import PRIOR
from ml.serving.candidate_features import CODE_FEATURES, DENSE_FEATURES
from ml.serving.encoding import CODES, DENSE, Encoding
from ml.serving.engine import load_release
from ml.serving.request import Interaction, Purchase
from ml.serving.sources import CANDIDATES_PER_SOURCE
from ml.serving.tables import Neighbours, Tables
from ml.serving.tables_files import save_tables
from ml.towers import Towers
from ml.trainers import builder

PRODUCTS = 10_000
DIM = 64
NOW_S = 1_700_000_000
DAY_S = 86_400


def product_ids(n: int = PRODUCTS) -> list[str]:
    return [f"p{number:06}" for number in range(n)]


def write_big_release(releases: Path, release_id: str, tenant_id: str, n: int = PRODUCTS) -> Path:
    """n: products."""
    folder = releases / release_id
    folder.mkdir(parents=True)
    rng = np.random.default_rng(17)
    towers = _towers(rng, n)
    ranker = train_ranker(_candidates(rng, n), _candidates(rng, n), RankerConfig(epochs=1), _silent)
    save_tables(_tables(rng, n, towers.item_vectors), folder)
    towers.export(folder)
    ranker.export(folder)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        engine_version=ENGINE_VERSION,
        tenant_id=tenant_id,
        release_id=release_id,
        parent_release_id=None,
        created_at="2023-11-14T22:13:20+00:00",
        snapshot=Snapshot(
            products=n,
            shoppers=1,
            events=1,
            unknown_events=0,
            first_event_s=NOW_S - 90 * DAY_S,
            cut_s=NOW_S,
        ),
        metrics=Metrics(
            gate=Gate(
                passed=True,
                verdict="Made for measuring.",
                champion="own-models",
                repeat_champion="own-models",
                shoppers=0,
            )
        ),
        dense_features=list(DENSE_FEATURES),
        code_features=list(CODE_FEATURES),
        calibration=ranker.calibration,
        blend=Blend(new=dict(PRIOR["new"]), repeat=dict(PRIOR["repeat"])),
        files={},
    )
    write_manifest(folder, manifest)
    write_golden(load_release(folder), folder)
    write_manifest(folder, manifest)
    return folder


def random_history(
    rng: np.random.Generator,
    now_s: float,
    interactions: int,
    products_bought: int,
    n: int = PRODUCTS,
) -> tuple[list[Interaction], list[Purchase]]:
    """Products drawn evenly, so that no two sources agree: more candidates than a real shop's."""
    names = product_ids(n)
    recent = [
        Interaction(product_id=names[item], kind="purchase", occurred_at_s=now_s - age * DAY_S)
        for age, item in enumerate(rng.integers(0, n, interactions))
    ]
    bought = [
        Purchase(
            product_id=names[item],
            times=1,
            last_s=now_s - age * DAY_S,
            first_s=now_s - age * DAY_S,
            strength=1.0,
        )
        for age, item in enumerate(rng.choice(n, products_bought, replace=False))
    ]
    return recent, bought


def _silent(fraction: float, figures: dict[str, float]) -> None:
    pass


def _towers(rng: np.random.Generator, n: int) -> TrainedTowers:
    sizes = [50] * len(CODES)
    items = ItemFeatures(
        codes=rng.integers(0, 50, (n, len(CODES))).astype(np.int32),
        cardinalities=sizes,
        dense=rng.standard_normal((n, len(DENSE))).astype(np.float32),
        encoding=Encoding({}, {}, {}, {}, 0.0, {}),
        content=rng.standard_normal((n, 64)).astype(np.float32),
    )
    towers = Towers(items, 2, 1, DIM, builder("merlin"))
    return TrainedTowers(towers, towers.item_vectors(np.zeros(n, bool)), {})


def _candidates(rng: np.random.Generator, products: int) -> Candidates:
    groups, each = 40, 100
    n = groups * each
    return Candidates(
        dense=rng.standard_normal((n, len(DENSE_FEATURES))).astype(np.float32),
        codes=rng.integers(0, 200, (n, len(CODE_FEATURES))),
        item=rng.integers(0, products, n),
        group=np.repeat(np.arange(groups, dtype=np.int32), each),
        label=(rng.random(n) < 0.05).astype(np.float32),
        relevant=np.full(groups, 5),
        shopper=np.arange(groups, dtype=np.int32),
    )


def _tables(rng: np.random.Generator, n: int, vectors: NDArray[np.float32]) -> Tables:
    popularity = rng.pareto(1.5, n).astype(np.float32)
    log_price = rng.normal(7, 1, n).astype(np.float32)
    together = _neighbours(rng, n, 100)
    return Tables(
        cut_s=NOW_S,
        product_ids=product_ids(n),
        markets=["", "DE"],
        department=rng.integers(1, 20, n).astype(np.int32),
        category=rng.integers(1, 200, n).astype(np.int32),
        brand=rng.integers(1, 200, n).astype(np.int32),
        log_price=log_price,
        category_log_price=np.full(n, 7, np.float32),
        first_seen_s=NOW_S - rng.integers(1, 365, n) * DAY_S,
        trends=np.stack([popularity] * 4, axis=1),
        popularity=popularity,
        market_trends=np.stack([popularity, popularity]),
        rebuy_rate=rng.random(n).astype(np.float32),
        rebuy_days=rng.integers(1, 60, n).astype(np.float32),
        return_rate=rng.random(n).astype(np.float32) * 0.1,
        co_purchase=together,
        ease=Neighbours(together.item, _weights(rng, n, 100)),
        content=_neighbours(rng, n, 50),
        candidates=CANDIDATES_PER_SOURCE,
        item_vectors=vectors,
    )


def _neighbours(rng: np.random.Generator, n: int, most: int) -> Neighbours:
    item = rng.integers(0, n, (n, most)).astype(np.int32)
    return Neighbours(item, _weights(rng, n, most))


def _weights(rng: np.random.Generator, n: int, most: int) -> NDArray[np.float32]:
    """Strongest first."""
    return -np.sort(-rng.random((n, most)).astype(np.float32), axis=1)
