"""Redis: one client per process."""

import redis.asyncio

Redis = redis.asyncio.Redis

COMMAND_TIMEOUT_S = 2.0


def open_redis(url: str) -> Redis:
    """Binary-safe client; every command answers or fails within COMMAND_TIMEOUT_S."""
    return redis.asyncio.from_url(
        url, socket_timeout=COMMAND_TIMEOUT_S, socket_connect_timeout=1.0, health_check_interval=15
    )
