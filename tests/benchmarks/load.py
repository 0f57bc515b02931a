"""Requests over kept connections, each sent when the one before it is answered."""

import asyncio
import time
from collections.abc import Sequence
from itertools import cycle

import psutil
from msgspec import Struct

HEADER_END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Load(Struct, frozen=True, kw_only=True):
    """What one round gave."""

    per_s: float
    """Requests answered per second."""
    cpu_us: float
    """Processor time of the server per request, user and system."""


class UnexpectedAnswer(Exception):
    """The server said something else than what was to be measured."""


def request_bytes(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += ["content-type: application/json", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join(lines).encode() + HEADER_END + body


async def loaded(
    port: int, requests: Sequence[bytes], connections: int, total: int, server_pid: int
) -> Load:
    """Send `total` of `requests`, again and again. Raises UnexpectedAnswer unless all are 2xx."""
    left = iter(range(total))
    turns = cycle(requests)

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(next(turns))
            await _answer(reader)
        writer.close()

    before, begun = _cpu_s(server_pid), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_connection())
    seconds = time.perf_counter() - begun
    cpu_s = _cpu_s(server_pid) - before
    return Load(per_s=total / seconds, cpu_us=cpu_s / total * 1e6)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(HEADER_END)).lower()
    at = head.index(LENGTH) + len(LENGTH)
    body = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
    if not head.startswith(b"http/1.1 2"):
        raise UnexpectedAnswer(f"{head.decode(errors='replace')}{body[:500]!r}")
    return body


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
