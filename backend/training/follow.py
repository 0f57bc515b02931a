"""Shows a training in the terminal until it ends."""

import asyncio

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from backend.db import Pool
from backend.tenancy import TenantId
from backend.training.activation import models
from backend.training.jobs import training_job
from backend.training.schemas import Model, TrainingJob

ASK_EVERY_S = 0.5
OVER = {"succeeded", "failed"}


async def follow(pool: Pool, tenant_id: TenantId, job_id: str, console: Console) -> TrainingJob:
    """One bar per stage with its figures as they arrive; gives the job as it ended."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as progress:
        bars: dict[str, TaskID] = {}
        while True:
            job = await training_job(pool, tenant_id, job_id)
            draw(progress, bars, job)
            if job.state in OVER:
                return job
            await asyncio.sleep(ASK_EVERY_S)


def draw(progress: Progress, bars: dict[str, TaskID], job: TrainingJob) -> None:
    """A new stage completes the bars of those before it."""
    stage = job.stage or job.state
    if stage not in bars:
        for bar in bars.values():
            progress.update(bar, completed=1.0)
        bars[stage] = progress.add_task(stage, total=1.0, figures="")
    figures = "  ".join(f"{name} {value:.4g}" for name, value in job.detail.items())
    progress.update(bars[stage], completed=job.progress, figures=figures)


async def outcome(pool: Pool, tenant_id: TenantId, job: TrainingJob) -> str:
    """How the training ended, as one or two sentences."""
    if job.state == "failed":
        return f"The training failed: {job.reason}"
    found = (await models(pool, tenant_id)).models
    made = next((model for model in found if model.release_id == job.release_id), None)
    return f"Release {job.release_id}. {verdict(made) if made else ''}".strip()


def verdict(model: Model) -> str:
    return f"{model.verdict} It {'serves' if model.serving else 'does not serve'} now."
