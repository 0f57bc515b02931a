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
WHERE = "10,000 products"
USUAL = (41, 35)
"""Interactions kept and products bought, of the median customer of UCI Online Retail."""
REGULAR = (100, 150)


def engine_rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        written = write_big_release(Path(folder), "bench", "bench")
        begun = time.perf_counter()
        release = load_release(written)
        cold_ms = (time.perf_counter() - begun) * 1000
    usual, regular = (_took_ms(release, *history) for history in (USUAL, REGULAR))
    return [
        Row(
            name=f"engine, {WHERE}, usual shopper, p50", value=usual[0], unit="ms", must="<=", bar=3
        ),
        Row(
            name=f"engine, {WHERE}, usual shopper, p99",
            value=usual[1],
            unit="ms",
            must="<=",
            bar=15,
        ),
        Row(name=f"engine, {WHERE}, regular, p50", value=regular[0], unit="ms", must="<=", bar=3),
        Row(name=f"engine, {WHERE}, regular, p99", value=regular[1], unit="ms", must="<=", bar=15),
        Row(name=f"release loaded, {WHERE}", value=cold_ms, unit="ms", must="<=", bar=40),
    ]


def _took_ms(
    release: LoadedRelease, interactions: int, products_bought: int
) -> tuple[float, float]:
    """p50 and p99 of one request after another, no two for the same shopper."""
    rng = np.random.default_rng(3)
    took_ms: list[float] = []
    for _ in range(WARM_UP + REQUESTS):
        recent, bought = random_history(rng, NOW_S, interactions, products_bought)
        blocked = rng.random(len(release.product_ids)) < 0.05
        request = EngineRequest(
            now_s=NOW_S, limit=12, recent=recent, bought=bought, blocked=blocked
        )
        begun = time.perf_counter()
        recommend(release, request)
        took_ms.append((time.perf_counter() - begun) * 1000)
    p50, p99 = np.percentile(took_ms[WARM_UP:], [50, 99])
    return float(p50), float(p99)
