"""Training jobs: queue one, hand its data to a trainer, follow it."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Protocol

from kombu.exceptions import OperationalError
from ulid import ULID

from backend.db import Pool
from backend.errors import Conflict, NotFound, Unavailable
from backend.object_store import DATASETS, RELEASES, Depot, object_path
from backend.queue import CPU_QUEUE, TRAIN_QUEUE
from backend.tenancy import TenantId, tenant_connection
from backend.training import queries
from backend.training.export import export_dataset
from backend.training.schemas import TrainingJob, TrainingJobList
from ml.release import Objective
from storage.store import StoreUnavailable

logger = logging.getLogger(__name__)

LISTED = 50
NOT_QUEUED = "The queue does not answer, so the training could not be started."


class TrainingRunning(Conflict):
    code = "training_running"


class Queue(Protocol):
    """The part of a Celery app that sends work."""

    def send_task(self, name: str, *, kwargs: dict[str, str | None], queue: str) -> object: ...


async def request_training(
    pool: Pool,
    queue: Queue,
    tenant_id: TenantId,
    requested_by: str,
    objective: Objective | None = None,
) -> TrainingJob:
    """Queue a training. Raises TrainingRunning while another one is queued or runs.

    objective: for this training and later ones; None is what the shop chose before. It is kept
    only where the training could be queued.
    """
    job_id = str(ULID())
    async with tenant_connection(pool, tenant_id) as conn:
        if objective is not None:
            await queries.remember_objective(conn, objective)
        if not await queries.insert_job(conn, job_id, requested_by):
            raise TrainingRunning("a training of this shop is queued or running already")
        job = await queries.job(conn, job_id)
    if job is None:
        raise NotFound(f"no training job {job_id}")
    try:
        # Celery's client blocks; the web process must not.
        await asyncio.to_thread(send_start, queue, tenant_id, job_id)
    except OperationalError as error:
        async with tenant_connection(pool, tenant_id) as conn:
            await queries.finish_job(conn, job_id, "failed", NOT_QUEUED, None)
        raise Unavailable(NOT_QUEUED, retry_after_s=30) from error
    return job


def send_start(queue: Queue, tenant_id: TenantId, job_id: str) -> None:
    kwargs: dict[str, str | None] = {"tenant_id": str(tenant_id), "job_id": job_id}
    queue.send_task("training.start", kwargs=kwargs, queue=CPU_QUEUE)


async def start_training(
    pool: Pool, queue: Queue, depot: Depot, tenant_id: TenantId, job_id: str
) -> None:
    """Export the tenant's data and hand the job to the trainers. Safe to run twice."""
    async with tenant_connection(pool, tenant_id) as conn:
        if not await queries.begin_export(conn, job_id):
            return
        in_service = await queries.serving(conn)
        job = await queries.job(conn, job_id)
    dataset = dataset_folder(depot, tenant_id, job_id)
    async with tenant_connection(pool, tenant_id) as conn:
        events = await export_dataset(conn, dataset)
    if depot.remote is not None:
        parts = (DATASETS, str(tenant_id), job_id)
        await asyncio.to_thread(depot.remote.publish, dataset, *parts)
        shutil.rmtree(dataset)
    async with tenant_connection(pool, tenant_id) as conn:
        if not await queries.await_trainer(conn, job_id, events):
            return
    queue.send_task(
        "ml.train",
        kwargs={
            "tenant_id": str(tenant_id),
            "job_id": job_id,
            "dataset": depot.location(DATASETS, str(tenant_id), job_id),
            "releases": depot.location(RELEASES, str(tenant_id)),
            "parent_release": in_service.release_id if in_service else None,
            "objective": job.objective if job else "auto",
        },
        queue=TRAIN_QUEUE,
    )


async def note_progress(
    pool: Pool,
    tenant_id: TenantId,
    job_id: str,
    stage: str,
    fraction: float,
    detail: dict[str, float],
) -> None:
    """Also the job's sign of life."""
    async with tenant_connection(pool, tenant_id) as conn:
        await queries.note_progress(conn, job_id, stage, min(max(fraction, 0.0), 1.0), detail)


async def training_job(pool: Pool, tenant_id: TenantId, job_id: str) -> TrainingJob:
    async with tenant_connection(pool, tenant_id) as conn:
        job = await queries.job(conn, job_id)
    if job is None:
        raise NotFound(f"no training job {job_id}")
    return job


async def training_jobs(pool: Pool, tenant_id: TenantId) -> TrainingJobList:
    async with tenant_connection(pool, tenant_id) as conn:
        return TrainingJobList(jobs=await queries.jobs(conn, LISTED))


def dataset_folder(depot: Depot, tenant_id: TenantId, job_id: str) -> Path:
    """On this machine."""
    return object_path(depot.folder, DATASETS, str(tenant_id), job_id)


def remove_dataset(depot: Depot, tenant_id: TenantId, job_id: str) -> None:
    """Training sets are copies of personal data: none outlives its job. Safe to repeat."""
    shutil.rmtree(dataset_folder(depot, tenant_id, job_id), ignore_errors=True)
    if depot.remote is None:
        return
    try:
        depot.remote.remove(DATASETS, str(tenant_id), job_id)
    except StoreUnavailable as error:
        logger.warning("the training set of %s is removed later: %s", job_id, error)
