"""A queue that only remembers what was sent."""

from pathlib import Path

import pytest
from msgspec import Struct

from backend.settings import Settings
from tests.conftest import Shop
from tests.ml.small_release import write_small_release


class Sent(Struct, frozen=True, kw_only=True):
    name: str
    kwargs: dict[str, str | None]
    queue: str


class FakeQueue:
    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def send_task(self, name: str, *, kwargs: dict[str, str | None], queue: str) -> object:
        self.sent.append(Sent(name=name, kwargs=kwargs, queue=queue))
        return None


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


def trains(settings: Settings, shop: Shop, release_id: str, champion: str = "own-models") -> Path:
    """What a trainer leaves behind for a job: a release of the same id."""
    return write_small_release(
        settings.object_store / "releases" / str(shop.tenant_id),
        release_id=release_id,
        champion=champion,
        tenant_id=str(shop.tenant_id),
    )
