"""`make bench`: measure, print one table, write build/bench.json."""

import asyncio
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.table import Table

from tests.benchmarks.rows import Row

if TYPE_CHECKING:
    from infra.local.up import Site
    from tests.benchmarks.stack import Shop

STATE = Path("build/bench")
REPORT = Path("build/bench.json")
CONSOLE_WIDTH = 100


def main() -> int:
    os.environ.setdefault("AISLE_STATE_DIR", str(STATE.resolve()))
    os.environ.setdefault("PORT", "8077")
    # after the environment is settled: numpy reads the number of threads when it is imported
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from infra.local import remove

    remove.run()  # shops of earlier measurements would be trained meanwhile
    STATE.mkdir(parents=True, exist_ok=True)
    from tests.benchmarks.engine import engine_rows
    from tests.benchmarks.retrieval import retrieval_rows
    from tests.benchmarks.stack import open_shop, site
    from tests.benchmarks.tenants import tenant_rows
    from tests.benchmarks.triton import triton_rows

    rows = [*engine_rows(), *retrieval_rows(), *tenant_rows(), *triton_rows()]
    with site() as started:
        shop = asyncio.run(open_shop(started))
        rows += asyncio.run(through_http(started, shop))
    # a deadline would turn slow answers into quick ones of a lower rung
    with site(AISLE_INFERENCE="triton", AISLE_TRITON_DEADLINE_MS="10000") as started:
        rows += asyncio.run(through_triton(started, shop))
    show(rows)
    named = {
        row.name: {
            "value": float(row.value),
            "unit": row.unit,
            "bar": f"{row.must} {row.bar:g}",
            "pass": bool(row.passed),
        }
        for row in rows
    }
    REPORT.write_bytes(
        msgspec.json.format(msgspec.json.encode({"machine": machine(), "rows": named}))
    )
    return 0 if all(row.passed for row in rows) else 1


async def through_http(started: "Site", shop: "Shop") -> list[Row]:
    from tests.benchmarks import answers, imports, ingest
    from tests.benchmarks.stack import put_in_service, stack

    async with stack(started, shop) as running:
        rows = await imports.import_rows(running)
        await put_in_service(running)
        rows += await answers.uncached_rows(running)
        rows += await answers.cached_rows(running)
        rows += await ingest.accepting_rows(running)
        rows += await ingest.draining_rows(running)
    return rows


async def through_triton(started: "Site", shop: "Shop") -> list[Row]:
    """The shop of `through_http`, with everything that is in it."""
    from tests.benchmarks import answers
    from tests.benchmarks.stack import stack

    async with stack(started, shop) as running:
        return await answers.triton_rows(running)


def machine() -> str:
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return (
        f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, load {load:.1f}"
    )


def show(rows: list[Row]) -> None:
    table = Table(title=f"Speed on {machine()}", title_justify="left")
    for column in ("what", "measured", "bar", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        verdict = "[green]pass[/green]" if row.passed else "[red]miss[/red]"
        bar = f"{row.must} {row.bar:,g} {row.unit}"
        table.add_row(row.name, f"{row.value:,.4g} {row.unit}", bar, verdict)
    Console(width=CONSOLE_WIDTH).print(table)


if __name__ == "__main__":
    sys.exit(main())
