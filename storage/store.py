"""What both kinds of object store promise, and how one is opened."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct

MANIFEST = "manifest.json"
"""Written last: a folder is complete once it holds this file."""


class StoreUnavailable(Exception):
    """The store does not answer, or answers with an error; the message says which."""


class NoSuchFolder(Exception):
    """There is no complete folder of that name."""


class UnsafePath(Exception):
    """A name that would leave its folder."""


class Kept(Struct, frozen=True, kw_only=True):
    """One folder of a store."""

    name: str
    is_complete: bool
    written_at: datetime
    """When anything was last written to it."""


class ObjectStore(Protocol):
    """Folders are named by parts, each a plain name. Raises UnsafePath, StoreUnavailable.

    A complete folder never changes. One without a manifest does not exist, except to `folders`.
    """

    def publish(self, source: Path, *parts: str) -> None:
        """Keep the files of `source`, manifest last; a complete folder is left as it is.

        Raises NoSuchFolder where `source` has no manifest.
        """
        ...

    def is_complete(self, *parts: str) -> bool: ...

    def sizes(self, *parts: str) -> dict[str, int]:
        """Bytes of each file. Raises NoSuchFolder."""
        ...

    def manifest(self, *parts: str) -> bytes:
        """Raises NoSuchFolder."""
        ...

    def fetch(self, target: Path, *parts: str) -> None:
        """Copy the files to the folder `target`, manifest last. Raises NoSuchFolder."""
        ...

    def folders(self, *parts: str) -> list[Kept]:
        """The folders directly below, half-written ones too."""
        ...

    def remove(self, *parts: str) -> None:
        """Manifest first, so that what is half removed is not taken for complete. Repeatable."""
        ...


def plain(*parts: str) -> tuple[str, ...]:
    """The same parts. Raises UnsafePath for one that is not a plain name."""
    for part in parts:
        if not part or part in {".", ".."} or "/" in part or "\\" in part or "\0" in part:
            raise UnsafePath("object names are plain names")
    return parts


def files_of(folder: Path) -> list[Path]:
    """The plain files directly in a folder, the manifest last. Raises NoSuchFolder without one."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    if folder / MANIFEST not in files:
        raise NoSuchFolder(folder.name)
    return sorted(files, key=lambda path: (path.name == MANIFEST, path.name))


@contextmanager
def into_place(target: Path) -> Generator[Path]:
    """A new folder to fill, which becomes `target` at once; a `target` that is there by then stays.

    What a killed process leaves is below `.partial` beside the target.
    """
    partial = target.parent / ".partial"
    partial.mkdir(parents=True, exist_ok=True)
    holding = Path(tempfile.mkdtemp(dir=partial))
    try:
        filled = holding / target.name
        filled.mkdir()
        yield filled
        if not target.exists():
            try:
                os.replace(filled, target)
            except OSError:
                if not target.exists():
                    raise
    finally:
        shutil.rmtree(holding, ignore_errors=True)
