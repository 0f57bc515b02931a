"""The engine alone, warm, one request after another."""

import tempfile
import time
from pathlib import Path

import numpy as np

from ml.serving.engine import load_release, recommend
from ml.serving.request import EngineRequest
from tests.benchmarks.big_release import NOW_S, random_history, write_big_release
from tests.benchmarks.rows import Row

REQUESTS = 500
WARM_UP = 50


def engine_rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        written = write_big_release(Path(folder), "bench", "bench")
        begun = time.perf_counter()
        release = load_release(written)
        cold_ms = (time.perf_counter() - begun) * 1000
    rng = np.random.default_rng(3)
    took_ms: list[float] = []
    for _ in range(WARM_UP + REQUESTS):
        recent, bought = random_history(rng, NOW_S)
        blocked = rng.random(len(release.product_ids)) < 0.05
        request = EngineRequest(
            now_s=NOW_S, limit=12, recent=recent, bought=bought, blocked=blocked
        )
        begun = time.perf_counter()
        recommend(release, request)
        took_ms.append((time.perf_counter() - begun) * 1000)
    p50, p99 = np.percentile(took_ms[WARM_UP:], [50, 99])
    return [
        Row(name="engine, 10,000 products, p50", value=p50, unit="ms", must="<=", bar=3),
        Row(name="engine, 10,000 products, p99", value=p99, unit="ms", must="<=", bar=15),
        Row(
            name="release loaded from disk, 10,000 products",
            value=cold_ms,
            unit="ms",
            must="<=",
            bar=40,
        ),
    ]
