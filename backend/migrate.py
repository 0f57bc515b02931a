"""Brings the schema up to date and makes the two logins the product runs as."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct

from backend.db import Connection, open_pool
from backend.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
LOOPBACK = {None, "", "localhost", "127.0.0.1", "::1"}


class MigrationFailed(Exception):
    """The message says why, in words for whoever runs the installation."""


class Login(Struct, frozen=True, kw_only=True):
    """A role that may log in, and the role whose rights it has."""

    name: str
    password: str
    member_of: str


async def migrate(settings: Settings) -> None:
    """Apply what is missing and set the logins' passwords. Safe to repeat, also at the same time.

    Raises MigrationFailed.
    """
    owner_url = settings.database_url
    if owner_url is None:
        raise MigrationFailed("DATABASE_URL is not set: migrations run as the owner of the schema")
    logins = [
        _login("APP_DATABASE_URL", settings.app_database_url, "aisle_app", owner_url),
        _login("DRAIN_DATABASE_URL", settings.drain_database_url, "aisle_drain", owner_url),
    ]
    try:
        pool = await open_pool(owner_url, 1)
    except OSError as error:
        raise MigrationFailed(f"PostgreSQL of DATABASE_URL does not answer: {error}") from error
    async with pool, pool.acquire() as conn:
        await conn.execute("SELECT pg_advisory_lock(hashtext('aisle migrate'))", timeout=600)
        await asyncio.to_thread(_run_dbmate, owner_url)
        for login in logins:
            await _ensure_login(conn, login)


def _login(setting: str, url: str, member_of: str, owner_url: str) -> Login:
    parts = urlsplit(url)
    if not parts.username or not parts.password:
        raise MigrationFailed(f"{setting} must name a user and a password")
    if parts.username == urlsplit(owner_url).username:
        raise MigrationFailed(
            f"{setting} names the owner of the schema, whom row-level security does not bind; "
            "choose another user name, and it will be made"
        )
    return Login(
        name=unquote(parts.username), password=unquote(parts.password), member_of=member_of
    )


def _run_dbmate(owner_url: str) -> None:
    program = Path(sys.executable).with_name("dbmate")
    finished = subprocess.run(  # noqa: S603 - our own program, arguments without user input
        [str(program), "--no-dump-schema", "--migrations-dir", str(MIGRATIONS), "migrate"],
        env={"PATH": os.defpath, "DATABASE_URL": dbmate_url(owner_url)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        said = (finished.stderr or finished.stdout).strip()
        raise MigrationFailed(f"dbmate could not migrate the database:\n{said}")


def dbmate_url(url: str) -> str:
    """dbmate insists on TLS unless told otherwise; a server on this machine has none."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if "sslmode" not in options and parts.hostname in LOOPBACK:
        options["sslmode"] = "disable"
    return parts._replace(scheme="postgres", query=urlencode(options)).geturl()


async def _ensure_login(conn: Connection, login: Login) -> None:
    exists = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", login.name
    )
    verb = "ALTER" if exists else "CREATE"
    template = f"{verb} ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD %L"
    await _execute(conn, template, login.name, login.password)
    await _execute(conn, "GRANT %I TO %I", login.member_of, login.name)


async def _execute(conn: Connection, template: str, first: str, second: str) -> None:
    """Run a statement that takes no parameters, with two names or texts quoted by PostgreSQL."""
    await conn.execute(
        await conn.fetchval("SELECT format($1, $2::text, $3::text)", template, first, second)
    )
