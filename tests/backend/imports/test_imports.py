"""Imports through HTTP: all of a file or nothing, and what a full or a dry one does."""

import asyncio

import msgspec
import pytest
from litestar import Litestar

from backend.cache import Redis
from backend.db import Pool
from backend.imports import runs
from backend.queue import open_queue
from backend.tenancy import tenant_connection, tenant_key
from infra.local.state import free_port
from tests.backend.imports.conftest import Import, Work, errors_of, read, send
from tests.conftest import Shop


def products(*ids: str, **columns: str) -> bytes:
    names = ["product_id", "title", *columns]
    rows = [",".join([one, one.upper(), *columns.values()]) for one in ids]
    return "\n".join([",".join(names), *rows]).encode()


async def live(shop: Shop) -> list[str]:
    found = (await shop.get("/v1/products", limit=500)).json()["products"]
    return [product["product_id"] for product in found]


async def stored_events(pool: Pool, shop: Shop) -> int:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        return await conn.fetchval("SELECT count(*) FROM event")


async def test_an_import_is_queued_then_carried_out(shop: Shop, imported: Import) -> None:
    answer = await send(shop, "products", "csv", products("a"))
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    assert await live(shop) == []

    run = await imported("products", "csv", products("a", "b"))

    assert (run.state, run.progress, run.rows_written) == ("succeeded", 1, 2)
    assert run.started_at
    assert run.finished_at
    assert run.finished_at >= run.started_at
    listed = (await shop.get("/v1/imports")).json()["imports"]
    assert [one["state"] for one in listed] == ["succeeded", "queued"]


async def test_the_last_of_two_rows_with_one_id_counts(shop: Shop, imported: Import) -> None:
    await imported("products", "csv", b"product_id,title\na,First\na,Second\n")

    assert (await shop.get("/v1/products/a")).json()["title"] == "Second"


async def test_an_import_never_overwrites_a_newer_version(shop: Shop, imported: Import) -> None:
    new = {"product_id": "a", "title": "New", "updated_at": "2026-03-01T00:00:00Z"}
    await shop.post("/v1/products", new)

    run = await imported("products", "csv", products("a", updated_at="2026-02-01T00:00:00Z"))

    assert (run.rows_accepted, run.rows_written) == (1, 0)
    assert (await shop.get("/v1/products/a")).json()["title"] == "New"


async def test_customers_are_imported(shop: Shop, imported: Import) -> None:
    file = b'customer_id,country,attributes\nann,DE,"{""club"":true}"\nbob,,\ncat,Germany,\n'

    run = await imported("customers", "csv", file)

    assert (run.rows_written, run.rows_rejected) == (2, 1)
    assert (await shop.get("/v1/customers/ann")).json()["attributes"] == {"club": True}


async def test_events_sent_twice_count_once(shop: Shop, pool: Pool, imported: Import) -> None:
    header = "event_id,type,session_id,product_id,occurred_at\n"
    rows = "".join(f"e{n},view,s,p,2026-03-01T12:00:00Z\n" for n in (1, 2, 2, 3))

    first = await imported("events", "csv", (header + rows).encode())
    again = await imported("events", "csv", (header + rows).encode())

    assert (first.rows_accepted, first.rows_written) == (4, 3)
    assert (again.rows_accepted, again.rows_written) == (4, 0)
    assert await stored_events(pool, shop) == 3


async def test_readers_are_told(shop: Shop, redis: Redis, imported: Import) -> None:
    await imported("products", "csv", products("a"))
    await imported(
        "events",
        "csv",
        b"event_id,type,session_id,product_id,occurred_at\n1,view,s,a,2026-03-01T12:00:00Z\n",
    )

    assert await redis.get(tenant_key(shop.tenant_id, "catalog", "revision")) == b"1"
    assert await redis.get(tenant_key(shop.tenant_id, "events", "revision")) == b"1"


async def test_a_full_import_removes_what_is_not_in_the_file(shop: Shop, imported: Import) -> None:
    await imported("products", "csv", products("a", "b", "c"))

    run = await imported("products", "csv", products("b", "c", "d"), mode="full")

    assert (run.state, run.rows_removed) == ("succeeded", 1)
    assert await live(shop) == ["b", "c", "d"]


async def test_a_product_whose_row_is_wrong_is_not_absent(shop: Shop, imported: Import) -> None:
    await imported("products", "csv", products("a", "b", "c"))

    run = await imported("products", "csv", products("a", "b") + b"\nc,", mode="full")

    assert (run.rows_rejected, run.rows_removed) == (1, 0)
    assert await live(shop) == ["a", "b", "c"]


