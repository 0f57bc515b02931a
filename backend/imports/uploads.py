"""Files on their way in, kept in the object store until their import has ended."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backend.errors import TooLarge
from backend.object_store import object_path
from backend.tenancy import TenantId

BUFFER_BYTES = 1024 * 1024


def import_path(object_store: Path, tenant_id: TenantId, import_id: str) -> Path:
    return object_path(object_store, "imports", str(tenant_id), import_id)


async def receive(body: AsyncIterator[bytes], path: Path, limit_bytes: int) -> bytes:
    """Write the body to `path` and return its SHA-256. On failure no file is left.

    Raises TooLarge.
    """
    with new_file(path) as file:
        return await _copy(body, file, limit_bytes)


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file that stays only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


async def _copy(body: AsyncIterator[bytes], file: BinaryIO, limit_bytes: int) -> bytes:
    digest = hashlib.sha256()
    buffer = bytearray()
    received = 0

    def write() -> None:
        digest.update(buffer)
        file.write(buffer)
        buffer.clear()

    async for piece in body:
        received += len(piece)
        if received > limit_bytes:
            raise TooLarge(f"a file may have at most {limit_bytes // 1024**2} MB")
        buffer += piece
        if len(buffer) >= BUFFER_BYTES:
            await asyncio.to_thread(write)
    await asyncio.to_thread(write)
    return digest.digest()
