"""Refusals a caller may see, and their one rendering as RFC 9457 problem JSON."""

import logging
from typing import Any, cast

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Scope
from msgspec import UNSET, Struct, UnsetType
from ulid import ULID

from backend.explain import Flaw, explain_words

logger = logging.getLogger(__name__)

AnyRequest = Request[Any, Any, State]


class Refusal(Exception):
    """Base of everything refused on purpose. Subclasses fix `status` and `code`.

    `pointer` is a JSON pointer into the request body (RFC 6901) where one applies.
    """

    status = 400
    code = "bad_request"

    def __init__(
        self, detail: str, *, pointer: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.retry_after_s = retry_after_s


class BadRequest(Refusal):
    """The form of the request is wrong."""


class Unauthorized(Refusal):
    status = 401
    code = "unauthorized"


class Forbidden(Refusal):
    status = 403
    code = "forbidden"


class NotFound(Refusal):
    status = 404
    code = "not_found"


class Conflict(Refusal):
    status = 409
    code = "conflict"


class TooLarge(Refusal):
    status = 413
    code = "too_large"


class Unprocessable(Refusal):
    """The form is right, the meaning is not."""

    status = 422
    code = "unprocessable"


class TooManyRequests(Refusal):
    status = 429
    code = "rate_limited"


class Unavailable(Refusal):
    status = 503
    code = "unavailable"


class Problem(Struct, frozen=True, kw_only=True, rename={"kind": "type"}):
    """RFC 9457 body of every error answer."""

    kind: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    pointer: str | UnsetType = UNSET


TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Unprocessable",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}

HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
RETRY_AFTER_S = 5


def render_refusal(request: AnyRequest, refusal: Refusal) -> Response[Problem]:
    headers = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    return _render(request, refusal.status, refusal.code, refusal.detail, refusal.pointer, headers)


def render_http_exception(request: AnyRequest, error: HTTPException) -> Response[Problem]:
    """Litestar's own refusals (no such route, wrong form) in the same shape as ours."""
    code = HTTP_CODES.get(error.status_code, "http_error")
    detail = str(error.detail or TITLES.get(error.status_code, "Error"))
    return _render(request, error.status_code, code, detail, None, {})


def render_invalid(request: AnyRequest, error: ValidationException) -> Response[Problem]:
    """Which fields of a body or parameters are wrong, and how; the pointer is to the first."""
    mistakes = cast("list[dict[str, str]]", error.extra or [])
    if not mistakes:
        return _render(request, 400, "bad_request", str(error.detail), None, {})
    flaws = [_flaw_of(mistake) for mistake in mistakes]
    detail = "; ".join(flaw.message for flaw in flaws)
    pointer = flaws[0].pointer if mistakes[0].get("source") == "body" else None
    return _render(request, 400, "bad_request", detail, pointer, {})


def _flaw_of(mistake: dict[str, str]) -> Flaw:
    """Litestar cuts the place off the words and gives it beside them."""
    key = mistake.get("key", "data")
    path = "" if key == "data" else f".{key}"
    return explain_words(f"{mistake['message']} - at `${path}`", "the body")


def render_nul(request: AnyRequest, _: Exception) -> Response[Problem]:
    """PostgreSQL stores no U+0000; bodies were looked at, paths and parameters were not."""
    detail = "the character U+0000 is not allowed"
    return _render(request, 400, "bad_request", detail, None, {})


def render_too_deep(request: AnyRequest, _: RecursionError) -> Response[Problem]:
    return _render(request, 400, "bad_request", "the body is nested too deeply", None, {})


def render_unreachable(request: AnyRequest, error: Exception) -> Response[Problem]:
    """PostgreSQL or Redis is away."""
    logger.warning("unavailable, request_id=%s: %r", request_id(request), error)
    headers = {"retry-after": str(RETRY_AFTER_S)}
    detail = "This cannot be done at the moment; try again."
    return _render(request, 503, "unavailable", detail, None, headers)


def render_unexpected(request: AnyRequest, error: Exception) -> Response[Problem]:
    """Log the failure with its request id; tell the caller the id and nothing else."""
    logger.error("unexpected failure, request_id=%s", request_id(request), exc_info=error)
    return _render(request, 500, "internal", "Something failed on our side.", None, {})


def request_id(request: AnyRequest) -> str:
    return id_of(request.scope)


def id_of(scope: Scope) -> str:
    """One id per request, made on first use."""
    state: dict[str, Any] = scope["state"]
    return str(state.setdefault("request_id", str(ULID())))


def _render(
    request: AnyRequest,
    status: int,
    code: str,
    detail: str,
    pointer: str | None,
    headers: dict[str, str],
) -> Response[Problem]:
    problem = Problem(
        kind=f"urn:aisle:problem:{code}",
        title=TITLES.get(status, "Error"),
        status=status,
        code=code,
        detail=detail,
        request_id=request_id(request),
        pointer=UNSET if pointer is None else pointer,
    )
    return Response(
        problem, status_code=status, media_type="application/problem+json", headers=headers
    )
