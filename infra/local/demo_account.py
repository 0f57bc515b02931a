"""The demo's tenant and secret key: made once, kept in the state folder for its owner alone."""

import asyncio
from pathlib import Path

import msgspec
from msgspec import Struct

from backend.auth import queries as directory
from backend.auth.keys import create_key
from backend.db import Pool, open_pool
from backend.errors import Conflict
from backend.tenancy import TenantId, directory_connection, tenant_connection
from backend.training import queries as trainings
from infra.local.demo_shop import Shop
from infra.local.preflight import CannotStart
from infra.local.state import private_folder, write_private

INTERRUPTED = "Aisle was stopped while it trained."
LATEST_JOBS = 10


class DemoAccount(Struct, frozen=True, kw_only=True):
    slug: str
    key: str
    imported: list[str] = []
    """Fingerprints of the files that are in."""
    is_trained: bool = False

    def having_imported(self, fingerprint: str) -> "DemoAccount":
        return msgspec.structs.replace(self, imported=[*self.imported, fingerprint])


def account_path(state_dir: Path, slug: str) -> Path:
    return private_folder(state_dir / "demo") / f"{slug}.json"


def remember(state_dir: Path, account: DemoAccount) -> None:
    content = msgspec.json.format(msgspec.json.encode(account), indent=2)
    write_private(account_path(state_dir, account.slug), content)


def remembered(state_dir: Path, slug: str) -> DemoAccount:
    """Raises FileNotFoundError before the first start."""
    return msgspec.json.decode(account_path(state_dir, slug).read_bytes(), type=DemoAccount)


def prepare_account(shop: Shop, environment: dict[str, str], state_dir: Path) -> dict[str, str]:
    """What the API needs so that /shop works; makes tenant and key at the first start."""
    is_first = not account_path(state_dir, shop.slug).exists()
    key = asyncio.run(opened(shop, environment["APP_DATABASE_URL"], is_first))
    if key:
        remember(state_dir, DemoAccount(slug=shop.slug, key=key))
    return {"AISLE_DEMO_KEY": remembered(state_dir, shop.slug).key}


async def opened(shop: Shop, app_database_url: str, is_first: bool) -> str | None:
    """Make the shop's tenant if it is missing, and a key at the first start. Raises CannotStart."""
    pool = await open_pool(app_database_url, 1)
    try:
        async with directory_connection(pool) as conn:
            await directory.insert_tenant(conn, shop.slug, shop.name)
            tenant = await directory.tenant_by_slug(conn, shop.slug)
        if tenant is None:
            raise CannotStart(f"The tenant `{shop.slug}` could not be made.")
        tenant_id = TenantId(tenant.id)
        await give_up_interrupted(pool, tenant_id)
        return await new_key(pool, tenant_id, shop) if is_first else None
    finally:
        await pool.close()


async def give_up_interrupted(pool: Pool, tenant_id: TenantId) -> None:
    """No trainer runs yet: a training that had one was cut off, and would be waited for in vain."""
    async with tenant_connection(pool, tenant_id) as conn:
        for job in await trainings.jobs(conn, LATEST_JOBS):
            if job.finished_at is None and job.heartbeat_at is not None:
                await trainings.finish_job(conn, job.job_id, "failed", INTERRUPTED, None)


async def new_key(pool: Pool, tenant_id: TenantId, shop: Shop) -> str:
    try:
        return (await create_key(pool, tenant_id, "sec")).key
    except Conflict as conflict:
        raise CannotStart(
            f"The tenant `{shop.slug}` is there, and its key is not in the state folder: "
            f"{conflict.detail}.\nRevoke one with `.venv/bin/aisle key revoke`, or choose another "
            "state folder with AISLE_STATE_DIR."
        ) from None
