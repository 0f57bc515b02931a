"""The engine alone, warm, one request after another."""

import tempfile
import time
from pathlib import Path

import numpy as np

from ml.serving.engine import LoadedRelease, load_release, recommend
from ml.serving.request import EngineRequest
from tests.benchmarks.big_release import NOW_S, random_history, write_big_release
from tests.benchmarks.rows import Row

REQUESTS = 500
WARM_UP = 50
SIZES = (500, 2_000, 10_000)
LARGEST = 100_000
USUAL = (41, 35)
"""Interactions kept and products bought, of the median customer of UCI Online Retail."""
REGULAR = (100, 150)


def engine_rows() -> list[Row]:
    rows: list[Row] = []
    for products in (*SIZES, LARGEST):
        with tempfile.TemporaryDirectory() as folder:
            release = load_release(write_big_release(Path(folder), "bench", "bench", products))
            rows += _rows(release, products)
    return rows


def _rows(release: LoadedRelease, products: int) -> list[Row]:
    name = f"engine, {products:,} products"
    p50, p99 = _took_ms(release, *USUAL)
    if products == LARGEST:
        return [Row(name=f"{name}, p50", value=p50, unit="ms", must="<=", bar=15)]
    rows = [
        Row(name=f"{name}, p50", value=p50, unit="ms", must="<=", bar=3),
        Row(name=f"{name}, p99", value=p99, unit="ms", must="<=", bar=15),
    ]
    if products == SIZES[-1]:
        p50, p99 = _took_ms(release, *REGULAR)
        rows += [
            Row(name=f"{name}, a regular, p50", value=p50, unit="ms", must="<=", bar=3),
            Row(name=f"{name}, a regular, p99", value=p99, unit="ms", must="<=", bar=15),
        ]
    return rows


def _took_ms(
    release: LoadedRelease, interactions: int, products_bought: int
) -> tuple[float, float]:
    """p50 and p99 of one request after another, no two for the same shopper."""
    rng = np.random.default_rng(3)
    products = len(release.product_ids)
    took_ms: list[float] = []
    for _ in range(WARM_UP + REQUESTS):
        recent, bought = random_history(rng, NOW_S, interactions, products_bought, products)
        blocked = rng.random(products) < 0.05
        request = EngineRequest(
            now_s=NOW_S, limit=12, recent=recent, bought=bought, blocked=blocked
        )
        begun = time.perf_counter()
        recommend(release, request)
        took_ms.append((time.perf_counter() - begun) * 1000)
    p50, p99 = np.percentile(took_ms[WARM_UP:], [50, 99])
    return float(p50), float(p99)
