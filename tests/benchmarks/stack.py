"""Everything running on loopback: an import through REST, and uncached answers through HTTP."""

import asyncio
import io
import os
import time
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backend.auth.keys import create_key
from backend.auth.queries import insert_tenant
from backend.db import open_pool
from backend.tenancy import TenantId, directory_connection, tenant_connection
from backend.training.queries import insert_release, serve
from infra.local.up import Site, running
from ml.release import verify_release
from tests.benchmarks.big_release import product_ids, write_big_release
from tests.benchmarks.rows import Row

EVENTS = 300_000
ANSWERS = 300
WARM_UP = 20
PATIENCE_S = 300
RELEASE = "bench"


def stack_rows() -> list[Row]:
    with running() as site:
        tenant_id, key = asyncio.run(_open_shop(site))
        rows = asyncio.run(_measure(site, tenant_id, key))
    # A deadline would turn slow answers into quick ones of a lower rung.
    os.environ |= {"AISLE_INFERENCE": "triton", "AISLE_TRITON_DEADLINE_MS": "10000"}
    with running() as site:
        rows += asyncio.run(_measure_triton(site, key))
    return rows


async def _measure(site: Site, tenant_id: TenantId, key: str) -> list[Row]:
    async with _client(site, key) as client:
        await _imported(client, "products", _products())
        rate = EVENTS / await _imported(client, "events", _events(tenant_id))
        await _put_in_service(site, tenant_id)
        took_ms = [await _answered(client, number) for number in range(ANSWERS)]
    p50, p95 = np.percentile(took_ms[WARM_UP:], [50, 95])
    return [
        Row(
            name="import of events, end to end", value=rate, unit="events/s", must=">=", bar=20_000
        ),
        Row(name="uncached answer through HTTP, p50", value=p50, unit="ms", must="<=", bar=30),
        Row(name="uncached answer through HTTP, p95", value=p95, unit="ms", must="<=", bar=30),
    ]


async def _measure_triton(site: Site, key: str) -> list[Row]:
    """Of customers who were not asked for before."""
    async with _client(site, key) as client:
        took_ms = [await _answered(client, ANSWERS + number) for number in range(ANSWERS)]
    p95 = np.percentile(took_ms[WARM_UP:], 95)
    name = "uncached answer through HTTP and Triton, p95"
    return [Row(name=name, value=float(p95), unit="ms", must="<=", bar=80)]


def _client(site: Site, key: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=site.base_url, headers=headers, timeout=60)


async def _open_shop(site: Site) -> tuple[TenantId, str]:
    pool = await open_pool(site.environment["APP_DATABASE_URL"], 1)
    slug = f"bench-{time.time_ns()}"
    async with directory_connection(pool) as conn:
        tenant_id = await insert_tenant(conn, slug, slug)
    if tenant_id is None:
        raise RuntimeError(f"the shop {slug} exists already")
    key = await create_key(pool, tenant_id, "sec")
    await pool.close()
    return tenant_id, key.key


async def _imported(client: httpx.AsyncClient, kind: str, table: pa.Table) -> float:
    """Seconds from the first byte sent until the last row can be read."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    begun = time.perf_counter()
    params = {"kind": kind, "mode": "incremental", "format": "parquet"}
    started = await client.post("/v1/imports", params=params, content=buffer.getvalue())
    started.raise_for_status()
    where = f"/v1/imports/{started.json()['import_id']}"
    while time.perf_counter() - begun < PATIENCE_S:
        run = (await client.get(where)).raise_for_status().json()
        if run["state"] == "succeeded" and run["rows_accepted"] == table.num_rows:
            return time.perf_counter() - begun
        if run["state"] in {"failed", "succeeded"}:
            raise RuntimeError(f"the import went wrong: {run}")
        await asyncio.sleep(0.05)
    raise TimeoutError(f"the import of {kind} did not end")


async def _put_in_service(site: Site, tenant_id: TenantId) -> None:
    releases = site.state_dir / "objects" / "releases" / str(tenant_id)
    folder = await asyncio.to_thread(write_big_release, Path(releases), RELEASE, str(tenant_id))
    pool = await open_pool(site.environment["APP_DATABASE_URL"], 1)
    async with tenant_connection(pool, tenant_id) as conn:
        await insert_release(conn, verify_release(folder))
        await serve(conn, RELEASE)
    await pool.close()


async def _answered(client: httpx.AsyncClient, number: int) -> float:
    """Milliseconds; each request asks for another customer, so none is cached."""
    question = {"placement": "for-you", "customer_id": f"c{number:05}", "limit": 12}
    begun = time.perf_counter()
    answer = await client.post("/v1/recommendations", json=question)
    took_ms = (time.perf_counter() - begun) * 1000
    body = answer.raise_for_status().json()
    if body["degraded"] or len(body["items"]) != question["limit"]:
        raise RuntimeError(f"not the answer that was to be timed: {body}")
    return took_ms


def _products() -> pa.Table:
    names = product_ids()
    return pa.table({"product_id": names, "title": [f"Product {name}" for name in names]})


def _events(seed: UUID) -> pa.Table:
    rng = np.random.default_rng(seed.int % 2**32)
    names = np.array(product_ids())
    ages_s = rng.integers(0, 90 * 86_400, EVENTS)
    now = np.datetime64("now", "s")
    return pa.table(
        {
            "event_id": [f"{seed.hex[:8]}-{number}" for number in range(EVENTS)],
            "type": pa.repeat("purchase", EVENTS),
            "customer_id": [f"c{number:05}" for number in rng.integers(0, 3000, EVENTS)],
            "product_id": names[rng.integers(0, len(names), EVENTS)].tolist(),
            "occurred_at": pa.array(now - ages_s, pa.timestamp("s")).cast(
                pa.timestamp("us", tz="UTC")
            ),
        }
    )
