"""From a finished training to the release in service, and back."""

import asyncio
import logging

from redis import RedisError

from backend.cache import Redis
from backend.db import Connection, Pool
from backend.errors import Conflict, NotFound
from backend.object_store import Depot, fetch_release
from backend.releases import name_release
from backend.tenancy import TenantId, tenant_connection, tenant_key
from backend.training import queries
from backend.training.jobs import remove_dataset
from backend.training.schemas import Headline, Model, ModelList, Serving, TrainingOutcome
from ml.release import Manifest, ReleaseRejected
from ml.serving.release import load_release
from storage.store import UnsafePath

logger = logging.getLogger(__name__)

LISTED = 50


class ReleaseBroken(Conflict):
    code = "release_broken"


class ReleaseRemoved(Conflict):
    code = "release_removed"


class NothingToRollBackTo(Conflict):
    code = "nothing_to_roll_back_to"


async def receive_outcome(
    pool: Pool,
    redis: Redis,
    depot: Depot,
    tenant_id: TenantId,
    job_id: str,
    outcome: TrainingOutcome,
) -> None:
    """End the job; a sound release is recorded and, unless it must not, put in service.

    Safe to run twice. A job that is over, or was given up, changes nothing any more.
    """
    switched = False
    manifest = await asyncio.to_thread(sound_release, depot, tenant_id, outcome)
    if isinstance(manifest, Manifest) and outcome.serve:
        await name_release(redis, tenant_id, manifest.release_id)
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
    remove_dataset(depot, tenant_id, job_id)


def sound_release(depot: Depot, tenant_id: TenantId, outcome: TrainingOutcome) -> Manifest | str:
    """The manifest of a release that an engine here could load, or why there is none.

    Raises StoreUnavailable: nothing is known then, and it is worth another try.
    """
    if outcome.failed is not None or outcome.release_id is None:
        return outcome.failed or "the trainer reported neither a release nor a reason"
    try:
        folder = fetch_release(depot, tenant_id, outcome.release_id)
        manifest = load_release(folder).manifest
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
    pool: Pool, redis: Redis, depot: Depot, tenant_id: TenantId, release_id: str
) -> Serving:
    """Put a release in service. Safe to repeat. Raises NotFound, ReleaseRemoved, ReleaseBroken."""
    async with tenant_connection(pool, tenant_id) as conn:
        await require_kept(conn, release_id)
    await require_sound(depot, tenant_id, release_id)
    await name_release(redis, tenant_id, release_id)
    async with tenant_connection(pool, tenant_id) as conn:
        await queries.hold_releases(conn)
        await require_kept(conn, release_id)
        pointer = await switch(conn, release_id)
    await announce(redis, tenant_id)
    return pointer


async def roll_back(pool: Pool, redis: Redis, depot: Depot, tenant_id: TenantId) -> Serving:
    """Return to the release before. Raises NothingToRollBackTo, ReleaseBroken."""
    async with tenant_connection(pool, tenant_id) as conn:
        now = await queries.serving(conn)
        if now is None or now.previous_release_id is None:
            raise NothingToRollBackTo("no release was in service before this one")
        await require_sound(depot, tenant_id, now.previous_release_id)
        pointer = await switch(conn, now.previous_release_id)
    await announce(redis, tenant_id)
    return pointer


async def switch(conn: Connection, release_id: str) -> Serving:
    await queries.serve(conn, release_id)
    pointer = await queries.serving(conn)
    return pointer or Serving(release_id=release_id, previous_release_id=None)


async def require_kept(conn: Connection, release_id: str) -> None:
    state = await queries.release_state(conn, release_id)
    if state is None:
        raise NotFound(f"no release {release_id}")
    if state.is_removed:
        raise ReleaseRemoved(f"the files of release {release_id} were removed; train again")


async def require_sound(depot: Depot, tenant_id: TenantId, release_id: str) -> None:
    outcome = TrainingOutcome(release_id=release_id)
    found = await asyncio.to_thread(sound_release, depot, tenant_id, outcome)
    if isinstance(found, str):
        raise ReleaseBroken(found)


async def announce(redis: Redis, tenant_id: TenantId) -> None:
    """Tell the serving processes to read the pointer again; they look anyway, only later."""
    try:
        await redis.incr(tenant_key(tenant_id, "serving"))
    except (RedisError, OSError) as error:
        logger.warning("the switch is noticed a little later: %s", error)
