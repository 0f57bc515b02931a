"""The `aisle` command, as an operator uses it."""

import asyncio
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from backend.cli import main
from backend.db import open_pool
from backend.migrate import MigrationFailed, dbmate_url, migrate
from backend.settings import Settings
from infra.local.state import free_port

Aisle = Callable[..., Result]


@pytest.fixture
def aisle(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Aisle:
    """Run the command in this process."""
    monkeypatch.setenv("APP_DATABASE_URL", settings.app_database_url)
    monkeypatch.setenv("DRAIN_DATABASE_URL", settings.drain_database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    monkeypatch.setenv("AISLE_STATE_DIR", str(settings.aisle_state_dir))
    monkeypatch.setenv("AISLE_TRITON_URL", "127.0.0.1:1")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def new_slug() -> str:
    return f"cli-{secrets.token_hex(6)}"


def test_a_tenant_and_its_keys_are_made_listed_and_revoked(aisle: Aisle) -> None:
    slug = new_slug()
    assert aisle("tenant", "create", slug, "--name", "A Shop").exit_code == 0
    assert slug in aisle("tenant", "list").output

    made = aisle("key", "create", "--tenant", slug, "--kind", "sec")
    key = re.search(r"ak_live_sec_\S{43}", made.output)
    key_id = re.search(r"key_\w+", made.output)
    assert key
    assert key_id
    listed = aisle("key", "list", "--tenant", slug).output
    assert key[0] not in listed
    assert key[0][-4:] in listed

    assert aisle("key", "revoke", "--tenant", slug, key_id[0]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tenant", "create", "No Spaces"], 2, "small letters"),
        (["key", "create", "--tenant", "nobody", "--kind", "sec"], 1, "there is no tenant nobody"),
        (["key", "create", "--tenant", "nobody"], 2, "--kind"),
        (["key", "create", "--tenant", "x", "--kind", "pub", "--origin", "shop"], 2, "no origin"),
        (
            ["key", "create", "--tenant", "x", "--kind", "sec", "--origin", "https://a.b"],
            2,
            "must never reach a browser",
        ),
        (["train", "--tenant", "x", "--objective", "fame"], 2, "net-revenue"),
        (["migrate"], 1, "DATABASE_URL is not set"),
        (["triton-alive"], 1, "does not answer"),
        (["dance"], 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(
    aisle: Aisle, arguments: list[str], code: int, words: str
) -> None:
    result = aisle(*arguments)

    assert result.exit_code == code
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_slug_is_taken_once(aisle: Aisle) -> None:
    slug = new_slug()
    aisle("tenant", "create", slug)

    again = aisle("tenant", "create", slug)

    assert again.exit_code == 1
    assert "exists already" in again.output


def test_a_database_that_is_away_is_said_in_words(
    aisle: Aisle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_DATABASE_URL", f"postgresql://a:b@127.0.0.1:{free_port()}/x")

    result = aisle("tenant", "list")

    assert result.exit_code == 1
    assert "PostgreSQL does not answer" in result.output


def test_evaluation_is_another_program(settings: Settings) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "backend.cli", "evaluate", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert "--test-from" in finished.stdout


async def test_a_fresh_database_is_migrated_by_several_at_once(settings: Settings) -> None:
    assert settings.database_url
    name = f"fresh_{secrets.token_hex(4)}"
    fresh = settings.database_url.rpartition("/")[0] + f"/{name}"
    environment = {
        **os.environ,
        "DATABASE_URL": fresh,
        "APP_DATABASE_URL": settings.app_database_url.rpartition("/")[0] + f"/{name}",
        "DRAIN_DATABASE_URL": settings.drain_database_url.rpartition("/")[0] + f"/{name}",
        "REDIS_URL": settings.redis_url,
    }
    async with await open_pool(settings.database_url, 1) as pool:
        await pool.execute(f"CREATE DATABASE {name}")
        try:
            commands = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "backend.cli", "migrate"),
                    env=environment,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                )
                for _ in range(3)
            ]
            outputs = await asyncio.gather(*(command.communicate() for command in commands))
            assert [command.returncode for command in commands] == [0, 0, 0], outputs
        finally:
            await pool.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_the_owner_of_the_schema_is_not_made_a_login(settings: Settings) -> None:
    unsafe = Settings(
        database_url=settings.database_url,
        app_database_url=str(settings.database_url),
        drain_database_url=settings.drain_database_url,
        redis_url=settings.redis_url,
    )

    with pytest.raises(MigrationFailed, match="names the owner"):
        await migrate(unsafe)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://o:p@127.0.0.1:1/a", "postgres://o:p@127.0.0.1:1/a?sslmode=disable"),
        ("postgres://o:p@db.example/a", "postgres://o:p@db.example/a"),
        (
            "postgres://o:p@localhost/a?sslmode=require",
            "postgres://o:p@localhost/a?sslmode=require",
        ),
    ],
)
def test_tls_is_given_up_on_this_machine_only(url: str, wanted: str) -> None:
    assert dbmate_url(url) == wanted
