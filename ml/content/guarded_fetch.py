"""Fetches what a merchant's data names, and cannot be led by it into our own network."""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

import httpcore

Address = IPv4Address | IPv6Address

PORTS = {"http": 80, "https": 443}
MOST_REDIRECTS = 3
MOST_ADDRESSES = 3
"""Of one host that are tried."""
LIMIT_BYTES = 10_000_000
LIMIT_S = 15.0
REDIRECTS = (301, 302, 303, 307, 308)
UNICAST = IPv6Network("2000::/3")
LEFT_ALONE = "/%:@!$&'()*+,;=~?"
"""In a path or query: what is written already, or need not be."""


class FetchFailed(Exception):
    """Nothing came back, or too much; the message never holds the query of an address."""


class FetchRefused(FetchFailed):
    """The address leads where we do not go."""


class Validators(NamedTuple):
    """What a server wants to hear to answer 304 instead of sending all again."""

    etag: str | None = None
    modified: str | None = None


class Fetched(NamedTuple):
    status: int
    body: bytes
    """Empty unless the status is 200."""
    validators: Validators


class Target(NamedTuple):
    """An address that is fit to be asked for."""

    scheme: str
    host: str
    path: str
    """With the query."""

    def url(self) -> httpcore.URL:
        return httpcore.URL(
            scheme=self.scheme, host=self.host, port=PORTS[self.scheme], target=self.path
        )


def is_public(address: Address) -> bool:
    """Whether it is one of the open internet; IPv4 inside IPv6 is judged as IPv4, or refused."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address not in UNICAST or address.sixtofour or address.teredo:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def resolve(host: str) -> list[Address]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(place[0]) for *_, place in found))


class GuardedFetcher:
    """Safe to share between threads: each fetch opens a connection of its own.

    Neither cookies nor credentials are sent, and no proxy is used. A host one of whose addresses is
    not public is refused; the others are connected to as they were checked, so that a name cannot
    mean another machine a moment later.
    """

    def __init__(
        self,
        *,
        resolve: Callable[[str], list[Address]] = resolve,
        network: httpcore.NetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
        limit_bytes: int = LIMIT_BYTES,
        limit_s: float = LIMIT_S,
    ) -> None:
        """limit_s: of one fetch with its redirects; looking up a name may take longer."""
        self._resolve, self._network = resolve, network or httpcore.SyncBackend()
        self._tls = tls or httpcore.default_ssl_context()
        self._limit_bytes, self._limit_s = limit_bytes, limit_s

    def fetch(self, url: str, known: Validators) -> Fetched:
        """Any status but a redirect is an answer. Raises FetchFailed."""
        deadline = monotonic() + self._limit_s
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._ask(target_of(url), known, deadline)
            if isinstance(answer, Fetched):
                return answer
            url = _joined(url, answer)
        raise FetchFailed(f"more than {MOST_REDIRECTS} redirects")

    def _ask(self, target: Target, known: Validators, deadline: float) -> Fetched | str:
        """The answer, or where it is said to be."""
        checked = _CheckedNetwork(self._network, self._resolve, deadline)
        with (
            _failures_told(),
            httpcore.ConnectionPool(ssl_context=self._tls, network_backend=checked) as pool,
            pool.stream("GET", target.url(), headers=_headers(known)) as response,
        ):
            said = {
                name.lower(): value.decode(errors="replace") for name, value in response.headers
            }
            if response.status in REDIRECTS and b"location" in said:
                return said[b"location"]
            validators = Validators(said.get(b"etag"), said.get(b"last-modified"))
            body = self._body(response.iter_stream()) if response.status == 200 else b""
            return Fetched(response.status, body, validators)

    def _body(self, chunks: Iterable[bytes]) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > self._limit_bytes:
                raise FetchFailed(f"more than {self._limit_bytes} bytes")
        return bytes(body)


def target_of(url: str) -> Target:
    """Raises FetchRefused for any address but http and https on their own ports."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
        query = f"?{parts.query}" if parts.query else ""
        path = quote((parts.path or "/") + query, safe=LEFT_ALONE)
    except ValueError as error:
        raise FetchRefused("it is no address") from error
    if parts.scheme not in PORTS or not host:
        raise FetchRefused("only http and https are fetched")
    if "@" in parts.netloc:
        raise FetchRefused("it carries a name or a password")
    if port not in (None, PORTS[parts.scheme]):
        raise FetchRefused(f"port {port} is not that of {parts.scheme}")
    return Target(parts.scheme, host, path)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchRefused("it is redirected to no address") from error


def _headers(known: Validators) -> list[tuple[str, bytes]]:
    """Bodies are asked for as they are: unpacking is one more way to be flooded."""
    headers = [("accept", b"image/*"), ("accept-encoding", b"identity"), ("user-agent", b"Aisle")]
    if known.etag:
        headers.append(("if-none-match", known.etag.encode()))
    if known.modified:
        headers.append(("if-modified-since", known.modified.encode()))
    return headers


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise FetchFailed("it took too long") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        raise FetchFailed(f"the connection failed: {error}") from error


class _CheckedNetwork(httpcore.NetworkBackend):
    """Connects one fetch to the addresses of a host that it has checked."""

    def __init__(
        self,
        network: httpcore.NetworkBackend,
        resolve: Callable[[str], list[Address]],
        deadline: float,
    ) -> None:
        self._network, self._resolve, self._deadline = network, resolve, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failed = httpcore.ConnectError("the host has no address")
        for address in self._checked(host)[:MOST_ADDRESSES]:
            try:
                stream = self._network.connect_tcp(
                    str(address),
                    port,
                    _left(self._deadline, timeout),
                    local_address,
                    socket_options,
                )
                return _TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    def _checked(self, host: str) -> list[Address]:
        try:
            addresses = self._resolve(host)
        except (OSError, ValueError) as error:
            raise FetchFailed("the host is not known") from error
        if not all(map(is_public, addresses)):
            raise FetchRefused("the host is not on the public internet")
        return addresses


class _TimedStream(httpcore.NetworkStream):
    """A stream that ends at a moment, however slowly and steadily it drips."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(
            ssl_context, server_hostname, _left(self._deadline, timeout)
        )
        return _TimedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore has it
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(left, timeout)
