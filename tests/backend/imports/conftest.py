"""Imports through HTTP, carried out as a worker would."""

from collections.abc import Awaitable, Callable

import httpx
import msgspec
import pytest
from litestar import Litestar

from backend.imports.schemas import ImportErrors, ImportRun
from backend.imports.work import run_import
from tests.conftest import Shop

Import = Callable[..., Awaitable[ImportRun]]
Work = Callable[[Shop, str], Awaitable[None]]


async def send(
    shop: Shop, kind: str, form: str, content: bytes, **params: str | bool
) -> httpx.Response:
    return await shop.api.post(
        "/v1/imports", params={"kind": kind, "format": form, **params}, content=content
    )


@pytest.fixture
def work(app: Litestar) -> Work:
    """Do what the worker does when it is sent an import."""

    async def run(shop: Shop, import_id: str) -> None:
        state = app.state
        store = state.settings.object_store
        await run_import(state.pool, state.redis, store, shop.tenant_id, import_id)

    return run


@pytest.fixture
def imported(shop: Shop, work: Work) -> Import:
    """Send a file and wait for its import to end."""

    async def send_and_work(
        kind: str, form: str, content: bytes, **params: str | bool
    ) -> ImportRun:
        answer = await send(shop, kind, form, content, **params)
        assert answer.status_code == 202, answer.text
        import_id = answer.json()["import_id"]
        await work(shop, import_id)
        return await read(shop, import_id)

    return send_and_work


async def read(shop: Shop, import_id: str) -> ImportRun:
    answer = await shop.get(f"/v1/imports/{import_id}")
    return msgspec.json.decode(answer.content, type=ImportRun)


async def errors_of(shop: Shop, run: ImportRun) -> ImportErrors:
    answer = await shop.get(f"/v1/imports/{run.import_id}/errors")
    return msgspec.json.decode(answer.content, type=ImportErrors)
