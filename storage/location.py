"""Where a store is, as text: `s3://bucket/prefix`, or a folder."""

from pathlib import Path
from urllib.parse import urlsplit

from storage.folder import FolderStore
from storage.s3 import S3Store
from storage.store import ObjectStore

S3 = "s3://"


def is_remote(location: str) -> bool:
    """Whether what lies there must be fetched before it can be read."""
    return location.startswith(S3)


def open_store(location: str) -> ObjectStore:
    if not is_remote(location):
        return FolderStore(Path(location))
    parts = urlsplit(location)
    return S3Store(parts.netloc, parts.path.strip("/"))
