"""An object store in S3, or in what speaks like it.

The files of one publication lie below a name of their own, `…/{folder}/{publication}/{file}`, and
`…/{folder}/manifest.json` is written last and names it. Two publications of one folder therefore
never mix, and the first manifest wins where the store knows conditional writes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from storage.store import (
    MANIFEST,
    Kept,
    NoSuchFolder,
    StoreUnavailable,
    UnsafePath,
    files_of,
    plain,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

PUBLICATION = "publication"
"""Metadata of a manifest: where its files are."""
ABSENT = {"404", "NoSuchKey", "NotFound"}
TAKEN = {"412", "PreconditionFailed", "ConditionalRequestConflict"}
LARGEST_MANIFEST_BYTES = 1 << 20
DELETED_AT_ONCE = 1000


def connect() -> S3Client:
    """Address and credentials come from the usual AWS variables; path-style, few retries."""
    return boto3.client(  # pyright: ignore[reportUnknownMemberType] - typed where stubs are
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"max_attempts": 3, "mode": "standard"},
            s3={"addressing_style": "path"},
        ),
    )


class S3Store:
    """Safe to use from several threads at once; connects when first used."""

    def __init__(self, bucket: str, prefix: str, connect: Callable[[], S3Client] = connect) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._connect = connect
        self._client: S3Client | None = None

    def publish(self, source: Path, *parts: str) -> None:
        if self.is_complete(*parts):
            return
        publication = uuid4().hex
        *files, manifest = files_of(source)
        with answering() as client_errors:
            for path in files:
                key = self._key(*parts, publication, path.name)
                self._s3.upload_file(str(path), self._bucket, key)
            client_errors.allowed = TAKEN
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._key(*parts, MANIFEST),
                Body=manifest.read_bytes(),
                Metadata={PUBLICATION: publication},
                IfNoneMatch="*",
            )

    def is_complete(self, *parts: str) -> bool:
        try:
            self._publication(*parts)
        except NoSuchFolder:
            return False
        return True

    def sizes(self, *parts: str) -> dict[str, int]:
        publication, manifest_size = self._publication(*parts)
        with answering():
            listed = list(self._listed(*parts, publication))
        start = len(self._key(*parts, publication, ""))
        files = {key[start:]: entry.get("Size", 0) for entry in listed if (key := key_of(entry))}
        return {**files, MANIFEST: manifest_size}

    def manifest(self, *parts: str) -> bytes:
        with answering() as client_errors:
            client_errors.allowed = ABSENT
            answer = self._s3.get_object(
                Bucket=self._bucket,
                Key=self._key(*parts, MANIFEST),
                Range=f"bytes=0-{LARGEST_MANIFEST_BYTES}",
            )
            return answer["Body"].read()
        raise NoSuchFolder("/".join(parts))

    def fetch(self, target: Path, *parts: str) -> None:
        publication, _ = self._publication(*parts)
        names = [name for name in self.sizes(*parts) if name != MANIFEST]
        target.mkdir(exist_ok=True)
        with answering():
            for name in names:
                (plain_name,) = plain(name)
                key = self._key(*parts, publication, plain_name)
                self._s3.download_file(self._bucket, key, str(target / plain_name))
        (target / MANIFEST).write_bytes(self.manifest(*parts))

    def folders(self, *parts: str) -> list[Kept]:
        start = len(self._key(*parts, ""))
        found: dict[str, list[ObjectTypeDef]] = {}
        with answering():
            for entry in self._listed(*parts):
                name, is_below, _ = key_of(entry)[start:].partition("/")
                if is_below:
                    found.setdefault(name, []).append(entry)
        return [
            Kept(
                name=name,
                is_complete=any(
                    key_of(entry) == self._key(*parts, name, MANIFEST) for entry in entries
                ),
                written_at=max(when for entry in entries if (when := entry.get("LastModified"))),
            )
            for name, entries in found.items()
        ]

    def remove(self, *parts: str) -> None:
        with answering():
            self._s3.delete_object(Bucket=self._bucket, Key=self._key(*parts, MANIFEST))
            keys = [key_of(entry) for entry in self._listed(*parts)]
            for begin in range(0, len(keys), DELETED_AT_ONCE):
                batch = keys[begin : begin + DELETED_AT_ONCE]
                self._s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in batch]}
                )

    @property
    def _s3(self) -> S3Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _publication(self, *parts: str) -> tuple[str, int]:
        """Where the files are, and how long the manifest is."""
        with answering() as client_errors:
            client_errors.allowed = ABSENT
            answer = self._s3.head_object(Bucket=self._bucket, Key=self._key(*parts, MANIFEST))
            publication = answer["Metadata"].get(PUBLICATION)
            if publication is None:
                raise StoreUnavailable(f"{'/'.join(parts)} was not published by this product")
            return plain(publication)[0], answer["ContentLength"]
        raise NoSuchFolder("/".join(parts))

    def _listed(self, *parts: str) -> Iterator[ObjectTypeDef]:
        pages = self._s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._key(*parts, "")):
            yield from page.get("Contents", [])

    def _key(self, *parts: str) -> str:
        """The last part may be empty: what everything below begins with."""
        plain(*(part for part in parts if part))
        if not all(parts[:-1]):
            raise UnsafePath("object names are plain names")
        return "/".join([self._prefix, *parts] if self._prefix else parts)


def key_of(entry: ObjectTypeDef) -> str:
    return entry.get("Key", "")


class Allowed:
    """Codes of errors after which the block is left as if it were over."""

    def __init__(self) -> None:
        self.allowed: set[str] = set()


@contextmanager
def answering() -> Generator[Allowed]:
    """What S3 answers instead of what was asked for becomes StoreUnavailable."""
    told = Allowed()
    try:
        yield told
    except ClientError as error:
        if error.response.get("Error", {}).get("Code", "") not in told.allowed:
            raise StoreUnavailable(f"the object store refused: {error}") from error
    except (BotoCoreError, OSError) as error:
        raise StoreUnavailable(f"the object store does not answer: {error}") from error
