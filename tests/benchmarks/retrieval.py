"""The best of a matrix by inner product, as the engine finds it and as a flat faiss index does."""

import time
from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray

from ml.serving.sources import CANDIDATES_PER_SOURCE, best
from tests.benchmarks.big_release import DIM, PRODUCTS
from tests.benchmarks.rows import Row, median

ROUNDS = 9
QUERIES = 200
MOST = CANDIDATES_PER_SOURCE["two-tower"]

Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def retrieval_rows() -> list[Row]:
    rng = np.random.default_rng(9)
    matrix = _unit(rng.standard_normal((PRODUCTS, DIM)).astype(np.float32))
    allowed = np.ones(PRODUCTS, bool)
    index = faiss.IndexFlatIP(DIM)
    index.add(matrix)
    faiss.omp_set_num_threads(1)

    def ours(query: NDArray[np.float32]) -> NDArray[np.int64]:
        return best(matrix @ query, allowed, MOST)

    def theirs(query: NDArray[np.float32]) -> NDArray[np.int64]:
        return index.search(query[None], MOST)[1][0]

    queries = _unit(rng.standard_normal((QUERIES, DIM)).astype(np.float32))
    if any(set(ours(query)) != set(theirs(query)) for query in queries):
        raise RuntimeError("the engine and faiss found different products")
    ratios = [_took_s(ours, queries) / _took_s(theirs, queries) for _ in range(ROUNDS)]
    return [
        Row(
            name=f"retrieval, {PRODUCTS:,} products ÷ flat faiss",
            value=median(ratios),
            unit="",
            must="<=",
            bar=1.5,
        )
    ]


def _took_s(search: Search, queries: NDArray[np.float32]) -> float:
    begun = time.perf_counter()
    for query in queries:
        search(query)
    return time.perf_counter() - begun


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
