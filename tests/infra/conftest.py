"""Real servers in folders of their own, removed afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.services import LocalPostgres, LocalRedis


@pytest.fixture(autouse=True)
def _no_servers_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    if folder.exists():
        LocalPostgres(folder).remove()
        LocalRedis(folder).remove()


@pytest.fixture
def postgres(state_dir: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(state_dir)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(state_dir: Path) -> Iterator[LocalRedis]:
    server = LocalRedis(state_dir)
    server.start()
    yield server
    server.stop()
