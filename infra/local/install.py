"""Makes PostgreSQL and Redis available to this machine, and says where they come from."""

import os

from infra.local.binaries import require_postgres, require_redis


def run() -> int:
    database = os.environ.get("DATABASE_URL") and "DATABASE_URL"
    cache = os.environ.get("REDIS_URL") and "REDIS_URL"
    print(f"PostgreSQL: {database or require_postgres()}")
    print(f"Redis: {cache or require_redis()}")
    return 0
