"""The demo shop at /shop: a page, its files, and what it may read."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import jinja2
from litestar import Response, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from backend.auth.caller import identify
from backend.db import Pool
from backend.errors import NotFound
from backend.recommend.pipeline import Recommender
from backend.recommend.routes import provide_recommender
from backend.storefront import queries
from backend.storefront.cover import cover_svg
from backend.storefront.forward import forwarding
from backend.storefront.schemas import History
from backend.tenancy import TenantId, tenant_connection

FOLDER = Path(__file__).parent
SHOPPERS_LISTED = 60
HISTORY_LISTED = 120
CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


@get("/", media_type="text/html")
async def page(
    pool: NamedDependency[Pool],
    demo_tenant: NamedDependency[TenantId],
    template: NamedDependency[jinja2.Template],
) -> Response[str]:
    async with tenant_connection(pool, demo_tenant) as conn:
        name = await queries.shop_name(conn)
        shoppers = await queries.active_shoppers(conn, SHOPPERS_LISTED)
    html = template.render(shop_name=name, shoppers=shoppers)
    return Response(html, media_type="text/html", headers=HEADERS)


@get("/shop.css")
async def style() -> Response[bytes]:
    return Response((FOLDER / "shop.css").read_bytes(), media_type="text/css", headers=HEADERS)


@get("/shop.js")
async def script() -> Response[bytes]:
    body = (FOLDER / "shop.js").read_bytes()
    return Response(body, media_type="text/javascript", headers=HEADERS)


@get("/cover.svg")
async def cover(
    product_id: Annotated[str, QueryParameter()],
    demo_tenant: NamedDependency[TenantId],
    recommender: NamedDependency[Recommender],
) -> Response[str]:
    """A drawn picture of one product of the live catalogue."""
    signals = await recommender.signals.read(demo_tenant)
    catalog = await recommender.catalogs.current(demo_tenant, signals.catalog)
    product = catalog.products.get(product_id)
    if product is None:
        raise NotFound(f"no product {product_id}")
    drawing = cover_svg(product_id, product.title, product.category)
    headers = {**HEADERS, "cache-control": "private, max-age=86400"}
    return Response(drawing, media_type="image/svg+xml", headers=headers)


@get("/api/history")
async def history(
    pool: NamedDependency[Pool],
    demo_tenant: NamedDependency[TenantId],
    customer_id: Annotated[str | None, QueryParameter()] = None,
    session_id: Annotated[str | None, QueryParameter()] = None,
) -> History:
    async with tenant_connection(pool, demo_tenant) as conn:
        entries = await queries.history(conn, customer_id, session_id, HISTORY_LISTED)
    return History(entries=entries)


def shop_page(api_key: str) -> list[Router]:
    """Routes of the page. Whoever reaches the page acts with `api_key`, and never sees it."""
    loader = jinja2.FileSystemLoader(FOLDER)
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("shop.html")
    pages = Router(
        "/shop",
        route_handlers=[page, style, script, cover, history],
        dependencies={
            "demo_tenant": Provide(tenant_of(api_key)),
            "template": Provide(lambda: template, sync_to_thread=False),
            "recommender": Provide(provide_recommender),
        },
        include_in_schema=False,
    )
    return [pages, forwarding(api_key)]


def tenant_of(api_key: str) -> Callable[[State], Awaitable[TenantId]]:
    async def demo_tenant(state: State) -> TenantId:
        caller = await identify(state.pool, state.known_keys, f"Bearer {api_key}")
        return caller.tenant_id

    return demo_tenant
