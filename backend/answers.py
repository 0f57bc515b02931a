"""Headers of every answer: its request id, and what lets a storefront's script read it."""

from litestar.types import Message, Scope

from backend.errors import id_of

FOR_STOREFRONTS = frozenset(
    {"/v1/recommendations", "/v1/recommendations/page", "/v1/rankings", "/v1/collect"}
)
"""Called from shoppers' browsers, with a publishable key; its origin list is held against them."""
CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-expose-headers", b"retry-after, x-request-id"),
    (b"access-control-max-age", b"86400"),
)


async def add_headers(message: Message, scope: Scope) -> None:
    """Before the answer is sent. An answer of an answer keeps the id of the inner one."""
    if message["type"] != "http.response.start" or scope["type"] != "http":
        return
    added = [(b"x-request-id", id_of(scope).encode())]
    if scope["path"].rstrip("/") in FOR_STOREFRONTS:
        added += CORS
    headers = list(message["headers"])
    there = {name.lower() for name, _ in headers}
    message["headers"] = headers + [pair for pair in added if pair[0] not in there]
