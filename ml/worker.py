"""The Celery app of the training queue: one thin task around `ml.train`."""

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

QUEUE = "train"
REPLY_QUEUE = "default"
SOFT_LIMIT_S, HARD_LIMIT_S = 2700, 3000


def open_worker() -> Celery:
    worker = Celery("aisle-train", broker=os.environ["REDIS_URL"])
    worker.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": 4 * 3600 + 600},
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
    )
    return worker


app = open_worker()


@app.task(name="ml.train", soft_time_limit=SOFT_LIMIT_S, time_limit=HARD_LIMIT_S)
def train_task(
    tenant_id: str,
    job_id: str,
    dataset: str,
    releases: str,
    parent_release: str | None = None,
    objective: str = "auto",
) -> None:
    """Train one tenant and report to the backend. Run twice, it answers twice with one release.

    The framework is imported here and not above: it takes seconds and does not survive a fork.
    """
    from ml.publish import Destination, train_release
    from ml.release import Objective
    from ml.train import Encoders
    from ml.travel import brought_here

    def progress(stage: str, fraction: float, detail: dict[str, float]) -> None:
        _reply("training.progress", tenant_id, job_id, stage, fraction, detail)

    def destination(folder: Path) -> Destination:
        return Destination(
            tenant_id=tenant_id,
            release_id=job_id,
            releases=folder,
            parent_release_id=parent_release,
            objective=msgspec.convert(objective, Objective),
        )

    encoders = Encoders(
        text=os.environ.get("AISLE_TEXT_ENCODER") or None,
        image=os.environ.get("AISLE_IMAGE_ENCODER") or None,
    )
    try:
        with brought_here(dataset, releases, destination, scratch()) as (data, here, deliver):
            outcome = train_release(data, here, progress, encoders)
            if "release_id" in outcome:
                deliver()
    except SoftTimeLimitExceeded:
        outcome = {"failed": f"Training took longer than {SOFT_LIMIT_S // 60} minutes."}
    except Exception as error:
        failed = f"Training failed: {type(error).__name__}: {error}"
        _reply("training.receive", tenant_id, job_id, {"failed": failed})
        raise
    _reply("training.receive", tenant_id, job_id, outcome)


def scratch() -> Path:
    """Where a training set and a release lie while there is a bucket in between."""
    return Path(os.environ.get("AISLE_TRAINER_SCRATCH") or tempfile.gettempdir())


def _reply(task: str, *args: Any) -> None:  # noqa: ANN401 - whatever JSON carries
    app.send_task(task, args=args, queue=REPLY_QUEUE)
