"""Send work by name; the sender never imports what does it."""

from celery import Celery

CPU_QUEUE = "default"
TRAIN_QUEUE = "train"
PRECOMPUTE = "recommend.precompute"
"""Task of one tenant, sent where a release comes into service."""
LONGEST_JOB_S = 4 * 3600


def open_queue(redis_url: str) -> Celery:
    """A Celery app bound to the Redis broker.

    A redelivered message must never overtake a running job, so the visibility timeout exceeds
    the longest job.
    """
    queue = Celery("aisle", broker=redis_url)
    queue.conf.update(
        task_default_queue=CPU_QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": LONGEST_JOB_S + 600},
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
    )
    return queue
