"""SQL of training jobs, releases and the serving pointer."""

from datetime import datetime, timedelta

from msgspec import Struct

from backend.db import Connection, row_to, rows_to
from backend.training.schemas import Serving, TrainingJob
from ml.release import Manifest, Metrics, Objective

JOB_COLUMNS = """job_id, state, requested_by, objective, stage, progress, detail, reason,
    release_id, created_at, started_at, heartbeat_at, finished_at"""


class ReleaseRow(Struct, frozen=True, kw_only=True):
    release_id: str
    created_at: datetime
    champion: str
    passed: bool
    verdict: str
    parent_release_id: str | None
    objective: Objective
    metrics: Metrics
    serving: bool


class ReleaseState(Struct, frozen=True, kw_only=True):
    release_id: str
    is_removed: bool


class TrainingNeed(Struct, frozen=True, kw_only=True):
    """What decides whether a tenant is trained next."""

    events: int
    last_job_id: str | None = None
    last_state: str | None = None
    last_requested_by: str | None = None
    last_reason: str | None = None
    last_created_at: datetime | None = None
    last_events: int = 0


async def remember_objective(conn: Connection, objective: Objective) -> None:
    """For this tenant's trainings from now on."""
    await conn.execute(
        """
        INSERT INTO training_setting (objective) VALUES ($1)
        ON CONFLICT (tenant_id) DO UPDATE SET objective = excluded.objective
        """,
        objective,
    )


async def insert_job(conn: Connection, job_id: str, requested_by: str) -> bool:
    """False when a job of this tenant is queued or running."""
    status = await conn.execute(
        """
        INSERT INTO training_job (job_id, requested_by, objective)
        VALUES ($1, $2, coalesce((SELECT objective FROM training_setting), 'auto'))
        ON CONFLICT (tenant_id) WHERE state IN ('queued', 'exporting', 'training') DO NOTHING
        """,
        job_id,
        requested_by,
    )
    return status == "INSERT 0 1"


async def job(conn: Connection, job_id: str) -> TrainingJob | None:
    record = await conn.fetchrow(
        f"SELECT {JOB_COLUMNS} FROM training_job WHERE job_id = $1",  # noqa: S608 - a constant
        job_id,
    )
    return row_to(TrainingJob, record)


async def jobs(conn: Connection, limit: int) -> list[TrainingJob]:
    records = await conn.fetch(
        f"SELECT {JOB_COLUMNS} FROM training_job ORDER BY job_id DESC LIMIT $1",  # noqa: S608
        limit,
    )
    return rows_to(TrainingJob, records)


async def begin_export(conn: Connection, job_id: str) -> bool:
    """False when the job is past its export or over."""
    status = await conn.execute(
        """
        UPDATE training_job
        SET state = 'exporting', stage = 'export', heartbeat_at = now(),
            started_at = coalesce(started_at, now())
        WHERE job_id = $1 AND state IN ('queued', 'exporting')
        """,
        job_id,
    )
    return status == "UPDATE 1"


async def await_trainer(conn: Connection, job_id: str, events: int) -> bool:
    """The heartbeat stops until a trainer takes the job. False when the job is over."""
    status = await conn.execute(
        """
        UPDATE training_job
        SET state = 'training', stage = 'waiting for a trainer', heartbeat_at = NULL,
            events_at_start = $2
        WHERE job_id = $1 AND state = 'exporting'
        """,
        job_id,
        events,
    )
    return status == "UPDATE 1"


async def note_progress(
    conn: Connection, job_id: str, stage: str, progress: float, detail: dict[str, float]
) -> None:
    """Also the heartbeat. A job that is over stays as it ended."""
    await conn.execute(
        """
        UPDATE training_job
        SET stage = $2, progress = $3, detail = $4, heartbeat_at = now()
        WHERE job_id = $1 AND state IN ('exporting', 'training')
        """,
        job_id,
        stage,
        progress,
        detail,
    )


async def finish_job(
    conn: Connection, job_id: str, state: str, reason: str | None, release_id: str | None
) -> bool:
    """False when the job was over already."""
    status = await conn.execute(
        """
        UPDATE training_job
        SET state = $2, reason = $3, release_id = $4, finished_at = now(),
            progress = CASE $2 WHEN 'succeeded' THEN 1 ELSE progress END
        WHERE job_id = $1 AND state IN ('queued', 'exporting', 'training')
        """,
        job_id,
        state,
        reason,
        release_id,
    )
    return status == "UPDATE 1"


async def lost_jobs(conn: Connection, silent_s: int, waiting_s: int) -> list[TrainingJob]:
    """Jobs whose trainer fell silent, and jobs that nobody took."""
    records = await conn.fetch(
        f"""
        SELECT {JOB_COLUMNS} FROM training_job
        WHERE state IN ('queued', 'exporting', 'training')
          AND CASE WHEN heartbeat_at IS NULL
                   THEN created_at < now() - make_interval(secs => $2)
                   ELSE heartbeat_at < now() - make_interval(secs => $1) END
        """,  # noqa: S608 - a constant
        silent_s,
        waiting_s,
    )
    return rows_to(TrainingJob, records)


