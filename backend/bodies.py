"""Compressed request bodies, decompressed piece by piece so that no bomb goes off in memory.

How much a body may hold is decided where it is read: the limit counts decompressed bytes.
"""

import zlib
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from backend.errors import BadRequest, Refusal

PIECE_BYTES = 64 * 1024
GZIP = {"gzip", "x-gzip"}
GZIP_WINDOW = 16 + zlib.MAX_WBITS


class EncodingNotSupported(Refusal):
    status = 415
    code = "encoding_not_supported"


def decompressing(app: ASGIApp) -> ASGIApp:
    """Middleware: handlers never see a `content-encoding`."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        encoding = _encoding(scope)
        if encoding in {"", "identity"}:
            await app(scope, receive, send)
            return
        if encoding not in GZIP:
            raise EncodingNotSupported("send the body as it is, or compressed with gzip")
        scope["headers"] = [
            pair
            for pair in scope["headers"]
            if pair[0] not in {b"content-encoding", b"content-length"}
        ]
        await app(scope, _Decompressor(receive).receive, send)

    return handle


def _encoding(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"content-encoding"]
    return b",".join(values).decode("latin-1").strip().lower()


class _Decompressor:
    """Stands in for `receive`: each message holds at most PIECE_BYTES."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._unzip = zlib.decompressobj(GZIP_WINDOW)
        self._held = b""
        self._has_more = True

    async def receive(self) -> Any:  # noqa: ANN401 - a message of the server, or one like it
        while True:
            if not self._held and self._has_more:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._held = message["body"]
                self._has_more = message.get("more_body", False)
            piece = self._next_piece()
            is_over = not self._held and not self._has_more and len(piece) < PIECE_BYTES
            if is_over and not self._unzip.eof:
                raise BadRequest("the gzip body ends too early")
            if piece or is_over:
                return {"type": "http.request", "body": piece, "more_body": not is_over}

    def _next_piece(self) -> bytes:
        if self._unzip.eof and self._held:
            self._unzip = zlib.decompressobj(GZIP_WINDOW)  # gzip files may follow one another
        try:
            piece = self._unzip.decompress(self._held, PIECE_BYTES)
        except zlib.error as error:
            raise BadRequest(f"the body is not gzip: {error}") from error
        self._held = self._unzip.unused_data if self._unzip.eof else self._unzip.unconsumed_tail
        return piece