async def test_a_full_import_that_would_remove_most_is_refused(
    shop: Shop, imported: Import
) -> None:
    await imported("products", "csv", products("a", "b", "c"))

    refused = await imported("products", "csv", products("a"), mode="full")
    assert refused.state == "failed"
    assert (refused.reason or "").startswith("2 of 3 products are not in the file")
    assert await live(shop) == ["a", "b", "c"]

    allowed = await imported("products", "csv", products("a"), mode="full", allow_removal=True)
    assert (allowed.state, allowed.rows_removed) == ("succeeded", 2)
    assert await live(shop) == ["a"]


async def test_a_full_import_without_one_good_row_is_refused(shop: Shop, imported: Import) -> None:
    await imported("products", "csv", products("a"))

    run = await imported("products", "csv", b"product_id,title\na,\n", mode="full")

    assert run.state == "failed"
    assert await live(shop) == ["a"]


async def test_a_full_import_spares_what_was_written_after_it_was_sent(
    shop: Shop, imported: Import, work: Work
) -> None:
    await imported("products", "csv", products("a", "b", "c"))
    answer = await send(shop, "products", "csv", products("a", "b", "c"), mode="full")
    await shop.has_products({"product_id": "later"})

    await work(shop, answer.json()["import_id"])

    assert await live(shop) == ["a", "b", "c", "later"]


@pytest.mark.parametrize("kind", ["customers", "events"])
async def test_only_products_can_be_imported_in_full(shop: Shop, kind: str) -> None:
    answer = await send(shop, kind, "csv", b"x", mode="full")

    assert answer.status_code == 422


async def test_a_dry_run_counts_and_changes_nothing(
    shop: Shop, pool: Pool, imported: Import
) -> None:
    await imported("products", "csv", products("a", "b"))

    run = await imported("products", "csv", products("b", "c") + b"\nd,", mode="full", dry_run=True)
    events = await imported(
        "events",
        "csv",
        b"event_id,type,session_id,product_id,occurred_at\n1,view,s,a,2026-03-01T12:00:00Z\n",
        dry_run=True,
    )

    assert (run.state, run.rows_written, run.rows_removed, run.rows_rejected) == (
        "succeeded",
        1,
        1,
        1,
    )
    assert len((await errors_of(shop, run)).errors) == 1
    assert await live(shop) == ["a", "b"]
    assert (events.rows_accepted, await stored_events(pool, shop)) == (1, 0)


async def test_the_first_thousand_errors_are_kept_and_all_are_counted(
    shop: Shop, imported: Import
) -> None:
    run = await imported("products", "csv", b"product_id,title\n" + b"a,\n" * 1500)

    assert run.rows_rejected == 1500
    rows: list[int] = []
    cursor: str | None = None
    while True:
        params = {"cursor": cursor} if cursor else {}
        page = (await shop.get(f"/v1/imports/{run.import_id}/errors", limit=200, **params)).json()
        rows += [error["row_number"] for error in page["errors"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert rows == list(range(1, 1001))


async def test_a_file_over_the_limit_is_refused_and_not_kept(app: Litestar, shop: Shop) -> None:
    settings = app.state.settings
    app.state.settings = msgspec.structs.replace(settings, aisle_import_limit_mb=1)

    async def endless():  # noqa: ANN202 - pieces of a body
        for _ in range(3):
            yield b"x" * 1024**2

    try:
        announced = await send(shop, "products", "csv", b"x" * 2 * 1024**2)
        streamed = await shop.api.post("/v1/imports?kind=products&format=csv", content=endless())
    finally:
        app.state.settings = settings

    assert announced.status_code == streamed.status_code == 413
    folder = settings.object_store / "imports" / str(shop.tenant_id)
    assert list(folder.glob("*")) == []


async def test_no_file_is_left_when_an_import_has_ended(
    app: Litestar, shop: Shop, imported: Import
) -> None:
    await imported("products", "csv", products("a"))
    await imported("products", "csv", b"nonsense")

    folder = app.state.settings.object_store / "imports" / str(shop.tenant_id)
    assert list(folder.glob("*")) == []


async def test_an_import_carried_out_twice_at_once_counts_once(shop: Shop, work: Work) -> None:
    import_id = (await send(shop, "products", "csv", products("a", "b"))).json()["import_id"]

    await asyncio.gather(*(work(shop, import_id) for _ in range(3)))

    run = await read(shop, import_id)
    assert (run.state, run.rows_read, run.rows_written) == ("succeeded", 2, 2)


async def test_an_import_nobody_was_told_of_is_found(app: Litestar, shop: Shop, pool: Pool) -> None:
    queue = app.state.queue
    app.state.queue = open_queue(f"redis://127.0.0.1:{free_port()}/0")
    app.state.queue.conf.task_publish_retry = False
    try:
        answer = await send(shop, "products", "csv", products("a"))
    finally:
        app.state.queue = queue
    assert answer.status_code == 202

    resumed = await runs.resume_imports(pool, queue, older_than_s=0)

    assert answer.json()["import_id"] in resumed
