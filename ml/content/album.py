"""What is known of one shop's pictures from earlier trainings: address → content → vector."""

from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ml.content.guarded_fetch import Validators
from ml.content.vector_cache import content_hash, read_vectors, write_vectors, written_whole

ADDRESSES = "images.msgpack"
FRESH_S = 7 * 86_400
"""So long an address is not asked again."""


class Seen(Struct, frozen=True, array_like=True):
    content: bytes
    """Its hash."""
    asked_s: float
    etag: str | None
    modified: str | None


class Album:
    """Addresses are kept as hashes: they may hold secrets."""

    def __init__(self, folder: Path | None, encoder: str) -> None:
        """folder: of one tenant; None keeps nothing beyond this training."""
        self._addresses = folder / ADDRESSES if folder else None
        self._vectors_path = folder / f"images-{encoder}.npz" if folder else None
        self._seen = _read_addresses(self._addresses) if self._addresses else {}
        self.vectors = read_vectors(self._vectors_path) if self._vectors_path else {}
        """Of contents, by their hashes."""

    def vector(self, url: str) -> NDArray[np.float32] | None:
        seen = self._seen.get(_key(url))
        return self.vectors.get(seen.content) if seen else None

    def is_fresh(self, url: str, now_s: float) -> bool:
        seen = self._seen.get(_key(url))
        return seen is not None and seen.content in self.vectors and now_s - seen.asked_s < FRESH_S

    def validators(self, url: str) -> Validators:
        """None where the vector is not known: then the picture itself is needed."""
        seen = self._seen.get(_key(url))
        if seen is None or seen.content not in self.vectors:
            return Validators()
        return Validators(seen.etag, seen.modified)

    def unchanged(self, url: str, now_s: float) -> None:
        key = _key(url)
        self._seen[key] = msgspec.structs.replace(self._seen[key], asked_s=now_s)

    def remember(self, url: str, content: bytes, validators: Validators, now_s: float) -> None:
        self._seen[_key(url)] = Seen(content, now_s, *validators)

    def write(self, urls: list[str]) -> None:
        """Keep what is known of `urls` and nothing else."""
        if self._addresses is None or self._vectors_path is None:
            return
        keys = [key for key in map(_key, urls) if key in self._seen]
        seen = {key: self._seen[key] for key in keys if self._seen[key].content in self.vectors}
        write_vectors(
            self._vectors_path,
            {each.content: self.vectors[each.content] for each in seen.values()},
        )
        with written_whole(self._addresses) as staged:
            staged.write(msgspec.msgpack.encode(seen))


def _key(url: str) -> bytes:
    return content_hash(url.encode(errors="replace"))


def _read_addresses(path: Path) -> dict[bytes, Seen]:
    """Nothing where there is no file, or one that cannot be read."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=dict[bytes, Seen])
    except (OSError, msgspec.DecodeError):
        return {}
