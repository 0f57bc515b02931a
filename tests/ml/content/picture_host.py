"""Hosts of pictures on the public internet, all of them one server of this machine."""

import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ipaddress import ip_address
from threading import Thread
from typing import NamedTuple

import httpcore
from PIL import Image

from ml.content.guarded_fetch import Address, GuardedFetcher

PUBLIC = "93.184.215.14"


class Asked(NamedTuple):
    host: str
    path: str
    headers: dict[str, str]


Page = bytes | int | Callable[[BaseHTTPRequestHandler], None]
"""A body, a status, or whatever answers."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


class PictureHost(httpcore.NetworkBackend):
    """Stands in for the network alone: names are resolved to public addresses, or as told."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.addresses: dict[str, list[list[str]]] = {}
        """What each look-up of a host finds, one after the other."""
        self._server = Server(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fetcher(self, **options: object) -> GuardedFetcher:
        return GuardedFetcher(resolve=self.resolve, network=self, **options)

    def resolve(self, host: str) -> list[Address]:
        self.resolved.append(host)
        answers = self.addresses.get(host)
        return [ip_address(each) for each in (answers.pop(0) if answers else [PUBLIC])]

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *_: object
    ) -> httpcore.NetworkStream:
        self.connected.append((host, port))
        here, there = self._server.server_address[:2]
        return httpcore.SyncBackend().connect_tcp(str(here), there, timeout)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                host.asked.append(Asked(headers["host"], self.path, headers))
                page = host.pages.get(self.path, 404)
                if callable(page):
                    page(self)
                elif isinstance(page, int):
                    answer(self, page)
                else:
                    answer(self, 200, page)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Header names with underscores for hyphens."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def redirect(location: str) -> Page:
    return lambda handler: answer(handler, 302, location=location)


def picture(
    colour: str | tuple[int, ...], kind: str = "PNG", size: tuple[int, int] = (8, 8)
) -> bytes:
    content = BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(content, kind)
    return content.getvalue()
