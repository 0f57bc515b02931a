"""The `aisle` command. Exit code 1: it could not be done; 2: the command line is wrong."""

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar, get_args

import asyncpg
import click
from rich.console import Console
from rich.table import Table

from backend.auth import queries
from backend.auth.keys import KeyKind, KeyMode, create_key, list_keys, revoke_key
from backend.db import UNREACHABLE, Pool, open_pool
from backend.errors import Conflict, NotFound, Refusal
from backend.migrate import MigrationFailed, migrate
from backend.queue import open_queue
from backend.settings import MissingSetting, Settings, read_settings
from backend.tenancy import TenantId, directory_connection
from backend.training.follow import follow, outcome
from backend.training.jobs import request_training
from backend.training.schemas import TrainingJob
from ml.release import Objective
from ml.serving.triton_alive import is_alive

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ORIGIN = re.compile(r"https?://[^/\s]+")

Answer = TypeVar("Answer")


@click.group(help="Runs an installation of Aisle.")
def main() -> None:
    """Called as `aisle` and as `python -m backend.cli`."""


@main.command("migrate")
def migrate_command() -> None:
    """Bring the database up to date and make the logins the product runs as."""
    with_settings(migrate)
    click.echo("The database is up to date.")


@main.group("tenant")
def tenant_group() -> None:
    """Merchants who share this installation."""


@tenant_group.command("create")
@click.argument("slug")
@click.option("--name", help="The merchant's name as people write it.")
def create_tenant(slug: str, name: str | None) -> None:
    """Add a merchant; SLUG is a short name of small letters, digits and hyphens."""
    if not SLUG.fullmatch(slug):
        raise click.BadParameter("at most 63 small letters, digits and hyphens", param_hint="SLUG")

    async def create(pool: Pool) -> TenantId:
        async with directory_connection(pool) as conn:
            tenant_id = await queries.insert_tenant(conn, slug, name or slug)
        if tenant_id is None:
            raise Conflict(f"the tenant {slug} exists already")
        return tenant_id

    tenant_id = with_pool(create)
    click.echo(f"Tenant {slug} was made, its id is {tenant_id}.")


@tenant_group.command("list")
def list_tenants() -> None:
    """List the merchants."""

    async def read(pool: Pool) -> list[queries.Tenant]:
        async with directory_connection(pool) as conn:
            return await queries.tenants(conn)

    show(
        ["slug", "name", "id"],
        [[tenant.slug, tenant.name, str(tenant.id)] for tenant in with_pool(read)],
    )


@main.group("key")
def key_group() -> None:
    """API keys of a merchant."""


tenant_option = click.option("--tenant", "slug", required=True, help="The merchant's slug.")


@key_group.command("create")
@tenant_option
@click.option("--kind", type=click.Choice(["pub", "sec"]), required=True)
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@click.option("--origin", "origins", multiple=True, help="May be repeated: https://shop.example")
def create_key_command(slug: str, kind: KeyKind, mode: KeyMode, origins: tuple[str, ...]) -> None:
    """Make a key and print it: this once, since only its hash is kept."""
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise click.BadParameter(f"{origin} is no origin such as https://shop.example")
    if origins and kind == "sec":
        raise click.UsageError("origins are for pub keys: a sec key must never reach a browser")
    made = with_tenant(
        slug, lambda pool, tenant_id: create_key(pool, tenant_id, kind, mode, list(origins))
    )
    click.echo(f"Key {made.key_id}; it is shown this once:")
    click.echo(made.key)


@key_group.command("list")
@tenant_option
def list_keys_command(slug: str) -> None:
    """List a merchant's keys; the keys themselves are not kept."""
    rows = [
        [
            key.key_id,
            f"ak_{key.mode}_{key.kind}_…{key.last_four}",
            f"{key.created_at:%Y-%m-%d %H:%M}",
            "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}",
            " ".join(key.origins),
        ]
        for key in with_tenant(slug, list_keys)
    ]
    show(["id", "key", "made", "revoked", "origins"], rows)


