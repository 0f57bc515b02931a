"""Recommendations through HTTP: made for one request, and made before."""

import time

import msgspec
import numpy as np

from tests.benchmarks.ceiling import KEPT
from tests.benchmarks.imports import customer_id
from tests.benchmarks.load import Load, loaded, request_bytes
from tests.benchmarks.rows import Row, median
from tests.benchmarks.stack import Stack

PATH = "/v1/recommendations"
UNCACHED = 300
WARM_UP = 20
LIMIT = 12
SHOPPERS = 20
"""Who ask again and again."""
CONNECTIONS = 8
REQUESTS = 4_000
ROUNDS = 5


async def uncached_rows(stack: Stack) -> list[Row]:
    took_ms = [await _answered_ms(stack, number) for number in range(UNCACHED)]
    p50, p95 = np.percentile(took_ms[WARM_UP:], [50, 95])
    return [
        Row(name="uncached answer through HTTP, p50", value=p50, unit="ms", must="<=", bar=30),
        Row(name="uncached answer through HTTP, p95", value=p95, unit="ms", must="<=", bar=30),
    ]


async def cached_rows(stack: Stack) -> list[Row]:
    """The product and the ceiling in turns, with the same answer."""
    answer = await stack.client.post(PATH, json=_question(0))
    await stack.redis.set(KEPT, answer.raise_for_status().content)
    bodies = [msgspec.json.encode(_question(number)) for number in range(SHOPPERS)]
    requests = [request_bytes(PATH, body, stack.headers) for body in bodies]
    ours: list[Load] = []
    theirs: list[Load] = []
    for round_number in range(ROUNDS + 1):
        pair = [
            await loaded(server.port, requests, CONNECTIONS, REQUESTS, server.pid)
            for server in stack.servers
        ]
        if round_number:  # the first one warms up
            ours.append(pair[0])
            theirs.append(pair[1])
    ratios = [our.per_s / their.per_s for our, their in zip(ours, theirs, strict=True)]
    return [
        Row(
            name="cached answer, requests/s ÷ ceiling",
            value=median(ratios),
            unit="",
            must=">=",
            bar=0.6,
        ),
        Row(
            name="cached answer, processor time",
            value=median([load.cpu_us for load in ours]),
            unit="µs",
            must="<=",
            bar=350,
        ),
    ]


def _question(number: int) -> dict[str, str | int]:
    return {"placement": "for-you", "customer_id": customer_id(number), "limit": LIMIT}


async def _answered_ms(stack: Stack, number: int) -> float:
    """Each request asks for another customer, so none is cached."""
    begun = time.perf_counter()
    answer = await stack.client.post(PATH, json=_question(SHOPPERS + number))
    took_ms = (time.perf_counter() - begun) * 1000
    body = answer.raise_for_status().json()
    if body["degraded"] or len(body["items"]) != LIMIT:
        raise RuntimeError(f"not the answer that was to be timed: {body}")
    return took_ms
