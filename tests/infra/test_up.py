"""What the product's processes are given, and that two runs never share a folder."""

import stat
from pathlib import Path

import pytest

from infra.local.preflight import CannotStart
from infra.local.services import Services
from infra.local.up import login_url, only_one, product_environment

OWNER_URL = "postgresql://owner:secret@db.example:5433/aisle?sslmode=require"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    with (tmp_path / "lease").open("a") as lease:
        return Services(
            database_url=OWNER_URL, redis_url="redis://r", postgres=None, redis=None, lease=lease
        )


def test_the_product_never_sees_the_owner_of_the_database(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", OWNER_URL)

    environment = product_environment(services, tmp_path, {})

    assert "DATABASE_URL" not in environment
    assert not any("owner:secret" in value for value in environment.values())
    assert environment["APP_DATABASE_URL"].startswith("postgresql://aisle_app_login:")
    assert environment["DRAIN_DATABASE_URL"].startswith("postgresql://aisle_drain_login:")


def test_the_environment_is_written_for_other_terminals_and_stays_the_same(
    services: Services, tmp_path: Path
) -> None:
    first = product_environment(services, tmp_path, {})
    second = product_environment(services, tmp_path, {})

    path = tmp_path / "environment"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert written.keys() == {
        "APP_DATABASE_URL",
        "DRAIN_DATABASE_URL",
        "REDIS_URL",
        "AISLE_STATE_DIR",
    }
    assert first == second
    assert written.items() <= first.items()


def test_a_login_keeps_the_address_and_the_options_of_the_database() -> None:
    assert (
        login_url(OWNER_URL, "app", "pw")
        == "postgresql://app:pw@db.example:5433/aisle?sslmode=require"
    )


def test_a_second_run_over_the_same_folder_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    words = pytest.raises(CannotStart, match=r"already running .*process \d+")
    with only_one(lock), words, only_one(lock):
        pass
    with only_one(lock):
        pass
