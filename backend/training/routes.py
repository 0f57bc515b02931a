"""HTTP of models and training jobs."""

from celery import Celery
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody

from backend.auth.caller import Caller, requires
from backend.cache import Redis
from backend.db import Pool
from backend.object_store import open_depot
from backend.settings import Settings
from backend.training import activation, jobs
from backend.training.schemas import (
    ModelList,
    Serving,
    TrainingJob,
    TrainingJobList,
    TrainingWish,
)


async def provide_queue(state: State) -> Celery:
    return state.queue


async def provide_settings(state: State) -> Settings:
    return state.settings


@get("/", guards=[requires("models")])
async def list_models(caller: NamedDependency[Caller], pool: NamedDependency[Pool]) -> ModelList:
    """List releases, newest first, with what the gate said about each."""
    return await activation.models(pool, caller.tenant_id)


@post("/train", guards=[requires("models")], status_code=202)
async def train(
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    queue: NamedDependency[Celery],
    data: JSONBody[TrainingWish | None] = None,
) -> TrainingJob:
    """Train this shop's own models, for what it wants more of. 409 while a training runs."""
    objective = data.objective if data else None
    return await jobs.request_training(pool, queue, caller.tenant_id, "api", objective)


@get("/jobs", guards=[requires("models")])
async def list_jobs(
    caller: NamedDependency[Caller], pool: NamedDependency[Pool]
) -> TrainingJobList:
    """List the last training jobs, newest first."""
    return await jobs.training_jobs(pool, caller.tenant_id)


@get("/jobs/{job_id:str}", guards=[requires("models")])
async def get_job(
    job_id: FromPath[str], caller: NamedDependency[Caller], pool: NamedDependency[Pool]
) -> TrainingJob:
    """Follow one training: its stage, how far it is, and why it failed if it did."""
    return await jobs.training_job(pool, caller.tenant_id, job_id)


@post("/{release_id:str}/promote", guards=[requires("models")], status_code=200)
async def promote(
    release_id: FromPath[str],
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
    settings: NamedDependency[Settings],
) -> Serving:
    """Put a release in service, whatever the gate said."""
    depot = open_depot(settings)
    return await activation.promote(pool, redis, depot, caller.tenant_id, release_id)


@post("/rollback", guards=[requires("models")], status_code=200)
async def roll_back(
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    redis: NamedDependency[Redis],
    settings: NamedDependency[Settings],
) -> Serving:
    """Return to the release that was in service before."""
    return await activation.roll_back(pool, redis, open_depot(settings), caller.tenant_id)


router = Router(
    "/v1/models",
    route_handlers=[list_models, train, list_jobs, get_job, promote, roll_back],
    dependencies={"queue": Provide(provide_queue), "settings": Provide(provide_settings)},
    tags=["Models"],
)
