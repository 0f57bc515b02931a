"""The Celery app of the CPU workers, and of beat: every task and schedule in one list."""

from celery import Celery

from backend.housekeeping import add_tasks as add_housekeeping
from backend.imports.tasks import add_tasks as add_imports
from backend.queue import open_queue
from backend.recommend.tasks import add_tasks as add_recommend
from backend.settings import Settings, read_settings
from backend.training.tasks import add_tasks as add_training


def open_worker(settings: Settings) -> Celery:
    worker = open_queue(settings.redis_url)
    for add_tasks in (add_housekeeping, add_imports, add_recommend, add_training):
        add_tasks(worker, settings)
    return worker


app = open_worker(read_settings())
