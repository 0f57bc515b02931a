"""Vectors that were paid for once: one file per encoder, content hash to vector."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 16


def content_hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=HASH_BYTES).digest()


def cached_vectors(
    path: Path | None, keys: list[bytes], encode: Callable[[list[int]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """(keys, dim). Only the first of equal unknown keys is handed to `encode`, by its place.

    path: a file of one tenant and one encoder, made when absent; None keeps nothing. It holds what
    was asked for last. Two at once are safe: each leaves a whole file, and the later one stays.
    """
    kept = read_vectors(path) if path else {}
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    unknown = sorted(place for key, place in first.items() if key not in kept)
    if unknown:
        found = encode(unknown)
        kept |= {keys[place]: row for place, row in zip(unknown, found, strict=True)}
    if path and unknown:
        write_vectors(path, {key: kept[key] for key in keys})
    return np.array([kept[key] for key in keys], np.float32)


def read_vectors(path: Path) -> dict[bytes, NDArray[np.float32]]:
    """Nothing where there is no file, or one that cannot be read: it is made anew."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            keys, vectors = arrays["keys"], arrays["vectors"]
    except (OSError, ValueError, KeyError, EOFError):
        return {}
    if keys.ndim != 2 or keys.shape[1] != HASH_BYTES or len(vectors) != len(keys):
        return {}
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def write_vectors(path: Path, kept: dict[bytes, NDArray[np.float32]]) -> None:
    keys = np.frombuffer(b"".join(kept), np.uint8).reshape(-1, HASH_BYTES)
    with written_whole(path) as staged:
        np.savez(staged, keys=keys, vectors=np.array(list(kept.values()), np.float32))


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place when it is complete. Its folder is made where it is absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as staged:
        yield staged
    os.replace(staged.name, path)
