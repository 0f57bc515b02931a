"""An import through REST, from the first byte sent until the last row can be read."""

import asyncio
import io
import time
from uuid import UUID

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.big_release import product_ids
from tests.benchmarks.rows import Row
from tests.benchmarks.stack import Stack

EVENTS = 300_000
CUSTOMERS = 3_000
PATIENCE_S = 300
ASK_EVERY_S = 0.05


def customer_id(number: int) -> str:
    return f"c{number:05}"


async def import_rows(stack: Stack) -> list[Row]:
    """The catalogue and the events stay for what is measured next."""
    await _imported(stack.client, "products", _products())
    rate = EVENTS / await _imported(stack.client, "events", _events(stack.tenant_id))
    return [
        Row(name="import of events, end to end", value=rate, unit="events/s", must=">=", bar=20_000)
    ]


async def _imported(client: httpx.AsyncClient, kind: str, table: pa.Table) -> float:
    """Seconds."""
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
        await asyncio.sleep(ASK_EVERY_S)
    raise TimeoutError(f"the import of {kind} did not end")


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
            "customer_id": [customer_id(number) for number in rng.integers(0, CUSTOMERS, EVENTS)],
            "product_id": names[rng.integers(0, len(names), EVENTS)].tolist(),
            "occurred_at": pa.array(now - ages_s, pa.timestamp("s")).cast(
                pa.timestamp("us", tz="UTC")
            ),
        }
    )
