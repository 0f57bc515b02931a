"""A real Triton server on loopback, asked as the web process asks it."""

import asyncio
import itertools
import tempfile
import time
from pathlib import Path
from uuid import UUID

import numpy as np

from backend.recommend.live_catalog import LiveCatalog
from backend.triton.backend import TritonBackend
from backend.triton.breaker import CircuitBreaker
from backend.triton.client import TritonClient
from infra.local.triton_server import LocalTriton
from ml.serving.request import EngineRequest
from tests.benchmarks.big_release import NOW_S, PRODUCTS, random_history, write_big_release
from tests.benchmarks.engine import USUAL, WARM_UP
from tests.benchmarks.rows import Row

REQUESTS = 500
CLIENTS = 8
REQUESTS_UNDER_LOAD = 3_000
DEADLINE_S = 10.0
SHOP = UUID(int=1)
RELEASE = "bench"
WHERE = "Triton, 10,000 products"


def triton_rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        releases = Path(folder) / "releases"
        write_big_release(releases / str(SHOP), RELEASE, str(SHOP))
        server = LocalTriton(Path(folder) / "server", releases)
        server.start()
        try:
            return asyncio.run(_measure(server.url, releases))
        finally:
            server.stop()


async def _measure(url: str, releases: Path) -> list[Row]:
    backend = TritonBackend(
        TritonClient(url),
        lambda tenant_id, release_id: releases / tenant_id / release_id,
        DEADLINE_S,
        CircuitBreaker("Triton"),
    )
    requests = itertools.cycle(_requests())
    await _ask(backend, requests, WARM_UP)
    alone_ms = await _ask(backend, requests, REQUESTS)
    begun = time.perf_counter()
    each = REQUESTS_UNDER_LOAD // CLIENTS
    together = await asyncio.gather(*(_ask(backend, requests, each) for _ in range(CLIENTS)))
    rate = each * CLIENTS / (time.perf_counter() - begun)
    await backend.close()
    together_ms = list(itertools.chain(*together))
    return [
        _row("1 client, p50", np.percentile(alone_ms, 50), 4),
        _row("1 client, p99", np.percentile(alone_ms, 99), 15),
        _row(f"{CLIENTS} clients, p99", np.percentile(together_ms, 99), 40),
        Row(name=f"{WHERE}, {CLIENTS} clients", value=rate, unit="requests/s", must=">=", bar=500),
    ]


def _row(what: str, took_ms: np.floating, bar_ms: float) -> Row:
    return Row(name=f"{WHERE}, {what}", value=float(took_ms), unit="ms", must="<=", bar=bar_ms)


def _requests() -> list[EngineRequest]:
    """No two for the same shopper."""
    rng = np.random.default_rng(3)
    made: list[EngineRequest] = []
    for _ in range(REQUESTS):
        recent, bought = random_history(rng, NOW_S, *USUAL)
        blocked = rng.random(PRODUCTS) < 0.05
        made.append(
            EngineRequest(now_s=NOW_S, limit=12, recent=recent, bought=bought, blocked=blocked)
        )
    return made


async def _ask(
    backend: TritonBackend, requests: "itertools.cycle[EngineRequest]", count: int
) -> list[float]:
    """Milliseconds of one request after another."""
    took_ms: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        release = await backend.release(SHOP, RELEASE, LiveCatalog())
        answer = await backend.recommend(release, next(requests))
        took_ms.append((time.perf_counter() - begun) * 1000)
        if len(answer.items) != 12:
            raise RuntimeError(f"not the answer that was to be timed: {answer}")
    return took_ms
