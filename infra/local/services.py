"""PostgreSQL and Redis for one machine: what the environment names, else private servers."""

import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import TextIOWrapper
from pathlib import Path

from msgspec import Struct

from infra.local.binaries import ServiceUnavailable
from infra.local.postgres import LocalPostgres
from infra.local.redis_server import LocalRedis
from infra.local.server import LocalServer
from infra.local.state import exclusive, private_folder

__all__ = ["LocalPostgres", "LocalRedis", "ServiceUnavailable", "Services", "start_services"]


class Services(Struct, frozen=True, kw_only=True):
    """`postgres` or `redis` is None where the environment named a server, which is left alone."""

    database_url: str
    redis_url: str
    postgres: LocalPostgres | None
    redis: LocalRedis | None
    lease: TextIOWrapper

    def stop(self) -> None:
        """Stop what runs here, unless another run is using the same state folder."""
        if self.lease.closed:
            return
        with exclusive(Path(self.lease.name).with_name("services.lock")):
            release(self.lease, [server for server in (self.postgres, self.redis) if server])


def start_services(state_dir: Path) -> Services:
    """Start both, or take over those already running on `state_dir`. Raises ServiceUnavailable.

    Several processes may hold the services of one folder: the last to stop ends them.
    """
    private_folder(state_dir)
    postgres = None if os.environ.get("DATABASE_URL") else LocalPostgres(state_dir)
    redis = None if os.environ.get("REDIS_URL") else LocalRedis(state_dir)
    servers = [server for server in (postgres, redis) if server]
    with exclusive(state_dir / "services.lock"):
        lease = (state_dir / "in-use.lock").open("a")
        fcntl.flock(lease, fcntl.LOCK_SH)
        try:
            with ThreadPoolExecutor() as threads:
                list(threads.map(lambda server: server.start(), servers))
        except BaseException:  # also Ctrl-C: nothing may stay behind
            release(lease, servers)
            raise
    return Services(
        database_url=postgres.url if postgres else os.environ["DATABASE_URL"],
        redis_url=redis.url if redis else os.environ["REDIS_URL"],
        postgres=postgres,
        redis=redis,
        lease=lease,
    )


def owner_url(state_dir: Path) -> str:
    """Of the database as its owner sees it."""
    return os.environ.get("DATABASE_URL") or LocalPostgres(state_dir).url


def release(lease: TextIOWrapper, servers: Sequence[LocalServer]) -> None:
    """Give up the lease; whoever held the last one stops the servers."""
    with lease:
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for server in servers:
            server.stop()
