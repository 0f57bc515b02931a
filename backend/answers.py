"""Headers of every answer: its request id, and what lets a storefront's script read it."""

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Message, Scope

from backend.errors import id_of

FOR_STOREFRONTS = ("/v1/recommendations", "/v1/collect")
"""Called from shoppers' browsers, with a publishable key; its origin list is held against them."""
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-expose-headers": "retry-after, x-request-id",
    "access-control-max-age": "86400",
}


async def add_headers(message: Message, scope: Scope) -> None:
    """Before the answer is sent. An answer of an answer keeps the id of the inner one."""
    if message["type"] != "http.response.start" or scope["type"] != "http":
        return
    headers = MutableScopeHeaders.from_message(message)
    added = {"x-request-id": id_of(scope)}
    if scope["path"].rstrip("/") in FOR_STOREFRONTS:
        added |= CORS
    for name, value in added.items():
        if name not in headers:
            headers[name] = value