@key_group.command("revoke")
@tenant_option
@click.argument("key_id")
def revoke_key_command(slug: str, key_id: str) -> None:
    """Revoke a key; running processes refuse it within seconds."""
    with_tenant(slug, lambda pool, tenant_id: revoke_key(pool, tenant_id, key_id))
    click.echo(f"Key {key_id} is revoked.")


@main.command("train")
@tenant_option
@click.option(
    "--objective",
    type=click.Choice(get_args(Objective)),
    help="What to earn more of, kept for later trainings too; auto at first.",
)
@click.option("--follow", "is_followed", is_flag=True, help="Show its stages until it ends.")
def train(slug: str, objective: Objective | None, is_followed: bool) -> None:
    """Train a merchant's own models."""

    async def request(pool: Pool, tenant_id: TenantId) -> TrainingJob:
        queue = open_queue(read_settings().redis_url)
        job = await request_training(pool, queue, tenant_id, "command line", objective)
        if not is_followed:
            return job
        ended = await follow(pool, tenant_id, job.job_id, Console(highlight=False))
        click.echo(await outcome(pool, tenant_id, ended))
        return ended

    job = with_tenant(slug, request)
    if job.state == "failed":
        raise SystemExit(1)
    if not is_followed:
        click.echo(f"Training {job.job_id} is queued.")


@main.command("triton-alive")
def triton_alive() -> None:
    """Exit with 0 if the Triton server of AISLE_TRITON_URL answers: an inference is tried."""
    try:
        url = read_settings().aisle_triton_url
        alive = is_alive(url)
    except MissingSetting as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}: pip install 'aisle[triton]'") from error
    if not alive:
        raise click.ClickException(f"Triton at {url} does not answer")
    click.echo(f"Triton at {url} answers.")


@main.command(
    "evaluate",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def evaluate(context: click.Context) -> None:
    """Train on a folder's past and answer for its future, to be graded."""
    # Another program: the backend never loads training code.
    os.execv(sys.executable, [sys.executable, "-m", "ml.evaluate", *context.args])  # noqa: S606


def show(columns: list[str], rows: list[list[str]]) -> None:
    """A table; whole lines when a program reads it."""
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 200
    Console(highlight=False, markup=False, width=width).print(table)


def with_tenant(slug: str, work: Callable[[Pool, TenantId], Awaitable[Answer]]) -> Answer:
    async def find_and_work(pool: Pool) -> Answer:
        async with directory_connection(pool) as conn:
            tenant = await queries.tenant_by_slug(conn, slug)
        if tenant is None:
            raise NotFound(f"there is no tenant {slug}; `aisle tenant list` names them")
        return await work(pool, TenantId(tenant.id))

    return with_pool(find_and_work)


def with_pool(work: Callable[[Pool], Awaitable[Answer]]) -> Answer:
    """Run `work` as the application's login, which row-level security binds."""

    async def connect_and_work(settings: Settings) -> Answer:
        async with await open_pool(settings.app_database_url, 1) as pool:
            return await work(pool)

    return with_settings(connect_and_work)


def with_settings(work: Callable[[Settings], Awaitable[Answer]]) -> Answer:
    """Run `work` to its end; what goes wrong on the way becomes words and exit code 1."""

    async def settle() -> Answer:
        return await work(read_settings())

    try:
        return asyncio.run(settle())
    except (Refusal, MigrationFailed, MissingSetting) as error:
        raise click.ClickException(str(error)) from error
    except asyncpg.InvalidPasswordError as error:
        raise click.ClickException(f"{error}; `aisle migrate` makes the logins") from error
    except UNREACHABLE as error:
        raise click.ClickException(f"PostgreSQL does not answer: {error}") from error


if __name__ == "__main__":
    main(prog_name="aisle")
