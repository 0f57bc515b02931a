"""The web process: every route, dependency and error handler in one list."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from redis import RedisError

from backend.answers import add_headers
from backend.auth.caller import KnownKeys, provide_caller
from backend.auth.limits import Limits
from backend.bodies import decompressing
from backend.cache import Redis, open_redis
from backend.catalog.routes import router as catalog_router
from backend.db import UNREACHABLE, Pool, open_pool
from backend.errors import (
    Refusal,
    render_http_exception,
    render_invalid,
    render_nul,
    render_refusal,
    render_too_deep,
    render_unexpected,
    render_unreachable,
)
from backend.events.intake import open_intake
from backend.events.routes import router as events_router
from backend.health import live, ready
from backend.idempotency import (
    AnsweredBefore,
    claim_if_named,
    remembering,
    render_answered_before,
)
from backend.imports.routes import router as imports_router
from backend.queue import open_queue
from backend.recommend.pipeline import open_recommender
from backend.recommend.routes import rankings_router
from backend.recommend.routes import router as recommend_router
from backend.reference import describe_problems, reference
from backend.settings import Settings, read_settings
from backend.storefront.routes import shop_page
from backend.tenancy import refuse_unsafe_role
from backend.training.routes import router as training_router
from storage.store import StoreUnavailable

MAX_BODY_BYTES = 5 * 1024 * 1024

FAILURES: dict[int | type[Exception], Any] = {
    Refusal: render_refusal,
    AnsweredBefore: render_answered_before,
    ValidationException: render_invalid,
    HTTPException: render_http_exception,
    RecursionError: render_too_deep,
    asyncpg.CharacterNotInRepertoireError: render_nul,
    **dict.fromkeys((*UNREACHABLE, RedisError, StoreUnavailable), render_unreachable),
    Exception: render_unexpected,
}


async def provide_pool(state: State) -> Pool:
    return state.pool


async def provide_redis(state: State) -> Redis:
    return state.redis


def create_app(settings: Settings | None = None) -> Litestar:
    """Everything the process serves. Clients open with the lifespan and close with it."""
    chosen = settings or read_settings()

    @asynccontextmanager
    async def clients(app: Litestar) -> AsyncGenerator[None]:
        pool = await open_pool(chosen.app_database_url, chosen.aisle_pool_size)
        redis = open_redis(chosen.redis_url)
        app.state.update(
            {
                "settings": chosen,
                "pool": pool,
                "redis": redis,
                "queue": open_queue(chosen.redis_url),
                "known_keys": KnownKeys(),
                "limits": Limits(redis, chosen),
            }
        )
        try:
            await refuse_unsafe_role(pool)
            async with (
                open_intake(redis, chosen) as app.state.intake,
                open_recommender(chosen, pool, redis) as app.state.recommender,
            ):
                yield
        finally:
            await redis.aclose()
            await pool.close()

    app = Litestar(
        route_handlers=[
            live,
            ready,
            catalog_router,
            events_router,
            imports_router,
            recommend_router,
            rankings_router,
            training_router,
            *(shop_page(chosen.aisle_demo_key) if chosen.aisle_demo_key else []),
        ],
        lifespan=[clients],
        dependencies={
            "caller": Provide(provide_caller),
            "pool": Provide(provide_pool),
            "redis": Provide(provide_redis),
        },
        exception_handlers=FAILURES,
        middleware=[decompressing, remembering],
        before_request=claim_if_named,
        before_send=[add_headers],
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=reference(),
    )
    describe_problems(app)
    return app