async def is_training(conn: Connection) -> bool:
    return await conn.fetchval(
        """
        SELECT EXISTS (
            SELECT 1 FROM training_job WHERE state IN ('queued', 'exporting', 'training')
        )
        """
    )


async def training_need(conn: Connection) -> TrainingNeed | None:
    record = await conn.fetchrow(
        """
        SELECT (SELECT count(*) FROM event_key) AS events, last_job_id, last_state,
               last_requested_by, last_reason, last_created_at,
               coalesce(last_events, 0) AS last_events
        FROM (SELECT 1) AS always LEFT JOIN LATERAL (
            SELECT job_id AS last_job_id, state AS last_state, requested_by AS last_requested_by,
                   reason AS last_reason, created_at AS last_created_at,
                   events_at_start AS last_events
            FROM training_job ORDER BY job_id DESC LIMIT 1
        ) AS last ON true
        """
    )
    return row_to(TrainingNeed, record)


async def insert_release(conn: Connection, manifest: Manifest) -> None:
    """A release inserted before stays as it is."""
    gate = manifest.metrics.gate
    await conn.execute(
        """
        INSERT INTO release
            (release_id, champion, verdict, passed, metrics, parent_release_id, objective)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
        """,
        manifest.release_id,
        gate.champion,
        gate.verdict,
        gate.passed,
        manifest.metrics,
        manifest.parent_release_id,
        manifest.objective,
    )


async def releases(conn: Connection, limit: int) -> list[ReleaseRow]:
    records = await conn.fetch(
        """
        SELECT release_id, created_at, champion, passed, verdict, parent_release_id,
               objective, metrics,
               EXISTS (SELECT 1 FROM serving s WHERE s.release_id = r.release_id) AS serving
        FROM release r ORDER BY created_at DESC, release_id DESC LIMIT $1
        """,
        limit,
    )
    return rows_to(ReleaseRow, records)


async def release_state(conn: Connection, release_id: str) -> ReleaseState | None:
    record = await conn.fetchrow(
        """
        SELECT release_id, removed_at IS NOT NULL AS is_removed FROM release WHERE release_id = $1
        """,
        release_id,
    )
    return row_to(ReleaseState, record)


async def hold_releases(conn: Connection) -> None:
    """Until the transaction ends, nobody else of this tenant promotes or removes a release."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(current_setting('app.tenant_id'), 0))"
    )


async def mark_removed(conn: Connection, kept: int, unreferenced: timedelta) -> None:
    """Mark what is neither among the `kept` best nor was in service within `unreferenced`."""
    await conn.execute(
        """
        WITH ranked AS (
            SELECT release_id, here.is_in_service,
                   row_number() OVER (
                       ORDER BY here.is_in_service DESC, created_at DESC, release_id DESC
                   ) AS place
            FROM release r, LATERAL (
                SELECT EXISTS (
                    SELECT 1 FROM serving s
                    WHERE r.release_id IN (s.release_id, s.previous_release_id)
                ) AS is_in_service
            ) AS here
            WHERE removed_at IS NULL
        )
        UPDATE release SET removed_at = now() FROM ranked
        WHERE ranked.release_id = release.release_id AND NOT is_in_service AND place > $1
          AND greatest(created_at, left_service_at) < now() - $2::interval
        """,
        kept,
        unreferenced,
    )


async def release_states(conn: Connection) -> list[ReleaseState]:
    records = await conn.fetch(
        "SELECT release_id, removed_at IS NOT NULL AS is_removed FROM release"
    )
    return rows_to(ReleaseState, records)


async def unfinished_jobs(conn: Connection) -> list[str]:
    records = await conn.fetch(
        "SELECT job_id FROM training_job WHERE state IN ('queued', 'exporting', 'training')"
    )
    return [record["job_id"] for record in records]


async def serve(conn: Connection, release_id: str) -> None:
    """Put a release in service and remember the one before; one in service stays as it is."""
    await conn.execute(
        """
        UPDATE release SET left_service_at = now() FROM serving
        WHERE release.release_id = serving.previous_release_id AND serving.release_id <> $1
        """,
        release_id,
    )
    await conn.execute(
        """
        INSERT INTO serving (release_id) VALUES ($1)
        ON CONFLICT (tenant_id) DO UPDATE
        SET previous_release_id = serving.release_id, release_id = excluded.release_id,
            switched_at = now()
        WHERE serving.release_id <> excluded.release_id
        """,
        release_id,
    )


async def serving(conn: Connection) -> Serving | None:
    """Locked until the transaction ends, so that two switches follow one another."""
    record = await conn.fetchrow("SELECT release_id, previous_release_id FROM serving FOR UPDATE")
    return row_to(Serving, record)
