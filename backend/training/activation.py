"""From a finished training to the release in service, and back."""

import asyncio
import logging
from pathlib import Path

from redis import RedisError

from backend.cache import Redis
from backend.db import Connection, Pool
from backend.errors import Conflict, NotFound
from backend.object_store import UnsafePath, object_path
from backend.tenancy import TenantId, tenant_connection, tenant_key
from backend.training import queries
from backend.training.jobs import remove_dataset
from backend.training.schemas import Headline, Model, ModelList, Serving, TrainingOutcome
from ml.release import Manifest, ReleaseRejected, verify_release

logger = logging.getLogger(__name__)

LISTED = 50


class ReleaseBroken(Conflict):
    code = "release_broken"


class NothingToRollBackTo(Conflict):
    code = "nothing_to_roll_back_to"


async def receive_outcome(
    pool: Pool,
    redis: Redis,
    object_store: Path,
    tenant_id: TenantId,
    job_id: str,
    outcome: TrainingOutcome,
) -> None:
    """End the job; a sound release is recorded and, unless it must not, put in service.

    Safe to run twice. A job that is over, or was given up, changes nothing any more.
    """
    switched = False
    manifest = await asyncio.to_thread(sound_release, object_store, tenant_id, outcome)
    async with tenant_connection(pool, tenant_id) as conn:
        if isinstance(manifest, str):
            await queries.finish_job(conn, job_id, "failed", manifest, None)
        elif await queries.finish_job(
            conn, job_id, "succeeded", outcome.reason, manifest.release_id
        ):
            await queries.insert_release(conn, manifest)
            if outcome.serve:
                await queries.serve(conn, manifest.release_id)
                switched = True
    if switched:
        await announce(redis, tenant_id)
    remove_dataset(object_store, tenant_id, job_id)


def sound_release(
    object_store: Path, tenant_id: TenantId, outcome: TrainingOutcome
) -> Manifest | str:
    """The verified manifest, or why there is none."""
    if outcome.failed is not None or outcome.release_id is None:
        return outcome.failed or "the trainer reported neither a release nor a reason"
    try:
        folder = object_path(object_store, "releases", str(tenant_id), outcome.release_id)
        manifest = verify_release(folder)
    except (ReleaseRejected, UnsafePath) as error:
        return f"the release was refused: {error}"
    if manifest.tenant_id != str(tenant_id):
        return "the release was refused: it was made for another shop"
    return manifest


async def models(pool: Pool, tenant_id: TenantId) -> ModelList:
    async with tenant_connection(pool, tenant_id) as conn:
        rows = await queries.releases(conn, LISTED)
    return ModelList(models=[model(row) for row in rows])


def model(row: queries.ReleaseRow) -> Model:
    gate = row.metrics.gate
    return Model(
        release_id=row.release_id,
        created_at=row.created_at,
        champion=row.champion,
        passed=row.passed,
        verdict=row.verdict,
        serving=row.serving,
        parent_release_id=row.parent_release_id,
        objective=row.objective,
        metrics=Headline(
            shoppers=gate.shoppers,
            baseline=gate.baseline,
            lift=gate.lift,
            lift_low=gate.lift_low,
            lift_high=gate.lift_high,
            scores=gate.scores,
        ),
    )


async def promote(
    pool: Pool, redis: Redis, object_store: Path, tenant_id: TenantId, release_id: str
) -> Serving:
    """Put a release in service. Safe to repeat. Raises NotFound, ReleaseBroken."""
    async with tenant_connection(pool, tenant_id) as conn:
        if not await queries.release_exists(conn, release_id):
            raise NotFound(f"no release {release_id}")
        await require_sound(object_store, tenant_id, release_id)
        pointer = await switch(conn, release_id)
    await announce(redis, tenant_id)
    return pointer


async def roll_back(pool: Pool, redis: Redis, object_store: Path, tenant_id: TenantId) -> Serving:
    """Return to the release before. Raises NothingToRollBackTo, ReleaseBroken."""
    async with tenant_connection(pool, tenant_id) as conn:
        now = await queries.serving(conn)
        if now is None or now.previous_release_id is None:
            raise NothingToRollBackTo("no release was in service before this one")
        await require_sound(object_store, tenant_id, now.previous_release_id)
        pointer = await switch(conn, now.previous_release_id)
    await announce(redis, tenant_id)
    return pointer


async def switch(conn: Connection, release_id: str) -> Serving:
    await queries.serve(conn, release_id)
    pointer = await queries.serving(conn)
    return pointer or Serving(release_id=release_id, previous_release_id=None)


async def require_sound(object_store: Path, tenant_id: TenantId, release_id: str) -> None:
    outcome = TrainingOutcome(release_id=release_id)
    found = await asyncio.to_thread(sound_release, object_store, tenant_id, outcome)
    if isinstance(found, str):
        raise ReleaseBroken(found)


async def announce(redis: Redis, tenant_id: TenantId) -> None:
    """Tell the serving processes to read the pointer again; they look anyway, only later."""
    try:
        await redis.incr(tenant_key(tenant_id, "serving"))
    except (RedisError, OSError) as error:
        logger.warning("the switch is noticed a little later: %s", error)
