"""Lets the page make a few calls of the public API with a key the browser never sees."""

from litestar import Router, asgi
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from backend.errors import Forbidden

ALLOWED = {
    "/recommendations": "/v1/recommendations",
    "/page": "/v1/recommendations/page",
    "/events": "/v1/events",
}
"""Path below /shop/api → the call it stands for; POST alone."""
PASSED_ON = frozenset({b"content-type", b"content-length", b"user-agent"})


def forwarding(api_key: str) -> Router:
    """The allowed calls, made inside this process as any client would make them."""
    return Router(
        "/shop/api",
        route_handlers=[forward_to(path, target, api_key) for path, target in ALLOWED.items()],
        include_in_schema=False,
    )


def forward_to(path: str, target: str, api_key: str) -> ASGIRouteHandler:
    @asgi(path, copy_scope=True)
    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            raise MethodNotAllowedException
        headers = scope["headers"]
        if dict(headers).get(b"sec-fetch-site", b"same-origin") != b"same-origin":
            raise Forbidden("another site may not use this page's key")
        scope["path"], scope["raw_path"] = target, target.encode()
        scope["headers"] = [
            *((name, value) for name, value in headers if name in PASSED_ON),
            (b"authorization", b"Bearer " + api_key.encode()),
        ]
        # What the outer request found out about itself is not true of the inner one.
        scope["state"] = {}
        await scope["litestar_app"](scope, receive, send)

    return forward
