"""Many shops in one process: what each costs, and that coming and going leaves nothing behind."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ml.serving.engine import recommend
from ml.serving.release import LoadedRelease, load_release
from ml.serving.release_shelf import ReleaseShelf
from ml.serving.request import EngineRequest
from tests.benchmarks.big_release import NOW_S, random_history, write_big_release
from tests.benchmarks.engine import USUAL
from tests.benchmarks.rows import Row, median

RELEASE = "bench"
LARGE, SMALL = 10_000, 2_000
"""Products."""
WEIGHED = 12
RESIDENT = 120
CAP = 40
LOADS = 1_000
SETTLED = 200
"""Loads after which memory must not grow any more."""
QUESTIONS = 10
MB = 1024 * 1024


def tenant_rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        large = _tenants(Path(folder) / "large", LARGE, WEIGHED + 1)
        small = _tenants(Path(folder) / "small", SMALL, RESIDENT)
        return [*_alone(_weight_rows, large), *_alone(_churn_rows, small)]


def _alone(measure: Callable[[list[Path]], list[Row]], folders: list[Path]) -> list[Row]:
    """In a process of its own: memory that another measurement freed would be used again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, folders).result()


def _weight_rows(folders: list[Path]) -> list[Row]:
    rng = np.random.default_rng(5)
    kept = [_used(load_release(folders[0]), rng, LARGE)]
    before, took_ms = own_mb(), list[float]()
    for other in folders[1:]:
        begun = time.perf_counter()
        kept.append(load_release(other))
        took_ms.append((time.perf_counter() - begun) * 1000)
        _used(kept[-1], rng, LARGE)
    each = (own_mb() - before) / WEIGHED
    return [
        Row(
            name=f"release loaded, {LARGE:,} products",
            value=median(took_ms),
            unit="ms",
            must="<=",
            bar=40,
        ),
        Row(
            name=f"memory of its own per shop, {LARGE:,} products",
            value=each,
            unit="MB",
            must="<=",
            bar=8,
        ),
    ]


def _churn_rows(folders: list[Path]) -> list[Row]:
    rng = np.random.default_rng(6)
    size = load_release(folders[0]).nbytes
    roomy = ReleaseShelf(lambda tenant, _: folders[int(tenant)], (RESIDENT + 1) * size)
    for tenant in range(RESIDENT):
        _used(roomy.load((str(tenant), RELEASE)).result().own, rng, SMALL)
    resident = len(roomy)
    roomy.close()
    del roomy
    narrow = ReleaseShelf(lambda tenant, _: folders[int(tenant)], CAP * size)
    held: list[float] = []
    for number in range(LOADS):
        _used(narrow.load((str(number % RESIDENT), RELEASE)).result().own, rng, SMALL, questions=1)
        held.append(own_mb())
    narrow.close()
    grown = median(held[-SETTLED:]) / median(held[SETTLED : 2 * SETTLED])
    return [
        Row(
            name=f"shops in memory at once, {SMALL:,} products",
            value=resident,
            unit="",
            must=">=",
            bar=RESIDENT,
        ),
        Row(
            name=f"memory after {LOADS:,} loads at a cap of {CAP} ÷ after {2 * SETTLED}",
            value=grown,
            unit="",
            must="<=",
            bar=1.05,
        ),
    ]


def _tenants(folder: Path, products: int, most: int) -> list[Path]:
    """One release for each tenant; the files are the same ones on disk."""
    first = folder / "0"
    first.mkdir(parents=True)
    written = write_big_release(first, RELEASE, "bench", products)
    return [written, *_copies(folder, written, most)]


def _copies(folder: Path, written: Path, most: int) -> Iterator[Path]:
    for number in range(1, most):
        other = folder / str(number) / RELEASE
        other.mkdir(parents=True)
        for file in written.iterdir():
            os.link(file, other / file.name)
        yield other


def _used(
    release: LoadedRelease, rng: np.random.Generator, products: int, questions: int = QUESTIONS
) -> LoadedRelease:
    for _ in range(questions):
        recent, bought = random_history(rng, NOW_S, *USUAL, products)
        recommend(release, EngineRequest(now_s=NOW_S, limit=12, recent=recent, bought=bought))
    return release


def own_mb() -> float:
    """Memory that is not a file's: pages of mapped files are shared, and dropped when needed."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024 / MB
    raise RuntimeError("this system does not tell what memory a process has of its own")
